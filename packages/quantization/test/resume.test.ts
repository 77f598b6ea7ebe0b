import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { MOMENT_COLUMNS, quantizeCheckpoint, type QuantizeOptions } from "@paligemma/quantization";
import { writeBundle } from "@paligemma/quantization/node";
import { safetensorsBytes, type ModelFiles } from "@paligemma/weights";
import { folderFiles, openCheckpoint, writeSafetensors } from "@paligemma/weights/node";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { gaussian, tensorOf } from "./matrices.ts";

const TABLE = "language_model.model.embed_tokens.weight";
const LAYER = "language_model.model.layers.0";
const SHAPES: Readonly<Record<string, readonly number[]>> = {
  [TABLE]: [50_000, 256],
  [`${LAYER}.self_attn.q_proj.weight`]: [72, 256],
  [`${LAYER}.mlp.down_proj.weight`]: [256, 5000],
  "language_model.model.norm.weight": [256],
  "vision_tower.vision_model.embeddings.position_embedding.weight": [300, 96],
};
const SLOW = fileURLToPath(new URL("slow-bundle.mjs", import.meta.url));

let root = "";
let from = "";
let to = "";
let partial = "";
let count = 0;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "paligemma-resume-"));
  from = join(root, "from");
  await mkdir(from);
  const tensors = Object.entries(SHAPES).map(([name, shape], i) => tensorOf(name, gaussian(shape, i), "bfloat16"));
  await writeSafetensors(join(from, "model.safetensors"), tensors);
  await writeFile(join(from, "config.json"), "{}");
}, 120_000);
afterAll(() => rm(root, { recursive: true }));
beforeEach(() => {
  const name = `to-${count++}`;
  [to, partial] = [join(root, name), join(root, `.${name}.partial`)];
});

/** Hashes of the files of a folder, by name. */
const contents = async (folder: string): Promise<Record<string, string>> =>
  Object.fromEntries(
    await Promise.all((await readdir(folder)).map(async (name) => [name, hashOf(await readFile(join(folder, name)))])),
  );
const hashOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** Pieces that a run left on the disk. */
async function doneIn(folder: string): Promise<number> {
  const text = await readFile(join(folder, "state.json"), "utf8").catch(() => '{"done":0}');
  return (JSON.parse(text) as { done: number }).done;
}

/** The same files, counting what is read of the weights. */
function counted(files: ModelFiles): { readonly files: ModelFiles; bytes: number } {
  const made = {
    bytes: 0,
    files: {
      ...files,
      open: async (path: string) => {
        const source = await files.open(path);
        const read: typeof source.read = (start, end, signal) => {
          if (path.endsWith(".safetensors")) made.bytes += end - start;
          return source.read(start, end, signal);
        };
        return { ...source, read };
      },
    },
  };
  return made;
}

/** Moments of inputs that do not go together, growing from column to column. */
function identity(width: number): Float32Array {
  const moments = new Float32Array((width / MOMENT_COLUMNS) * MOMENT_COLUMNS ** 2);
  for (let i = 0; i < width; i++) moments[i * MOMENT_COLUMNS + (i % MOMENT_COLUMNS)] = 1 + i;
  return moments;
}

describe("threads", () => {
  const options: readonly QuantizeOptions[] = [
    { dtype: "int4" },
    { dtype: "mixed", zeroPoints: true, blockSize: 64 },
    {
      dtype: "int4",
      moments: new Map([[`${LAYER}.self_attn.q_proj.weight`, identity(256)]]),
    },
  ];
  it.each(options)(
    "$dtype: the bytes are those of quantising in one go, whatever the number of threads",
    async (how) => {
      const { tensors } = quantizeCheckpoint(await openCheckpoint(from), how);
      const expected = await safetensorsBytes(tensors, { metadata: { format: "pt", quantization: how.dtype } });
      const bundles: Record<string, string>[] = [];
      for (const threads of [1, 3]) {
        await writeBundle(`${to}-${threads}`, await folderFiles(from), { ...how, threads });
        bundles.push(await contents(`${to}-${threads}`));
      }
      expect(bundles[0]!["model.safetensors"]).toBe(hashOf(expected));
      expect(bundles[1]).toEqual(bundles[0]);
    },
  );

  it.each([0, 1.5, 5000])("%d are no number of threads", async (threads) => {
    await expect(writeBundle(to, await folderFiles(from), { dtype: "int8", threads })).rejects.toThrow(
      /quantization\/option: threads is/,
    );
  });
});

