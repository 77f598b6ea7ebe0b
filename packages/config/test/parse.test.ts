import { readFileSync } from "node:fs";
import { LIMITS, configToJson, parseConfig, parseGemmaConfig, parseSiglipConfig, presets } from "@paligemma/config";
import { isPaliGemmaError } from "@paligemma/core";
import { describe, expect, it } from "vitest";

type Json = Record<string, unknown>;
interface Case {
  readonly name: string;
  readonly given: Json;
  readonly saved?: Json;
  readonly resolved: Json & { readonly text: Json; readonly vision: Json };
}

const fixture = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`fixtures/${name}`, import.meta.url), "utf8"));
const { cases } = fixture("defaults.json") as { readonly cases: readonly Case[] };

/** camelCase → snake_case. */
const snake = (key: string): string => key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const problems = (json: unknown): string => {
  try {
    parseConfig(json);
  } catch (error) {
    if (isPaliGemmaError(error, "config/invalid")) return error.message;
    throw error;
  }
  throw new Error("accepted");
};
const sparse = (): Json & { text_config: Json; vision_config: Json } => structuredClone(cases[0]!.given) as never;

describe("transformers resolves sparse files to the same values", () => {
  it.each(cases)("$name", ({ given, saved, resolved }) => {
    const config = parseConfig(given);
    for (const [ours, theirs] of [
      [config.text, resolved.text],
      [config.vision, resolved.vision],
    ] as const) {
      for (const [key, value] of Object.entries(ours)) {
        // Gemma 1 has no such keys; without a window transformers keeps the list that names it, to no effect.
        if (!(snake(key) in theirs) || (key === "layerTypes" && config.text.slidingWindow === null)) continue;
        expect([key, value]).toEqual([key, theirs[snake(key)]]);
      }
    }
    expect(config.imageTokenIndex).toBe(resolved["image_token_index"]);
    expect(config.numImageTokens).toBe(resolved["num_image_tokens"]);
    expect(config.text.tieWordEmbeddings).toBe(resolved["tie_word_embeddings"]);
    if (saved)
      expect({ ...parseConfig(saved), eosTokenIds: [], dtype: null }).toEqual({
        ...config,
        eosTokenIds: [],
        dtype: null,
      });
  });

  it("released files are the presets", () => {
    for (const { name, given } of cases) {
      if (name in presets) expect(parseConfig(given)).toEqual(presets[name as keyof typeof presets]);
    }
  });
});

describe("saved by transformers 5", () => {
  it.each(["pg1-tiny", "pg2-tiny", "pg2-tiny-w4"])("%s", (name) => {
    const config = parseConfig(fixture(`${name}.json`));
    expect(config).toMatchObject({
      projectionDim: 32,
      numImageTokens: 4,
      imageTokenIndex: 256,
      bosTokenId: 2,
      eosTokenIds: [1],
      padTokenId: 0,
      dtype: null,
      text: { vocabSize: 300, headDim: 8, queryPreAttnScalar: 8, ropeTheta: 10_000 },
      vision: { imageSize: 28, patchSize: 14 },
    });
    expect(config.text.slidingWindow).toBe({ "pg1-tiny": null, "pg2-tiny": 4096, "pg2-tiny-w4": 4 }[name]);
    expect(parseConfig(configToJson(config))).toEqual(config);
  });
});

describe("spellings", () => {
  it("reads both of each renamed key", () => {
    const { image_token_index, torch_dtype, ...rest } = sparse();
    const renamed = { ...rest, image_token_id: image_token_index, dtype: torch_dtype };
    expect(parseConfig(renamed)).toEqual(parseConfig(sparse()));
  });

  it("refuses two that disagree", () => {
    expect(problems({ ...sparse(), image_token_id: 5 })).toContain(
      "image_token_id is 5; allowed: what image_token_index, its other spelling, says: 257152",
    );
    const json = sparse();
    json.text_config["rope_theta"] = 1;
    json.text_config["rope_parameters"] = { rope_type: "default", rope_theta: 2 };
    expect(problems(json)).toContain("text_config.rope_theta is 1; allowed: what rope_parameters.rope_theta");
  });

  it("takes the end of a text as an id or a list", () => {
    expect(parseConfig({ ...sparse(), eos_token_id: [1, 107] }).eosTokenIds).toEqual([1, 107]);
    const { eos_token_id: _, ...rest } = sparse();
    expect(
      parseConfig({ ...rest, text_config: { ...sparse().text_config, eos_token_id: [1, 107] } }).eosTokenIds,
    ).toEqual([1, 107]);
    expect(parseConfig(rest).eosTokenIds).toEqual([1]);
  });
});

