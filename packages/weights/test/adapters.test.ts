import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { toFloat32 } from "@paligemma/core";
import {
  canonicalName,
  canonicalNames,
  castTensor,
  checkpointOf,
  memorySource,
  mergeAdapter,
  ndTensor,
  openAdapter,
  readTensor,
  safetensorsBytes,
  type Adapter,
  type Checkpoint,
  type ModelFiles,
  type TensorRef,
} from "@paligemma/weights";
import { folderFiles, openCheckpoint } from "@paligemma/weights/node";
import { describe, expect, it } from "vitest";
import { TOLERANCES } from "../../../tooling/tolerances.ts";
import { seeded } from "./random.ts";

const FIXTURES = new URL("../../../tooling/fixtures/adapters/", import.meta.url);
const names = readdirSync(FIXTURES, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);
const open = async (name: string): Promise<Adapter> => openAdapter(await folderFiles(new URL(`${name}/`, FIXTURES)));
const base = async (adapter: Adapter): Promise<Checkpoint> =>
  canonicalNames(
    await openCheckpoint(
      fileURLToPath(
        new URL(`../../paligemma/test/fixtures/hf-tiny/${adapter.config.baseModel}/model.safetensors`, import.meta.url),
      ),
    ),
  );
const largest = (a: Float32Array, b: Float32Array): number =>
  a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i])), 0);

describe("adapters that PEFT saved", () => {
  it.each(names)("%s: the weights that PEFT merges", async (name) => {
    const adapter = await open(name);
    const { checkpoint, untied } = mergeAdapter(await base(adapter), adapter);
    const expected = await openCheckpoint(fileURLToPath(new URL(`${name}/expected.safetensors`, FIXTURES)));
    const merged = [...expected.tensors.keys()].filter((key) => key.startsWith("merged."));
    expect(untied).toBe(["head", "table", "table-saved"].includes(name));
    expect(merged.length > 0).toBe(!untied);
    for (const key of merged) {
      const ours = toFloat32(await checkpoint.read(canonicalName(key.slice("merged.".length))));
      const theirs = toFloat32(await expected.read(key));
      expect(ours.shape).toEqual(theirs.shape);
      expect(largest(ours.data, theirs.data)).toBeLessThan(TOLERANCES["adapters/merged"]);
    }
  });

  it("leaves everything else where it lies", async () => {
    const adapter = await open("text-q-v");
    const given = await base(adapter);
    const { checkpoint } = mergeAdapter(given, adapter);
    const moved = [...checkpoint.tensors]
      .filter(([name, ref]) => given.tensors.get(name) !== ref)
      .map(([name]) => name);
    expect(moved.toSorted()).toEqual([...adapter.updates.keys()].toSorted());
    expect(moved).toContain("language_model.model.layers.1.self_attn.v_proj.weight");
  });

  it("gives any range of a changed weight, in the format of the model", async () => {
    const adapter = await open("dora");
    const given = await base(adapter);
    const half = checkpointOf([...given.tensors.values()].map((ref) => castTensor(ref, "bfloat16")));
    const { tensors } = mergeAdapter(half, adapter).checkpoint;
    const ref = tensors.get([...adapter.updates.keys()][0])!;
    expect(ref.dtype).toBe("bfloat16");
    const whole = await ref.source.read(0, ref.end);
    const next = seeded(1);
    for (let i = 0; i < 50; i++) {
      const [start, end] = [Math.floor(next() * (ref.end + 1)), Math.floor(next() * (ref.end + 1))].toSorted(
        (a, b) => a - b,
      );
      expect(Buffer.compare(await ref.source.read(start, end), whole.slice(start, end))).toBe(0);
    }
    // Rounded once: the exact value to the nearest bfloat16.
    const exact = mergeAdapter(
      checkpointOf([...half.tensors.values()].map((r) => castTensor(r, "float32"))),
      adapter,
    ).checkpoint;
    const rounded = await readTensor(castTensor(exact.tensors.get(ref.name)!, "bfloat16"));
    expect(await readTensor(ref)).toEqual(rounded);
  });

  it("unties a tied output layer that only one side of changes", async () => {
    const adapter = await open("table");
    const given = await base(adapter);
    const { checkpoint } = mergeAdapter(given, adapter);
    const table = "language_model.model.embed_tokens.weight";
    expect(await checkpoint.read("language_model.lm_head.weight")).toEqual(await given.read(table));
    expect(await checkpoint.read(table)).not.toEqual(await given.read(table));
  });
});

