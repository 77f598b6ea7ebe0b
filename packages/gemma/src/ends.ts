import type { GemmaConfig } from "@paligemma/config";
import {
  add,
  cast,
  choicesFor,
  div,
  gather,
  gatherQuantized,
  mul,
  multiplyQuantized,
  multiplySome,
  multiplySomeQuantized,
  multiplyTransposed,
  rmsNorm,
  rotaryTables,
  scalar,
  tanh,
  type Choices,
  type Graph,
  type QuantizedMatrix,
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
  const { quantized, whole } = headOf(root, c);
  return scored(hidden, root, c, finalSoftcap, (x) =>
    quantized ? multiplyQuantized(x, quantized) : multiplyTransposed(x, whole()),
  );
}

/** The same for some tokens, `chosen` (int64 [k]) as `tokenChoices` says: float32 [n, k · perChoice]. */
export function someTokenScores(
  hidden: Value,
  chosen: Value,
  root: Weights,
  c: GemmaConfig,
  finalSoftcap = false,
): Value {
  const { quantized, stored } = headOf(root, c);
  return scored(hidden, root, c, finalSoftcap, (x) =>
    quantized ? multiplySomeQuantized(x, quantized, chosen) : multiplySome(x, stored(), chosen),
  );
}

/** How tokens are chosen: each for itself, or as many as lie in a panel of the output layer. */
export function tokenChoices(root: Weights, c: GemmaConfig): Choices {
  return choicesFor(headOf(root, c).quantized, root.graph.target);
}

function scored(
  hidden: Value,
  root: Weights,
  c: GemmaConfig,
  finalSoftcap: boolean,
  multiply: (x: Value) => Value,
): Value {
  const { graph } = hidden;
  let logits = multiply(rmsNorm(hidden, root.at(GEMMA_PREFIX, "norm"), c.rmsNormEps));
  if (finalSoftcap && c.finalLogitSoftcapping) {
    const cap = scalar(graph, c.finalLogitSoftcapping);
    logits = mul(tanh(div(logits, cap)), cap);
  }
  return cast(logits, "float32");
}

/** The output layer [vocabulary, hidden]: the token table again, unless the checkpoint has one of its own and is not tied. */
function headOf(
  root: Weights,
  c: GemmaConfig,
): {
  readonly quantized: QuantizedMatrix | undefined;
  /** In the arithmetic format. */
  readonly whole: () => Value;
  /** In the file's format. */
  readonly stored: () => Value;
} {
  const own = !c.tieWordEmbeddings && root.at(HEAD).has("weight");
  const scope = own ? root.at(HEAD) : root.at(GEMMA_PREFIX, "embed_tokens");
  const shape = [c.vocabSize, c.hiddenSize] as const;
  return {
    quantized: scope.quantized("weight", shape),
    whole: () => scope.tensor("weight", shape),
    stored: () => scope.stored("weight", shape),
  };
}
