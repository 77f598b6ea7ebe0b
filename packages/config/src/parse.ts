import { PaliGemmaError } from "@paligemma/core";
import { Fields, isObject, type Problems } from "./fields.ts";
import { LIMITS } from "./limits.ts";
import { readGemma } from "./text.ts";
import type { GemmaConfig, PaliGemmaConfig, SiglipConfig, WeightDType } from "./types.ts";
import { ABSENT_VISION, SIGLIP_DEFAULTS, imageTokens, readSiglip } from "./vision.ts";

const DTYPES: readonly WeightDType[] = ["float32", "float16", "bfloat16"];

/** What `PaliGemmaConfig` of transformers 5.18 assumes where the whole `text_config` is absent. */
const ABSENT_TEXT = {
  model_type: "gemma",
  hidden_size: 2048,
  num_hidden_layers: 18,
  intermediate_size: 16384,
  num_attention_heads: 8,
  num_key_value_heads: 1,
};

/**
 * A PaliGemma's `config.json`, complete. Released files are sparse: what they leave out comes from the class defaults of
 * transformers 5.18. Throws `config/invalid` with every wrong field, its value and what is allowed.
 */
export function parseConfig(json: unknown): PaliGemmaConfig {
  return parse(json, ["paligemma"], (fields, problems) => {
    const tie = fields.has("tie_word_embeddings") ? fields.flag("tie_word_embeddings", true) : undefined;
    const textFields = fields.inside("text_config");
    const absent = { ...ABSENT_TEXT, vocab_size: fields.integer("vocab_size", 257_152, LIMITS.vocabulary) };
    const text = readGemma(textFields ?? new Fields(absent, "text_config.", problems), tie);
    const visionFields = fields.inside("vision_config");
    const vision = readSiglip(
      visionFields ?? new Fields({}, "vision_config.", problems),
      visionFields ? SIGLIP_DEFAULTS : ABSENT_VISION,
    );
    const config: PaliGemmaConfig = {
      modelType: "paligemma",
      text,
      vision,
      projectionDim: fields.integer("projection_dim", 2048, LIMITS.width),
      numImageTokens: imageTokens(vision),
      imageTokenIndex: fields.integer(["image_token_index", "image_token_id"], 256_000, LIMITS.vocabulary, 0),
      bosTokenId: readId("bos_token_id", 2, fields, textFields),
      eosTokenIds: readIds("eos_token_id", 1, fields, textFields),
      padTokenId: readId("pad_token_id", 0, fields, textFields),
      dtype: readDType(fields) ?? (textFields ? readDType(textFields) : null),
    };
    if (!fields.clean) return config;
    if (config.projectionDim !== text.hiddenSize) {
      fields.wrong(
        "projection_dim",
        config.projectionDim,
        `text_config.hidden_size, ${text.hiddenSize}: image features join the text's hidden states`,
      );
    }
    if (config.imageTokenIndex >= text.vocabSize) {
      fields.wrong(
        "image_token_index",
        config.imageTokenIndex,
        `an id below text_config.vocab_size, ${text.vocabSize}`,
      );
    }
    return config;
  });
}

/** The `config.json` of a Gemma 1 or Gemma 2 alone. Throws like `parseConfig`. */
export function parseGemmaConfig(json: unknown): GemmaConfig {
  return parse(json, ["gemma", "gemma2"], (fields) => {
    if (fields.flag("use_bidirectional_attention", false)) {
      fields.wrong("use_bidirectional_attention", true, "false or absent: a text decoder alone is causal");
    }
    return readGemma(fields);
  });
}

/** The `config.json` of a SigLIP vision encoder, or of a whole SigLIP whose `vision_config` is read. Throws like `parseConfig`. */
export function parseSiglipConfig(json: unknown): SiglipConfig {
  return parse(json, ["siglip", "siglip_vision_model"], (fields, problems) => {
    const whole = fields.raw("model_type") === "siglip";
    const vision = whole ? (fields.inside("vision_config") ?? new Fields({}, "vision_config.", problems)) : fields;
    return readSiglip(vision, SIGLIP_DEFAULTS);
  });
}

function parse<T>(json: unknown, types: readonly string[], read: (fields: Fields, problems: Problems) => T): T {
  if (!isObject(json)) {
    throw new PaliGemmaError(
      "config/invalid",
      `the configuration is ${json === null ? "null" : Array.isArray(json) ? "an array" : `a ${typeof json}`}, not an object; hand over what JSON.parse gives for config.json`,
    );
  }
  const type = json["model_type"];
  if (!types.some((known) => known === type)) {
    const given = type === undefined ? "missing" : JSON.stringify(type)?.slice(0, 60);
    throw new PaliGemmaError(
      "config/invalid",
      `model_type is ${given}; allowed: ${types.map((name) => `"${name}"`).join(" or ")}`,
    );
  }
  const problems: Problems = [];
  const config = read(new Fields(json, "", problems), problems);
  if (problems.length > 0) throw new PaliGemmaError("config/invalid", problems.join("\n"));
  return config;
}

/** `dtype`, before transformers 5 `torch_dtype`. */
function readDType(fields: Fields): WeightDType | null {
  const given = fields.raw("dtype", "torch_dtype");
  if (given === undefined) return null;
  return fields.choice(["dtype", "torch_dtype"], "float32", DTYPES);
}

/** A token id of the top level, else of `text_config`. */
function readId(key: string, missing: number, fields: Fields, text: Fields | undefined): number {
  return fields.integer(key, text?.integer(key, missing, LIMITS.vocabulary, 0) ?? missing, LIMITS.vocabulary, 0);
}

function readIds(key: string, missing: number, fields: Fields, text: Fields | undefined): readonly number[] {
  const owner = fields.raw(key) === undefined && text?.raw(key) !== undefined ? text : fields;
  const given = owner.raw(key);
  if (!Array.isArray(given)) return [readId(key, missing, owner, undefined)];
  if (given.length > 0 && given.length <= LIMITS.endIds && given.every(isId)) return [...given];
  owner.wrong(key, given, `a token id, or a list of 1 to ${LIMITS.endIds} of them`);
  return [missing];
}

function isId(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value < LIMITS.vocabulary;
}