describe("what does not fit", () => {
  const config = { peft_type: "LORA", r: 2, lora_alpha: 4, target_modules: ["q_proj"] };
  const matrix = (name: string, shape: readonly number[]): TensorRef =>
    ndTensor(name, { dtype: "float32", shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)) });
  const MODULE = "base_model.model.model.language_model.layers.0.self_attn.q_proj";
  async function files(json: unknown, tensors: readonly TensorRef[]): Promise<ModelFiles> {
    const contents = new Map([
      ["adapter_config.json", new TextEncoder().encode(typeof json === "string" ? json : JSON.stringify(json))],
      ["adapter_model.safetensors", await safetensorsBytes(tensors)],
    ]);
    return {
      name: "an adapter",
      paths: new Set(contents.keys()),
      open: async (path) => memorySource(contents.get(path)!, path),
    };
  }
  const factors = [matrix(`${MODULE}.lora_A.weight`, [2, 32]), matrix(`${MODULE}.lora_B.weight`, [32, 2])];

  it.each([
    [{ ...config, peft_type: "IA3" }, 'peft_type is "IA3"'],
    [{ ...config, fan_in_fan_out: true }, "fan_in_fan_out is set"],
    [{ ...config, layer_replication: [[0, 4]] }, "layer_replication is set"],
    [{ ...config, init_lora_weights: "pissa" }, "changes the base model"],
    [{ ...config, lora_alpha: "8" }, 'lora_alpha is "8"'],
    [{ ...config, alpha_pattern: { "(a+)+b": 2 } }, "is too wild"],
    [{ ...config, alpha_pattern: { "a*b*c*d*e*": 2 } }, "is too wild"],
    [{ ...config, alpha_pattern: { "(": 2 } }, "is too wild"],
    [{ ...config, alpha_pattern: [1] }, "alpha_pattern"],
    [{ ...config, use_dora: true }, "has no magnitudes"],
    ["{", "is not JSON"],
    ['{"r":1,"r":2}', 'has the key "r" twice'],
  ])("%j", async (json, says) => {
    await expect(openAdapter(await files(json, factors))).rejects.toMatchObject({
      code: "weights/adapter",
      message: expect.stringContaining(says),
    });
  });

  it.each([
    ["half a pair", [factors[0]], "has no lora_B"],
    ["ranks that differ", [factors[0], matrix(`${MODULE}.lora_B.weight`, [32, 3])], "whose ranks do not meet"],
    ["unasked magnitudes", [...factors, matrix(`${MODULE}.lora_magnitude_vector`, [32])], "does not say DoRA"],
  ])("%s", async (_, tensors, says) => {
    await expect(openAdapter(await files(config, tensors))).rejects.toMatchObject({
      code: "weights/adapter",
      message: expect.stringContaining(says),
    });
  });

  it.each([
    [
      "another width",
      [matrix(`${MODULE}.lora_A.weight`, [2, 64]), factors[1]],
      "which is [32, 32]; was it trained on another model?",
    ],
    [
      "another layer",
      factors.map((ref) => ({ ...ref, name: ref.name.replace("layers.0", "layers.7") })),
      "layers.7.self_attn.q_proj.weight, which the model does not have (it has",
    ],
    [
      "a saved module of another shape",
      [matrix("base_model.model.model.multi_modal_projector.linear.weight", [1, 1])],
      "brings [1, 1] for multi_modal_projector.linear.weight",
    ],
  ])("a model of %s", async (_, tensors, says) => {
    const adapter = await openAdapter(await files(config, tensors));
    const tiny = await base({ ...adapter, config: { ...adapter.config, baseModel: "pg1-tiny" } });
    expect(() => mergeAdapter(tiny, adapter)).toThrow(says);
  });

  it("tensors as a pickle", async () => {
    const paths = new Set(["adapter_config.json", "adapter_model.bin"]);
    await expect(openAdapter({ name: "x", paths, open: async () => memorySource(new Uint8Array(0)) })).rejects.toThrow(
      "safe_serialization=True",
    );
  });
});
