import { toFloat32 } from "@paligemma/core";
import { quantizeCheckpoint, type QuantizeOptions } from "@paligemma/quantization";
import { checkpointOf, matchTensors, type Checkpoint } from "@paligemma/weights";
import { describe, expect, it } from "vitest";
import { gaussian, tensorOf } from "./matrices.ts";

const LAYER = "language_model.model.layers.0";
const TABLE = "language_model.model.embed_tokens.weight";
const HEAD = "language_model.lm_head.weight";
const VISION = "vision_tower.vision_model.encoder.layers.0";
const SHAPES: Readonly<Record<string, readonly number[]>> = {
  [TABLE]: [40, 144],
  [`${LAYER}.self_attn.q_proj.weight`]: [144, 144],
  [`${LAYER}.mlp.down_proj.weight`]: [144, 432],
  [`${LAYER}.input_layernorm.weight`]: [144],
  "multi_modal_projector.linear.weight": [144, 96],
  "multi_modal_projector.linear.bias": [144],
  [`${VISION}.mlp.fc2.weight`]: [96, 288],
  "vision_tower.vision_model.embeddings.position_embedding.weight": [64, 96],
};

function checkpoint(rename: (name: string) => string = (name) => name): Checkpoint {
  return checkpointOf(
    Object.entries(SHAPES).map(([name, shape], i) => tensorOf(rename(name), gaussian(shape, i + 1), "bfloat16")),
  );
}

/** Bits and block size of each matrix, by the last words of its name. */
function made(options: QuantizeOptions, of = checkpoint()): Readonly<Record<string, string>> {
  const { matrices } = quantizeCheckpoint(of, options);
  return Object.fromEntries(
    matrices.map(({ name, bits, blockSize }) => [name.split(".").slice(-2)[0]!, `${bits}/${blockSize}`]),
  );
}

describe("quantizeCheckpoint", () => {
  it("packs the decoder's matrices and, where told, keeps the vision encoder's bytes", () => {
    const given = checkpoint();
    const { tensors } = quantizeCheckpoint(given, { dtype: "int8", vision: "keep" });
    const kept = tensors.filter((ref) => given.tensors.get(ref.name) === ref).map(({ name }) => name);
    expect(kept).toEqual(Object.keys(SHAPES).filter((name) => /^(vision|multi)/.test(name)));
    expect(tensors.some(({ name }) => name === TABLE)).toBe(false);
  });

  it("fits blocks to rows: an eighth of padding at most", () => {
    expect(made({ dtype: "int8", blockSize: 128 })).toEqual({
      embed_tokens: "8/32",
      q_proj: "8/32",
      down_proj: "8/64",
    });
    expect(made({ dtype: "int4" })).toEqual({ embed_tokens: "4/32", q_proj: "4/32", down_proj: "4/64" });
    expect(made({ dtype: "int4", blockSize: 16 })).toEqual({ embed_tokens: "4/16", q_proj: "4/16", down_proj: "4/16" });
  });

  it("gives a row one scale in 8 bits, except where zero points are wanted", () => {
    expect(made({ dtype: "int8" })).toEqual({ embed_tokens: "8/144", q_proj: "8/144", down_proj: "8/432" });
    expect(made({ dtype: "int8", zeroPoints: true })).toEqual({
      embed_tokens: "8/32",
      q_proj: "8/32",
      down_proj: "8/64",
    });
  });

  it("mixed: perceptrons in 4 bits, the rest in 8; vision where it is asked for", () => {
    expect(made({ dtype: "mixed" })).toEqual({ embed_tokens: "8/144", q_proj: "8/144", down_proj: "4/64" });
    expect(made({ dtype: "int4", vision: "int8" })).toMatchObject({ fc2: "8/288", linear: "8/96", q_proj: "4/32" });
  });

  it("writes what is in half precision and is not packed as float32", async () => {
    const given = checkpoint();
    const { tensors, matrices } = quantizeCheckpoint(given, { dtype: "int8" });
    const written = checkpointOf(tensors);
    const seeing = Object.keys(SHAPES).filter((name) => /^(vision|multi)/.test(name));
    expect(seeing).toHaveLength(4);
    for (const name of [...seeing, `${LAYER}.input_layernorm.weight`]) {
      const [before, after] = [await given.read(name), await written.read(name)];
      expect([after.dtype, after.shape]).toEqual(["float32", before.shape]);
      expect(after.data).toEqual(toFloat32(before).data);
    }
    expect(matrices.map(({ name }) => name).filter((name) => seeing.includes(name))).toEqual([]);
    const packed = checkpointOf(quantizeCheckpoint(given, { dtype: "int8", vision: "int8" }).tensors);
    expect([...packed.tensors.values()].filter(({ dtype }) => /^b?float16$/.test(dtype))).toEqual([]);
  });

  it("stands for the checkpoint that it was made from, in any spelling", () => {
    const expected = new Map(Object.entries(SHAPES));
    for (const zeroPoints of [false, true]) {
      const { tensors } = quantizeCheckpoint(
        checkpoint((name) => `model.${name}`),
        { dtype: "mixed", vision: "int4", zeroPoints },
      );
      matchTensors(checkpointOf(tensors), expected, { optional: [HEAD] });
    }
    const { tensors } = quantizeCheckpoint(checkpoint(), { dtype: "int4" });
    expect(() => matchTensors(checkpointOf(tensors), new Map(expected).set(TABLE, [40, 300]))).toThrow(
      /embed_tokens\.weight\.int4 is \[40, 5, 16\], needed is \[40, 300\]/,
    );
    expect(() => matchTensors(checkpointOf(tensors.filter((ref) => ref.name !== `${TABLE}.scales`)), expected)).toThrow(
      /weights\/quantized: .*scales is missing/,
    );
    const stray = tensorOf(`${LAYER}.input_layernorm.weight.scales`, gaussian([1, 1], 1));
    expect(() => matchTensors(checkpointOf([...tensors, stray]), expected)).toThrow(/1 superfluous/);
  });

  it("keeps the tied table once, and an output layer of its own", () => {
    const withHead = checkpointOf([...checkpoint().tensors.values(), tensorOf(HEAD, gaussian([40, 144], 7))]);
    expect(quantizeCheckpoint(withHead, { dtype: "int8" }).tensors.some(({ name }) => name.startsWith(HEAD))).toBe(
      false,
    );
    expect(made({ dtype: "int8", tied: false }, withHead)).toMatchObject({ lm_head: "8/144" });
  });

  it("refuses what it cannot do", () => {
    expect(() => quantizeCheckpoint(checkpoint(), { dtype: "int3" as "int4" })).toThrow(
      /quantization\/option: dtype is "int3", it may be int8, int4, mixed/,
    );
    expect(() => quantizeCheckpoint(checkpoint(), { dtype: "int4", blocksize: 32 } as QuantizeOptions)).toThrow(
      /is blockSize meant\?/,
    );
    expect(() => quantizeCheckpoint(checkpoint(), { dtype: "int4", blockSize: 8 })).toThrow(/blockSize is 8/);
    expect(() =>
      quantizeCheckpoint(checkpointOf([tensorOf("x.weight", gaussian([4, 64], 1))]), { dtype: "int4" }),
    ).toThrow(/quantization\/nothing: none of 1 tensors/);
    expect(() =>
      quantizeCheckpoint(checkpointOf(quantizeCheckpoint(checkpoint(), { dtype: "int4" }).tensors), { dtype: "int8" }),
    ).toThrow(/quantised already/);
  });
});
