import { parseConfig, type GemmaConfig } from "@paligemma/config";
import { ndArray, type NdArray } from "@paligemma/core";

/** A decoder of a PaliGemma whose encoder is as small as they come; `text` says what it is, as in a config.json. */
export function decoderConfig(
  text: Readonly<Record<string, unknown>> & { readonly vocab_size: number; readonly hidden_size: number },
): GemmaConfig {
  return parseConfig({
    model_type: "paligemma",
    image_token_index: text.vocab_size - 1,
    projection_dim: text.hidden_size,
    vision_config: {
      hidden_size: 32,
      intermediate_size: 64,
      num_hidden_layers: 1,
      num_attention_heads: 2,
      image_size: 28,
      patch_size: 14,
    },
    text_config: { num_image_tokens: 4, ...text },
  }).text;
}

/** The same with as few layers as there are, and an output layer large enough to be worth leaving out; `more` of what else it is. */
export function largeHeadConfig(
  modelType: "gemma" | "gemma2",
  more: Readonly<Record<string, unknown>> = {},
): GemmaConfig {
  return decoderConfig({
    model_type: modelType,
    vocab_size: 65_664,
    hidden_size: 64,
    intermediate_size: 128,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    head_dim: 32,
    ...more,
  });
}

/** Numbers in [−size / 2, size / 2), the same for equal seeds. */
export function randomNumbers(shape: readonly number[], seed: number, size: number): NdArray<"float32"> {
  let state = seed + 1;
  const next = (): number => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32 - 0.5;
  const count = shape.reduce((product, n) => product * n, 1);
  return ndArray(
    "float32",
    shape,
    Float32Array.from({ length: count }, () => next() * size),
  );
}

/** Token ids, row after row. */
export function idsOf(...rows: readonly (readonly number[])[]): NdArray<"int64"> {
  return ndArray("int64", [rows.length, rows[0]!.length], BigInt64Array.from(rows.flat().map(BigInt)));
}
