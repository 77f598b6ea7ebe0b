import { readFile } from "node:fs/promises";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createNodeBackend } from "@paligemma/backend-node";
import { parseConfig } from "@paligemma/config";
import { ndArray } from "@paligemma/core";
import { openCheckpoint } from "@paligemma/weights/node";
import { createModel } from "paligemma";
const folder = process.argv[2]!;
const show = (what: string) => {
  const maps = readFileSync("/proc/self/smaps", "utf8").split(/\n(?=[0-9a-f]+-[0-9a-f]+ )/);
  const rows = maps.map((m) => ({
    head: m.split("\n")[0]!.replace(/^\S+ \S+ \S+ \S+ \S+\s*/, ""),
    pss: Number(/^Pss:\s+(\d+)/m.exec(m)?.[1] ?? 0) / 1024,
  }));
  const anon = rows.filter((r) => r.head === "" || r.head.startsWith("["));
  const files = rows.filter((r) => r.head.startsWith("/"));
  const big = files.reduce((a, r) => a + r.pss, 0);
  console.log(
    what,
    "anon",
    anon.reduce((a, r) => a + r.pss, 0).toFixed(0),
    "files",
    big.toFixed(0),
    "top anon",
    anon
      .map((r) => Math.round(r.pss))
      .sort((a, b) => b - a)
      .slice(0, 40)
      .join(" "),
  );
};
const config = parseConfig(JSON.parse(await readFile(join(folder, "config.json"), "utf8")));
const backend = await createNodeBackend({ threads: 2 });
const checkpoint = await openCheckpoint(folder);
show("start");
const model = await createModel({ config, checkpoint, backend });
show("loaded");
const s = config.vision.imageSize;
const pixelValues = ndArray(
  "float32",
  [1, 3, s, s],
  new Float32Array(3 * s * s).map((_, i) => Math.sin(i)),
);
const prompt = [...Array.from({ length: config.numImageTokens }, () => config.imageTokenIndex), 2, 10, 11, 12, 108];
const inputIds = ndArray("int64", [1, prompt.length], BigInt64Array.from(prompt, BigInt));
(await model.encodeImages(pixelValues)).dispose();
show("vision");
const state = await model.start({ pixelValues, inputIds }, { expectedTokens: 12 });
show("prompt");
await state.advanceGreedy(8, []);
show("steps");
const maps = readFileSync("/proc/self/smaps", "utf8")
  .split(/\n(?=[0-9a-f]+-[0-9a-f]+ )/)
  .filter((m) => m.includes("/work/lab/m"))
  .map(
    (m) =>
      [
        m.split("\n")[0]!.slice(0, 60),
        Number(/^Size:\s+(\d+)/m.exec(m)![1]) / 1024,
        Number(/^Pss:\s+(\d+)/m.exec(m)![1]) / 1024,
      ] as const,
  )
  .filter((r) => r[2] > 0.5)
  .sort((a, b) => b[2] - a[2]);
console.log(maps.length, maps.slice(0, 12));
const by = new Map<string, number>();
for (const m of maps) by.set(m[1].toFixed(2), (by.get(m[1].toFixed(2)) ?? 0) + m[2]);
console.log([...by].sort((a, b) => b[1] - a[1]).slice(0, 12));
await model.dispose();
await backend.dispose();
