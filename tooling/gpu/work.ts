import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseConfig } from "@paligemma/config";
import { findQuantized, canonicalNames } from "@paligemma/weights";
import { openCheckpoint } from "@paligemma/weights/node";

/** A precision that limits are measured in. */
export type Precision = "float32" | "int8" | "int4";

/** Multiplications and additions of products, and of attention between what products make, which is float32 in every precision. */
interface Operations {
  readonly precision: Precision;
  readonly products: number;
  readonly attention: number;
}

/** What a model has to do: what its times are held against. */
export interface Work {
  /** For one picture. */
  readonly picture: Operations;
  /** For a prompt of one picture and so many other tokens, the picture not included. */
  readonly prompt: Operations;
  /** Bytes of weights and of the cache after such a prompt that a token reads. */
  readonly token: { readonly precision: Precision; readonly bytes: number };
}

/** Counts the work of a checkpoint or bundle for prompts with so many tokens beside those of the picture. */
export async function workOf(folder: string, textTokens: number): Promise<Work> {
  const config = parseConfig(JSON.parse(await readFile(join(folder, "config.json"), "utf8")));
  const checkpoint = canonicalNames(await openCheckpoint(folder));
  const precisionOf = (name: string): Precision => {
    const found = findQuantized(checkpoint, name);
    return found ? `int${found.bits}` : "float32";
  };
  const { vision: v, text: t, numImageTokens: patches } = config;
  const square = (rows: number, width: number): number => 4 * rows * rows * width;
  const perPatch = 4 * v.hiddenSize ** 2 + 2 * v.hiddenSize * v.intermediateSize;
  const ends = v.numChannels * v.patchSize ** 2 * v.hiddenSize + v.hiddenSize * t.hiddenSize;

  const tokens = patches + textTokens;
  const [width, narrow] = [t.numAttentionHeads * t.headDim, 2 * t.numKeyValueHeads * t.headDim];
  const perToken = (2 * width + narrow) * t.hiddenSize + 3 * t.hiddenSize * t.intermediateSize;
  // In the last layer only keys and values are made of tokens that nobody asks for; the output layer is asked once.
  const layers = (t.numHiddenLayers - 1) * tokens * perToken + tokens * narrow * t.hiddenSize + perToken;

  // Half precision is float32 once it was loaded.
  const weights = [...checkpoint.tensors.values()]
    .filter(({ name }) => name.startsWith("language_model."))
    .reduce((sum, { dtype, start, end }) => sum + (end - start) * (dtype.endsWith("float16") ? 2 : 1), 0);
  return {
    picture: {
      precision: precisionOf("vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight"),
      products: 2 * patches * (v.numHiddenLayers * perPatch + ends),
      attention: v.numHiddenLayers * square(patches, v.hiddenSize),
    },
    prompt: {
      precision: precisionOf("language_model.model.layers.0.mlp.up_proj.weight"),
      products: 2 * (layers + t.vocabSize * t.hiddenSize),
      attention: (t.numHiddenLayers - 1) * square(tokens, width) + 4 * tokens * width,
    },
    token: {
      precision: precisionOf("language_model.model.layers.0.mlp.up_proj.weight"),
      bytes: weights + t.numHiddenLayers * narrow * tokens * Float32Array.BYTES_PER_ELEMENT,
    },
  };
}
