import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createNodeBackend } from "@paligemma/backend-node";
import { folder } from "@paligemma/tiny-shapes";
import { loadPaliGemma } from "paligemma/node";
import { afterAll, expect, it } from "vitest";

const PICTURE = new URL("../../../apps/cli/assets/demo.png", import.meta.url);
const cacheFolder = await mkdtemp(join(tmpdir(), "paligemma-load-"));
afterAll(() => rm(cacheFolder, { recursive: true }));

it.each(["int8", "int4", "mixed"] as const)(
  "%s: quantises at the first load, finds it at the second",
  async (dtype) => {
    await using backend = await createNodeBackend();
    const captions: string[] = [];
    const tasks: Set<string>[] = [];
    for (const _ of [1, 2]) {
      const own = new Set<string>();
      const onProgress = ({ task }: { readonly task: string }): void => void own.add(task.split(" ")[0]!);
      await using model = await loadPaliGemma(folder, { backend, dtype, cacheFolder, onProgress });
      captions.push(await model.caption(PICTURE));
      tasks.push(own);
    }
    expect(captions[1]).toBe(captions[0]);
    await using exact = await loadPaliGemma(folder, { backend });
    expect(captions[0]).toBe(await exact.caption(PICTURE));
    expect(tasks[0]).toContain("write");
    expect(tasks[1]).not.toContain("write");
    expect((await readdir(join(cacheFolder, "quantized"))).length).toBeGreaterThan(1);
  },
);

it("a cache folder alone says nothing", async () => {
  await using backend = await createNodeBackend();
  await expect(loadPaliGemma(folder, { backend, cacheFolder })).rejects.toThrow(/paligemma\/option: cacheFolder/);
});
