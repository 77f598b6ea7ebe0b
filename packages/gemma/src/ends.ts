import type { GemmaConfig } from "@paligemma/config";
import {
  add,
  bestByScreen,
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
  rotaryAt,
  rotaryTables,
  scalar,
  tanh,
  type Choices,
  type QuantizedMatrix,
  type RotaryTables,
  type Screen,
  type Value,
  type Weights,
} from "@paligemma/graph";
import { findQuantized, type Checkpoint } from "@paligemma/weights";
import { positionsServed } from "./network.ts";

/** Where the decoder's tensors stand in a checkpoint under its released names. */
export const GEMMA_PREFIX = "language_model.model";
/** Where its own output layer stands, if it has one. */
const HEAD = "language_model.lm_head";

/**
 * The rotary tables of a decoder, for every position that it may reach, or what stands in them for the positions of a run, where that
 * takes no programs to be compiled.
 */
export function gemmaRotary(positions: Value, { headDim, ropeTheta: theta, ...c }: GemmaConfig): RotaryTables {
  const { graph } = positions;
  return graph.target.fewPrograms
    ? rotaryTables(graph, { positions: positionsServed(c), headDim, theta })
    : rotaryAt(positions, { headDim, theta });
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

/** The same for the tokens that these rows of the output layer stand for: float32 [n, rows]. */
export function partOfScores(
  hidden: Value,
  rows: QuantizedMatrix,
  root: Weights,
  c: GemmaConfig,
  finalSoftcap = false,
): Value {
  return scored(hidden, root, c, finalSoftcap, (x) => multiplyQuantized(x, rows));
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
  let logits = multiply(normed(hidden, root, c));
  if (finalSoftcap && c.finalLogitSoftcapping) {
    const cap = scalar(graph, c.finalLogitSoftcapping);
    logits = mul(tanh(div(logits, cap)), cap);
  }
  return cast(logits, "float32");
}

/** The best tokens after `hidden` [n, hidden], or `UNSETTLED`, where the output layer is not quantised: int64 [n, 1]. */
export function bestTokens(hidden: Value, screen: Screen, root: Weights, c: GemmaConfig): Value {
  return bestByScreen(normed(hidden, root, c), screen, headOf(root, c).stored());
}

/** What the output layer is multiplied with. */
function normed(hidden: Value, root: Weights, c: GemmaConfig): Value {
  return rmsNorm(hidden, root.at(GEMMA_PREFIX, "norm"), c.rmsNormEps);
}

/** True where a checkpoint has an output layer of its own. */
export function ownHead(checkpoint: Checkpoint): boolean {
  const own = `${HEAD}.weight`;
  return checkpoint.tensors.has(own) || findQuantized(checkpoint, own) !== undefined;
}

/** Name of the output layer [vocabulary, hidden]: the token table's, unless the checkpoint has one of its own and is not tied. */
export function headName(c: GemmaConfig, hasOwn: boolean): string {
  return !c.tieWordEmbeddings && hasOwn ? `${HEAD}.weight` : `${GEMMA_PREFIX}.embed_tokens.weight`;
}

/** The output layer [vocabulary, hidden]. */
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
  const name = headName(c, root.at(HEAD).has("weight"));
  const shape = [c.vocabSize, c.hiddenSize] as const;
  return {
    quantized: root.quantized(name, shape),
    whole: () => root.tensor(name, shape),
    stored: () => root.stored(name, shape),
  };
}
