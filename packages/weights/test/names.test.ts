import { readFileSync } from "node:fs";
import { parseConfig, releasedTensors } from "@paligemma/config";
import {
  canonicalName,
  canonicalNames,
  checkpointOf,
  matchTensors,
  type Checkpoint,
  type TensorRef,
} from "@paligemma/weights";
import { describe, expect, it } from "vitest";

type Shapes = Readonly<Record<string, readonly number[]>>;
const { names } = JSON.parse(readFileSync(new URL("fixtures/names.json", import.meta.url), "utf8")) as {
  names: Readonly<Record<string, Readonly<Record<string, Shapes>>>>;
};

function checkpoint(shapes: Shapes | ReadonlyMap<string, readonly number[]>): Checkpoint {
  const source = { name: "none", size: 0, read: async () => new Uint8Array(0) };
  const all = shapes instanceof Map ? [...shapes] : Object.entries(shapes as Shapes);
  return checkpointOf(
    all.map(([name, shape]): TensorRef => ({ name, dtype: "float32", shape, source, start: 0, end: 0 })),
  );
}

function released(modelType: string): ReadonlyMap<string, readonly number[]> {
  const text = {
    model_type: modelType,
    vocab_size: 300,
    hidden_size: 32,
    intermediate_size: 64,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 1,
    head_dim: 8,
  };
  const vision = {
    hidden_size: 32,
    intermediate_size: 48,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    image_size: 28,
    patch_size: 14,
  };
  return releasedTensors(
    parseConfig({
      model_type: "paligemma",
      projection_dim: 32,
      image_token_index: 256,
      text_config: text,
      vision_config: vision,
    }),
  );
}

const cases = Object.entries(names).flatMap(([model, spellings]) =>
  Object.entries(spellings).map(([spelling, shapes]) => ({ model, spelling, shapes })),
);

describe("every spelling becomes the released one", () => {
  it.each(cases)("$model, $spelling", ({ model, spelling, shapes }) => {
    const expected = released(model);
    const given = canonicalNames(checkpoint(shapes));
    const alone = { "decoder alone": /^language_model\./, "encoder alone": /^vision_tower\./ }[spelling] ?? /./;
    const wanted = new Map([...expected].filter(([name]) => alone.test(name)));
    matchTensors(given, wanted, { optional: ["language_model.lm_head.weight"] });
    expect([...canonicalNames(given).tensors.keys()]).toEqual([...given.tensors.keys()]);
  });

  it("leaves released names alone", () => {
    for (const name of released("gemma2").keys()) expect(canonicalName(name)).toBe(name);
    expect(canonicalName("language_model.lm_head.weight")).toBe("language_model.lm_head.weight");
  });

  it("reads older spellings too", () => {
    const pairs = {
      "model.vision_tower.vision_model.post_layernorm.bias": "vision_tower.vision_model.post_layernorm.bias",
      "language_model.layers.0.mlp.up_proj.weight": "language_model.model.layers.0.mlp.up_proj.weight",
      "model.language_model.model.norm.weight": "language_model.model.norm.weight",
      "model.language_model.lm_head.weight": "language_model.lm_head.weight",
      "model.layers.3.self_attn.q_proj.weight": "language_model.model.layers.3.self_attn.q_proj.weight",
      "vision_model.encoder.layers.1.mlp.fc1.bias": "vision_tower.vision_model.encoder.layers.1.mlp.fc1.bias",
      "base_model.model.model.multi_modal_projector.linear.bias": "multi_modal_projector.linear.bias",
      "something.else": "something.else",
    };
    for (const [given, wanted] of Object.entries(pairs)) {
      expect(canonicalName(given)).toBe(wanted);
      expect(canonicalName(wanted)).toBe(wanted);
    }
  });

  it("leaves out tables that follow from the configuration", () => {
    const given = checkpoint({
      "vision_tower.vision_model.embeddings.position_ids": [1],
      "model.layers.0.self_attn.rotary_emb.inv_freq": [4],
    });
    expect(canonicalNames(given).tensors.size).toBe(0);
  });

  it("refuses two spellings of one tensor", () => {
    const given = checkpoint({ "model.language_model.norm.weight": [1], "language_model.model.norm.weight": [1] });
    expect(() => canonicalNames(given)).toThrow(
      "model.language_model.norm.weight and language_model.model.norm.weight are both language_model.model.norm.weight",
    );
  });
});

describe("matchTensors", () => {
  it("tells everything at once, with the nearest name", () => {
    const shapes = new Map(released("gemma"));
    const norm = "language_model.model.norm.weight";
    const bias = "multi_modal_projector.linear.bias";
    shapes.delete(norm);
    shapes.set("language_model.model.norm.wieght", [32]);
    shapes.set(bias, [33]);
    shapes.set("extra", [1]);
    let message = "";
    try {
      matchTensors(checkpoint(shapes), released("gemma"));
    } catch (error) {
      message = String(error);
    }
    expect(message).toContain("weights/mismatch");
    expect(message).toContain(`1 missing:\n  ${norm} (there is language_model.model.norm.wieght)`);
    expect(message).toContain("2 superfluous:\n  language_model.model.norm.wieght\n  extra");
    expect(message).toContain(`1 of another shape:\n  ${bias} is [33], needed is [32]`);
  });

  it("lists twenty of each kind and counts the rest", () => {
    const expected = new Map(Array.from({ length: 50 }, (_, i) => [`t${i}`, [1]]));
    expect(() => matchTensors(checkpoint({}), expected)).toThrow("and 30 more");
  });

  it("lets optional tensors be there or not", () => {
    const optional = { optional: ["language_model.lm_head.weight"] };
    const shapes = new Map(released("gemma"));
    matchTensors(checkpoint(shapes), released("gemma"), optional);
    matchTensors(checkpoint(shapes.set("language_model.lm_head.weight", [300, 32])), released("gemma"), optional);
  });
});
