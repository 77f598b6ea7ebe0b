import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { toFloat32 } from "@paligemma/core";
import {
  castTensor,
  checkpointOf,
  fromBigVision,
  memorySource,
  ndTensor,
  openModel,
  openNpz,
  openSafetensors,
  readTensor,
  toBigVision,
  type BigVisionSizes,
  type Checkpoint,
} from "@paligemma/weights";
import { openCheckpoint } from "@paligemma/weights/node";
import { describe, expect, it } from "vitest";

const fixture = async (name: string): Promise<Uint8Array> =>
  new Uint8Array(await readFile(new URL(`fixtures/${name}`, import.meta.url)));
const EMBED = "language_model.model.embed_tokens.weight";
const kinds = ["gemma", "gemma2"] as const;
const open = async (kind: string): Promise<Checkpoint> =>
  openNpz(memorySource(await fixture(`big-vision-${kind}.npz`)));
const sizes = (modelType: "gemma" | "gemma2"): BigVisionSizes => ({
  text: { modelType, numHiddenLayers: 3, numAttentionHeads: 4, numKeyValueHeads: modelType === "gemma" ? 1 : 2 },
  vision: { numHiddenLayers: 2, numAttentionHeads: 2 },
  imageTokenIndex: 10,
});

describe.each(kinds)("%s", (kind) => {
  it("is what the independent script makes of it, bit for bit", async () => {
    const converted = fromBigVision(await open(kind), { vocabSize: 10 });
    const expected = await openSafetensors(memorySource(await fixture(`big-vision-${kind}.safetensors`)));
    expect([...converted.tensors.keys()].toSorted()).toEqual([...expected.tensors.keys()].toSorted());
    for (const name of expected.tensors.keys())
      expect([name, await converted.read(name)]).toEqual([name, await expected.read(name)]);
  });

  it("comes back from the released layout unchanged", async () => {
    const npz = await open(kind);
    const released = await openSafetensors(memorySource(await fixture(`big-vision-${kind}.safetensors`)));
    const back = toBigVision(released, sizes(kind));
    expect([...back.tensors.keys()].toSorted()).toEqual([...npz.tensors.keys()].toSorted());
    for (const name of npz.tensors.keys()) expect([name, await back.read(name)]).toEqual([name, await npz.read(name)]);
    // And through both, with the rows that the release adds.
    const again = toBigVision(fromBigVision(npz), sizes(kind));
    for (const name of npz.tensors.keys()) expect(await again.read(name)).toEqual(await npz.read(name));
  });

  it("fills the token table with rows that never win", async () => {
    const table = toFloat32(await fromBigVision(await open(kind)).read(EMBED));
    expect(table.shape).toEqual([64, 12]);
    const logits = Array.from({ length: 64 }, (_, row) =>
      table.data.slice(row * 12, row * 12 + 12).reduce((sum, x, i) => sum + x * Math.cos(i), 0),
    );
    expect(Math.max(...logits.slice(10))).toBeLessThan(Math.max(...logits.slice(0, 10)));
    const mean = logits.slice(0, 10).reduce((sum, x) => sum + x, 0) / 10;
    for (const logit of logits.slice(10)) expect(Math.abs(logit - mean)).toBeLessThan(0.05);
  });

  it("opens from a folder, whole or in parts", async () => {
    const bytes = await fixture(`big-vision-${kind}.npz`);
    const cut = (n: number): Uint8Array => bytes.slice((n * bytes.length) / 11, ((n + 1) * bytes.length) / 11);
    const parts = Object.fromEntries(Array.from({ length: 11 }, (_, n) => [`b.npz.part${n}`, cut(n)]));
    for (const files of [{ "a.npz": bytes, "README.md": bytes }, parts]) {
      const contents = new Map(Object.entries(files));
      const model = await openModel({
        name: "folder",
        paths: new Set(contents.keys()),
        open: async (path) => memorySource(contents.get(path)!, path),
      });
      expect((await model.read(EMBED)).shape).toEqual([64, 12]);
    }
  });
});

describe("big_vision's checkpoints", () => {
  it("open by their path", async () => {
    const path = fileURLToPath(new URL("fixtures/big-vision-gemma.npz", import.meta.url));
    const { tensors } = await openCheckpoint(path);
    // What needs only another name stays in the file, where a runtime can map it.
    expect(tensors.get("language_model.model.layers.2.input_layernorm.weight")).toMatchObject({ source: { path } });
    expect(tensors.get("language_model.model.layers.2.mlp.up_proj.weight")?.source.path).toBeUndefined();
  });

  it("tell everything that does not fit", async () => {
    const { tensors } = await open("gemma2");
    const refs = [...tensors.values()].filter(({ name }) => name !== "params/img/head/bias");
    const extra = ndTensor("params/opt/count", { dtype: "int32", shape: [], data: new Int32Array(1) });
    const flat = refs.map((ref) =>
      ref.name === "params/llm/layers/mlp/gating_einsum" ? { ...ref, shape: [3, 480] } : ref,
    );
    const error = await Promise.resolve()
      .then(() => fromBigVision(checkpointOf([...flat, extra])))
      .catch((e: unknown) => e);
    expect(error).toMatchObject({ code: "weights/mismatch" });
    expect(String(error)).toContain("missing: img/head/bias");
    expect(String(error)).toContain("superfluous: opt/count");
    expect(String(error)).toContain("misshapen: llm/layers/mlp/gating_einsum is [3, 480], needed is layers, @0 D F");
    expect(() => fromBigVision(checkpointOf(tensors.values()), { vocabSize: 5 })).toThrow(
      "the token table has 10 rows, 5 are wanted",
    );
  });

  it("refuse what they cannot hold", async () => {
    const released = await openSafetensors(memorySource(await fixture("big-vision-gemma.safetensors")));
    const untied = checkpointOf([
      ...released.tensors.values(),
      ndTensor("language_model.lm_head.weight", await released.read(EMBED)),
    ]);
    expect(() => toBigVision(untied, sizes("gemma"))).toThrow("language_model.lm_head.weight");
    const heads = { ...sizes("gemma"), vision: { numHiddenLayers: 2, numAttentionHeads: 3 } };
    expect(() => toBigVision(released, heads)).toThrow("which 3 heads do not divide");
    const mixed = checkpointOf(
      [...released.tensors.values()].map((ref) =>
        ref.name.includes("layers.1.mlp.fc1.weight") ? castTensor(ref, "float16") : ref,
      ),
    );
    expect(() => toBigVision(mixed, sizes("gemma"))).toThrow("cast them first");
    expect((await readTensor(released.tensors.get(EMBED)!)).shape).toEqual([10, 12]);
  });
});
