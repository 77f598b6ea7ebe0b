import type { GemmaConfig } from "@paligemma/config";
import {
  add,
  cast,
  div,
  gather,
  gatherQuantized,
  mul,
  multiplyQuantized,
  multiplyTransposed,
  rmsNorm,
  rotaryTables,
  scalar,
  tanh,
  type Graph,
  type RotaryTables,
  type Value,
  type Weights,
} from "@paligemma/graph";
import { positionsServed } from "./network.ts";

/** Where the decoder's tensors stand in a checkpoint under its released names. */
export const GEMMA_PREFIX = "language_model.model";
const HEAD = "language_model.lm_head";

/** The rotary tables of a decoder, for every position that it may reach. */
export function gemmaRotary(g: Graph, c: GemmaConfig): RotaryTables {
  return rotaryTables(g, {
    positions: positionsServed(c),
    headDim: c.headDim,
    theta: c.ropeTheta,
  });
}

/**
 * Rows of the token table times √hidden, ids [...] → [..., hidden] in float32; `w` is at `GEMMA_PREFIX`. The table
 * stays in the file's format; only the rows are converted.
 */
export function embedTokens(ids: Value, w: Weights, c: GemmaConfig): Value {
  const table = w.at("embed_tokens");
  const shape = [c.vocabSize, c.hiddenSize] as const;
  const quantized = table.quantized("weight", shape);
  const found = quantized ? gatherQuantized(quantized, ids) : gather(table.stored("weight", shape), ids);
  let rows = cast(found, "float32");
  const update = table.lowRank("weight", [c.hiddenSize, c.vocabSize], "rows");
  if (update) rows = add(rows, cast(multiplyTransposed(gather(update.a, ids), update.b), "float32"));
  return mul(rows, scalar(ids.graph, Math.sqrt(c.hiddenSize), "float32"));
}

/** Scores of all tokens after `hidden` [n, hidden], the decoder's output before its last norm: float32 [n, vocabulary]. */
export function tokenScores(hidden: Value, root: Weights, c: GemmaConfig, finalSoftcap = false): Value {
  const { graph } = hidden;
  let logits = head(rmsNorm(hidden, root.at(GEMMA_PREFIX, "norm"), c.rmsNormEps), root, c);
  if (finalSoftcap && c.finalLogitSoftcapping) {
    const cap = scalar(graph, c.finalLogitSoftcapping);
    logits = mul(tanh(div(logits, cap)), cap);
  }
  return cast(logits, "float32");
}

/** The token table again, unscaled, unless the checkpoint has a head of its own and is not tied. */
function head(x: Value, root: Weights, c: GemmaConfig): Value {
  const own = !c.tieWordEmbeddings && root.at(HEAD).has("weight");
  const scope = own ? root.at(HEAD) : root.at(GEMMA_PREFIX, "embed_tokens");
  const shape = [c.vocabSize, c.hiddenSize] as const;
  const quantized = scope.quantized("weight", shape);
  return quantized ? multiplyQuantized(x, quantized) : multiplyTransposed(x, scope.tensor("weight", shape));
}