describe("wrong files", () => {
  it("names every wrong field with its value and what is allowed, at once", () => {
    const json = sparse();
    json.vision_config["patch_size"] = -1;
    json.text_config["num_hidden_layers"] = "18";
    json.text_config["attention_bias"] = true;
    json["torch_dtype"] = "int3";
    const message = problems(json);
    expect(message).toContain("vision_config.patch_size is -1; allowed: an integer from 1 to");
    expect(message).toContain('text_config.num_hidden_layers is "18"; allowed: an integer from 1 to 512');
    expect(message).toContain("text_config.attention_bias is true; allowed: false");
    expect(message).toContain('torch_dtype is "int3"; allowed: "float32" or "float16" or "bfloat16"');
  });

  it.each([
    ["an unknown model", { model_type: "llava" }, 'model_type is "llava"; allowed: "paligemma"'],
    ["no model type", {}, 'model_type is missing; allowed: "paligemma"'],
    ["an array", [], "is an array, not an object"],
    ["null", null, "is null, not an object"],
    ["text", "{}", "is a string, not an object"],
    [
      "an unknown decoder",
      { model_type: "paligemma", text_config: { model_type: "llama" } },
      'text_config.model_type is "llama"; allowed: "gemma" or "gemma2"',
    ],
    [
      "an unknown encoder",
      { model_type: "paligemma", vision_config: { model_type: "clip" } },
      'vision_config.model_type is "clip"',
    ],
    ["a list for an object", { model_type: "paligemma", text_config: [] }, "text_config is []; allowed: an object"],
  ])("%s", (_, json, message) => expect(problems(json)).toContain(message));

  it.each([
    ["text_config", "num_hidden_layers", LIMITS.layers + 1],
    ["text_config", "hidden_size", 1e12],
    ["text_config", "vocab_size", 1e9],
    ["text_config", "num_key_value_heads", 3],
    ["text_config", "head_dim", 255],
    ["text_config", "rms_norm_eps", 0],
    ["text_config", "rope_theta", "10000"],
    ["text_config", "rope_scaling", { rope_type: "linear", factor: 2 }],
    ["text_config", "rope_parameters", { rope_type: "yarn", rope_theta: 1 }],
    ["text_config", "hidden_activation", "relu"],
    ["text_config", "layer_types", ["full_attention"]],
    ["text_config", "eos_token_id", []],
    ["vision_config", "num_hidden_layers", 1e9],
    ["vision_config", "image_size", 1e6],
    ["vision_config", "patch_size", 2048],
    ["vision_config", "num_attention_heads", 7],
    ["vision_config", "hidden_act", "quick_gelu"],
    ["vision_config", "vision_use_head", true],
  ])("%s.%s = %j", (part, key, value) => {
    const { eos_token_id: _, ...json } = sparse();
    expect(problems({ ...json, [part]: { ...(json[part] as Json), [key]: value } })).toContain(part);
  });

  it.each([
    ["projection_dim", 1024],
    ["image_token_index", 257_216],
    ["image_token_index", -1],
    ["bos_token_id", 1.5],
    ["eos_token_id", ["</s>"]],
    ["eos_token_id", Array.from({ length: 1000 }, () => 1)],
    ["tie_word_embeddings", "yes"],
  ])("%s = %j", (key, value) => expect(problems({ ...sparse(), [key]: value })).toContain(`${key} is`));

  it("a grid of patches too large for any machine", () => {
    const json = sparse();
    json.vision_config["image_size"] = 16_384;
    json.vision_config["patch_size"] = 1;
    expect(problems(json)).toContain("patch_size is 1; allowed: one that gives at most 65536 patches");
  });

  it("keeps messages readable whatever the value", () => {
    expect(problems({ ...sparse(), projection_dim: "x".repeat(1e6) }).length).toBeLessThan(300);
  });

  it("does not read what an object inherits", () => {
    const json = JSON.parse('{"model_type":"paligemma","__proto__":{"projection_dim":7}}') as unknown;
    expect(parseConfig(json).projectionDim).toBe(2048);
  });
});

describe("parts alone", () => {
  it("reads a decoder", () => {
    expect(parseGemmaConfig({ model_type: "gemma2", vocab_size: 300 })).toMatchObject({
      hiddenSize: 2304,
      slidingWindow: 4096,
      vocabSize: 300,
    });
    expect(() => parseGemmaConfig({ model_type: "gemma3" })).toThrow(
      'model_type is "gemma3"; allowed: "gemma" or "gemma2"',
    );
    expect(() => parseGemmaConfig({ model_type: "gemma", use_bidirectional_attention: true })).toThrow(
      "use_bidirectional_attention",
    );
  });

  it("reads a vision encoder, alone or as a half of a SigLIP", () => {
    const vision = { model_type: "siglip_vision_model", image_size: 384, patch_size: 14 };
    expect(parseSiglipConfig(vision)).toMatchObject({ imageSize: 384, hiddenSize: 768 });
    expect(parseSiglipConfig({ model_type: "siglip", vision_config: vision })).toEqual(parseSiglipConfig(vision));
  });
});