describe("a run that ends before its time", () => {
  it("killed twice: goes on where it was, to the same bytes, and leaves nothing else", async () => {
    await writeBundle(`${to}-whole`, await folderFiles(from), { dtype: "int4" });
    let before = 0;
    for (let kill = 0; kill < 2; kill++) {
      const child = spawn(process.execPath, [SLOW, from, to, "int4", "250"], { stdio: "inherit" });
      const ended = new Promise<string | null>((resolve) => child.once("exit", (_, signal) => resolve(signal)));
      await expect.poll(() => doneIn(partial), { timeout: 50_000 }).toBeGreaterThan(before);
      child.kill("SIGKILL");
      expect(await ended).toBe("SIGKILL");
      before = await doneIn(partial);
      expect(await readdir(root)).not.toContain(to);
    }
    const { size } = await (await folderFiles(from)).open("model.safetensors");
    const reading = counted(await folderFiles(from));
    await writeBundle(to, reading.files, { dtype: "int4" });
    expect(reading.bytes).toBeLessThan(size);
    expect(await contents(to)).toEqual(await contents(`${to}-whole`));
    expect((await readdir(root)).filter((name) => name.startsWith("."))).toEqual([]);
  });

  it("aborted: the same call goes on", async () => {
    const stop = new AbortController();
    const options = { dtype: "int8", threads: 1 } as const;
    const onProgress = ({ done, total }: { done: number; total?: number }): void => {
      if (done > total! / 2) stop.abort(new Error("enough"));
    };
    const files = await folderFiles(from);
    await expect(writeBundle(to, files, { ...options, onProgress, signal: stop.signal })).rejects.toThrow("enough");
    expect(await doneIn(partial)).toBeGreaterThan(0);
    const reading = counted(files);
    await writeBundle(to, reading.files, options);
    expect(reading.bytes).toBeLessThan((await files.open("model.safetensors")).size);
    await writeBundle(`${to}-whole`, files, options);
    expect(await contents(to)).toEqual(await contents(`${to}-whole`));
  });

  it("other weights or another precision begin anew", async () => {
    const stopAt = async (options: QuantizeOptions): Promise<void> => {
      const stop = new AbortController();
      const onProgress = ({ done, total }: { done: number; total?: number }): void => {
        if (done > total! / 2) stop.abort(new Error("enough"));
      };
      await expect(
        writeBundle(to, await folderFiles(from), { ...options, threads: 1, onProgress, signal: stop.signal }),
      ).rejects.toThrow("enough");
    };
    await stopAt({ dtype: "int8" });
    await stopAt({ dtype: "int4" });
    await utimes(join(from, "model.safetensors"), new Date(), new Date(Date.now() - 60_000));
    const reading = counted(await folderFiles(from));
    await writeBundle(to, reading.files, { dtype: "int4" });
    expect(reading.bytes).toBeGreaterThanOrEqual(
      Object.values(SHAPES).reduce((sum, shape) => sum + 2 * shape.reduce((a, b) => a * b), 0),
    );
    await writeBundle(`${to}-whole`, await folderFiles(from), { dtype: "int4" });
    expect(await contents(to)).toEqual(await contents(`${to}-whole`));
  });

  it("two at once: one writes, the other is told that the folder is there", async () => {
    const files = await folderFiles(from);
    const both = await Promise.allSettled([1, 2].map(() => writeBundle(to, files, { dtype: "int8", threads: 1 })));
    expect(both.map(({ status }) => status).toSorted()).toEqual(["fulfilled", "rejected"]);
    expect(both.find((one) => one.status === "rejected")).toMatchObject({ reason: { code: "quantization/exists" } });
  });
});
