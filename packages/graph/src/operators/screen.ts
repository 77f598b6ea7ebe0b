import { PaliGemmaError, ndArray } from "@paligemma/core";
import { formatShape, type Dim, type Value } from "../value.ts";
import { add, cast, div, mul, scalar, sub } from "./elementwise.ts";
import { concat, gather, integers, reduce, reshape, slice, transpose, where } from "./shape.ts";

// The best of many scores without reading all of a large matrix: each score is bounded by way of a copy of the matrix in bytes, a
// quarter of it, and only the rows that may be best are multiplied with as they are. Nothing is guessed: where the bounds do not say
// which row is best, the answer is that they do not.

/** Rows whose scores are computed exactly. Bounds leave about five of 257,216 random rows that may be best. */
const CANDIDATES = 64;
/** A row x is the sum of two rows of bytes, and what is left: 127 steps each, the second's as large as half a step of the first. */
const [STEPS, FINER] = [127, 254];
const MIDDLE = 128;
/** Keeps rows of zeros from being divided by 0. */
const TINY = 1e-30;
/** What float32 may round away, as a share of ‖w‖ ‖x‖: of the bounds, and of the exact scores. */
const ROUNDING = 1e-5;

/** What stands for a row that the bounds do not tell. */
export const UNSETTLED: number = -1;

/** A matrix [out, in] in bytes, in panels [panels, in, rows of a panel], and how far off they are. */
export interface Screen {
  /** int8 [panels, in, rows] */
  readonly data: Value;
  /** float32 [panels, 1, rows], as the two below: a number is scale · q. */
  readonly scales: Value;
  /** int32, Σ q of a row of the matrix. */
  readonly sums: Value;
  /** ‖w − scale · q‖ of a row w of the matrix, or more. */
  readonly errors: Value;
}

/** True where a matrix has rows enough to be screened. */
export function canScreen([out]: readonly [number, number]): boolean {
  return out > 2 * CANDIDATES;
}

/**
 * For each row of x [n, in], of which there are few, the number of the row w of `matrix` (out, in; in any format) with the largest x · w,
 * the first of equals; `UNSETTLED` where that cannot be told this way: int64 [n, 1]. By Cauchy and Schwarz |x · w − x̂ · ŵ| ≤
 * ‖x‖ ‖w − ŵ‖ + ‖x − x̂‖ ‖ŵ‖; x̂ has 16 bits, so that the second is next to nothing, whatever the largest number of x.
 */
export function bestByScreen(x: Value, screen: Screen, matrix: Value): Value {
  const g = x.graph;
  const [n, width] = x.shape as readonly [Dim, number];
  const [panels, inner, rows] = screen.data.shape as readonly [number, number, number];
  if (matrix.shape.length !== 2 || matrix.shape[0] !== panels * rows || inner !== width || matrix.shape[1] !== width)
    throw new PaliGemmaError(
      "graph/shape",
      `screen: x ${formatShape(x.shape)}, panels ${formatShape(screen.data.shape)} and matrix ${formatShape(matrix.shape)} do not belong together`,
    );
  const number = (value: number): Value => scalar(g, value, "float32");
  const { bytes, scales, left } = twoRows(x);
  const norm = reduce("ReduceL2", x, 1, { keep: true });

  const sums = g.node({
    op: "MatMulInteger",
    inputs: [reshape(bytes, [1, `2*${n}`, 1, width]), reshape(screen.data, [panels, 1, width, rows])],
    outputs: [{ dtype: "int32", shape: [panels, `2*${n}`, 1, rows] }],
  })[0]!;
  const middle = mul(screen.sums, g.constant(ndArray("int32", [], Int32Array.of(MIDDLE))));
  const centred = cast(sub(reshape(sums, [panels, n, 2, rows]), reshape(middle, [panels, 1, 1, rows])), "float32");
  const both = reduce("ReduceSum", mul(centred, reshape(scales, [1, n, 2, 1])), 2);
  const about = mul(both, screen.scales);

  const perRow = (value: Value): Value => reshape(value, [1, n, 1]);
  const ofX = mul(add(left, mul(norm, number(ROUNDING))), number(STEPS * Math.sqrt(width)));
  const bound = add(mul(screen.errors, perRow(norm)), mul(screen.scales, perRow(ofX)));
  const upper = reshape(transpose(add(about, bound), [1, 0, 2]), [n, panels * rows]);
  const [limits, found] = g.node({
    op: "TopK",
    inputs: [upper, integers(g, [CANDIDATES + 1])],
    attributes: { axis: { int: -1 }, largest: { int: 1 }, sorted: { int: 1 } },
    outputs: [
      { dtype: "float32", shape: [n, CANDIDATES + 1] },
      { dtype: "int64", shape: [n, CANDIDATES + 1] },
    ],
  });
  const candidates = slice(found!, 1, [0, CANDIDATES], CANDIDATES);
  const exact = g.node({
    op: "MatMul",
    inputs: [cast(gather(matrix, candidates), "float32"), reshape(x, [n, width, 1])],
    outputs: [{ dtype: "float32", shape: [n, CANDIDATES, 1] }],
  })[0]!;
  const scores = reshape(exact, [n, CANDIDATES]);
  const best = reduce("ReduceMax", scores, 1, { keep: true });
  const integer = (value: number): Value => g.constant(ndArray("int64", [], BigInt64Array.of(BigInt(value))));
  const compare = (op: "Greater" | "GreaterOrEqual", a: Value, b: Value): Value =>
    g.node({ op, inputs: [a, b], outputs: [{ dtype: "bool", shape: a.shape }] })[0]!;
  const mayBe = where(compare("GreaterOrEqual", scores, best), candidates, integer(panels * rows));
  const first = reduce("ReduceMin", mayBe, 1, { keep: true });
  return where(compare("Greater", best, slice(limits!, 1, [CANDIDATES], 1)), first, integer(UNSETTLED));
}

/** x ≈ Σ scale · (bytes − 128): uint8 [n, 2, in] and float32 [n, 2], and the length of what is left, [n, 1]. */
function twoRows(x: Value): { readonly bytes: Value; readonly scales: Value; readonly left: Value } {
  const g = x.graph;
  const [n, width] = x.shape as readonly [Dim, number];
  const number = (value: number): Value => scalar(g, value, "float32");
  const size = g.node({ op: "Abs", inputs: [x], outputs: [x] })[0]!;
  const largest = reduce("ReduceMax", size, 1, { keep: true });
  const coarse = add(mul(largest, number(1 / STEPS)), number(TINY));
  const fine = mul(coarse, number(1 / FINER));
  const rounded = (y: Value, step: Value): Value => g.node({ op: "Round", inputs: [div(y, step)], outputs: [y] })[0]!;
  const high = rounded(x, coarse);
  const rest = sub(x, mul(high, coarse));
  const low = rounded(rest, fine);
  const numbers = reshape(concat([high, low], 1), [n, 2, width]);
  return {
    bytes: cast(add(numbers, number(MIDDLE)), "uint8"),
    scales: concat([coarse, fine], 1),
    left: reduce("ReduceL2", sub(rest, mul(low, fine)), 1, { keep: true }),
  };
}
