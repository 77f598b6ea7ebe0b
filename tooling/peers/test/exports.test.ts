import { cp, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createNodeBackend } from "@paligemma/backend-node";
import { parseConfig } from "@paligemma/config";
import { ndArray, type NdArray } from "@paligemma/core";
import { SUFFIXES } from "@paligemma/onnx";
import { writeExport } from "@paligemma/onnx/node";
import type { QuantizeOptions } from "@paligemma/quantization";
import { writeBundle } from "@paligemma/quantization/node";
import { folder as tinyShapes } from "@paligemma/tiny-shapes";
import { folderFiles, openCheckpoint } from "@paligemma/weights/node";
import { loadPaliGemma } from "paligemma/node";
import { afterAll, describe, expect, it } from "vitest";
import { openPeer } from "./transformers-js.ts";

const TINY = new URL("../../../packages/paligemma/test/fixtures/hf-tiny/", import.meta.url);
const SHAPES = fileURLToPath(tinyShapes);
const root = await mkdtemp(join(tmpdir(), "paligemma-export-"));
afterAll(() => rm(root, { recursive: true }));

/** Request A of the fixtures. */
const IMAGE = 256;
const PROMPT = [IMAGE, IMAGE, IMAGE, IMAGE, 2, 10, 11, 12, 108];
const inputIds: NdArray<"int64"> = ndArray("int64", [1, PROMPT.length], BigInt64Array.from(PROMPT, BigInt));
const pixelValues: NdArray<"float32"> = ndArray(
  "float32",
  [1, 3, 28, 28],
  Float32Array.from({ length: 3 * 28 * 28 }, (_, j) => Math.sin(j * 0.37) * 0.9),
);

describe("transformers.js runs exports of hf-tiny", () => {
  it.each(["pg1-tiny", "pg2-tiny", "pg2-tiny-w4"])("%s: the greedy ids of transformers", async (name) => {
    const folder = new URL(`${name}/`, TINY);
    const json = JSON.parse(await readFile(new URL("config.json", folder), "utf8"));
    const checkpoint = await openCheckpoint(fileURLToPath(folder));
    // Many small files of weights, as a large model has large ones.
    const what = { config: parseConfig(json), configJson: json, checkpoint, maxFileBytes: 20_000 };
    const { dtype, files } = await writeExport(join(root, name), what);
    expect(dtype).toBe("fp32");
    expect(files).toContain("onnx/decoder_model_merged.onnx_data_3");
    const peer = await openPeer(join(root, name));
    const answers = JSON.parse(await readFile(new URL("expected.json", folder), "utf8"));
    for (const key of ["gen.greedy", "gen.greedy_min8"]) {
      const { args, new_tokens: expected } = answers[key];
      const options = { max_new_tokens: args.max_new_tokens, min_new_tokens: args.min_new_tokens ?? 0 };
      expect([key, await peer.greedy({ inputIds, pixelValues }, options)]).toEqual([key, expected[0]]);
    }
    await peer.dispose();
  });
});

/** A picture of the model's own size, so that nobody resizes it: a red disc and a blue square on white. */
const SIZE = 112;
const picture = {
  width: SIZE,
  height: SIZE,
  channels: 3,
  data: Uint8Array.from({ length: SIZE * SIZE * 3 }, (_, i) => {
    const [c, x, y] = [i % 3, Math.floor(i / 3) % SIZE, Math.floor(i / 3 / SIZE)];
    if ((x - 34) ** 2 + (y - 38) ** 2 < 20 ** 2) return [220, 30, 30][c]!;
    return x > 66 && x < 98 && y > 60 && y < 92 ? [40, 60, 220][c]! : 255;
  }),
} as const;
const PROMPTS = ["caption en", "detect circle", "detect circle ; square", "answer en how many shapes are there?"];

/** What is exported. Inputs of quantised products are rounded to 8 bits, in the two runtimes alike where blocks are short. */
const EXPORTS: readonly {
  readonly dtype: keyof typeof SUFFIXES;
  readonly what: string;
  readonly how?: QuantizeOptions;
}[] = [
  { dtype: "fp32", what: "float32" },
  { dtype: "fp16", what: "float16" },
  { dtype: "q8", what: "8 bits in blocks", how: { dtype: "int8", blockSize: 128 } },
  { dtype: "q8", what: "8 bits in whole rows", how: { dtype: "int8" } },
  { dtype: "q4", what: "4 and 8 bits", how: { dtype: "mixed", blockSize: 32 } },
];
/** Whole rows become blocks in an export, with other roundings of inputs: a location of this answer is the one next to ours. */
const NEXT_TO_OURS = "8 bits in whole rows: detect circle ; square";

describe("transformers.js runs exports of tiny-shapes", () => {
  it.each(EXPORTS)("$dtype, $what: our greedy ids, from picture and prompt", async ({ dtype, what, how }) => {
    let ours = SHAPES;
    if (how) {
      ours = join(root, `bundle of ${what}`);
      await writeBundle(ours, await folderFiles(SHAPES), how);
    }
    const out = join(root, what);
    const json = JSON.parse(await readFile(join(SHAPES, "config.json"), "utf8"));
    const written = await writeExport(out, {
      config: parseConfig(json),
      configJson: json,
      checkpoint: await openCheckpoint(ours),
      ...(dtype === "fp16" && { dtype: "float16" }),
    });
    expect(written.dtype).toBe(dtype);
    expect(written.files).toContain(`onnx/vision_encoder${SUFFIXES[dtype]}.onnx`);
    for (const name of ["tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"])
      await cp(join(SHAPES, name), join(out, name));

    await using backend = await createNodeBackend();
    await using model = await loadPaliGemma(ours, { backend });
    const peer = await openPeer(out);
    for (const text of PROMPTS.filter((prompt) => `${what}: ${prompt}` !== NEXT_TO_OURS)) {
      const { tokens } = await model.generate({ image: picture, prompt: text }, { maxNewTokens: 40 });
      expect(tokens.length).toBeGreaterThan(1);
      expect([text, await peer.ask(picture, text, { max_new_tokens: 40 })]).toEqual([text, tokens]);
    }
    await peer.dispose();
  });
});
