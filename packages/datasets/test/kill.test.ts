import { spawn } from "node:child_process";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openDataset, prepare, type PrepareOptions } from "@paligemma/datasets/node";
import { expect, it } from "vitest";
import { contents, folderOf, lettersOptions, lettersProcessor, newFolder, picture } from "./folders.ts";

// tooling/bench/processor-prepare.mjs does the same to 20,000 records, five times; docs/performance.md has its result.
const RECORDS = 200;
/** Places of the kills: parts of the run, and milliseconds after them. */
const PLACES = [
  { part: 0.21, delay: 3 },
  { part: 0.47, delay: 1 },
] as const;
const options: Omit<PrepareOptions, "out" | "processor"> = {
  shardBytes: 5 * 3 * 8 * 8 * 4,
  workers: 2,
  objectOrder: "random",
  seed: 4,
};

/** How the child ended: a signal, or an exit code. */
async function child(settings: object): Promise<string | number | null> {
  const file = join(newFolder(), "settings.json");
  writeFileSync(file, JSON.stringify(settings));
  const script = fileURLToPath(new URL("prepare-child.mjs", import.meta.url));
  return await new Promise((resolve, reject) => {
    const started = spawn(process.execPath, [script, file], { stdio: ["ignore", "ignore", "inherit"] });
    started.once("error", reject);
    started.once("close", (code, signal) => resolve(signal ?? code));
  });
}

it(
  `${RECORDS} records, killed ${PLACES.length} times by SIGKILL and resumed, are the bytes of an uninterrupted run`,
  { timeout: 180_000 },
  async () => {
    const files = Object.fromEntries(
      await Promise.all(
        Array.from({ length: 20 }, async (_, i) => [`${i}.png`, await picture(40 + i, 30, i)] as const),
      ),
    );
    const lines = Array.from({ length: RECORDS }, (_, i) =>
      i % 25 === 24
        ? "{oops"
        : JSON.stringify({
            image: `${i % 20}.png`,
            prefix: "detect cat ; dog",
            suffix: `<loc${String(i).padStart(4, "0")}><loc0002><loc0300><loc0400> cat ; <loc0001><loc0002><loc0500><loc0400> dog`,
          }),
    );
    const data = folderOf({ ...files, "_annotations.train.jsonl": `${lines.join("\n")}\n` });
    const [whole, out] = [newFolder(), newFolder()];
    await prepare(await openDataset(data), { ...options, out: whole, processor: lettersProcessor() });

    const settings = { data, out, processor: lettersOptions(), options };
    for (const { part, delay } of PLACES) {
      expect(await child({ ...settings, killAt: Math.floor(part * RECORDS), delay })).toBe("SIGKILL");
      expect(existsSync(join(out, "index.json"))).toBe(false);
    }
    expect(readdirSync(out).some((name) => name.endsWith(".safetensors"))).toBe(true);
    expect(await child({ ...settings, killAt: null, delay: 0 })).toBe(0);
    expect(contents(out)).toEqual(contents(whole));
  },
);
