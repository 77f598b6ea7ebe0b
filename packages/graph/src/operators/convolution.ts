import { PaliGemmaError } from "@paligemma/core";
import { formatShape, type Value } from "../value.ts";
import { tensorLike, type Weights } from "../weights.ts";

/** How a square kernel moves over pictures. */
export interface ConvolutionOptions {
  /** Side of the kernel. */
  readonly kernel: number;
  /** Pixels from one place of the kernel to the next. Default 1. */
  readonly stride?: number;
  /** Zeros around the picture, at every edge. Default 0. */
  readonly padding?: number;
}

/**
 * Convolution of pictures x [n, channels, height, width] with `weight` [out, channels, k, k] and `bias` [out] at `w`:
 * [n, out, ⌊(height + 2·padding − k) / stride⌋ + 1, the same of width]. Not every device takes n = 0.
 */
export function convolution(x: Value, w: Weights, out: number, options: ConvolutionOptions): Value {
  const { kernel, stride = 1, padding = 0 } = options;
  const [channels, ...sides] = pictureOf("convolution", x);
  const grid = sides.map((side) => Math.floor((side + 2 * padding - kernel) / stride) + 1);
  return convolve("Conv", x, w, [out, channels, kernel, kernel], [out, ...grid], options);
}

/**
 * The transpose of a convolution, which makes pictures larger: x [n, channels, height, width] with `weight`
 * [channels, out, k, k] and `bias` [out] at `w` → [n, out, (height − 1)·stride − 2·padding + k, the same of width].
 */
export function transposedConvolution(x: Value, w: Weights, out: number, options: ConvolutionOptions): Value {
  const { kernel, stride = 1, padding = 0 } = options;
  const [channels, ...sides] = pictureOf("transposedConvolution", x);
  const grid = sides.map((side) => (side - 1) * stride - 2 * padding + kernel);
  return convolve("ConvTranspose", x, w, [channels, out, kernel, kernel], [out, ...grid], options);
}

/** Channels, height and width, which must be numbers. */
function pictureOf(op: string, x: Value): [number, number, number] {
  const [, channels, height, width] = x.shape;
  if (x.shape.length === 4 && typeof channels === "number" && typeof height === "number" && typeof width === "number")
    return [channels, height, width];
  throw new PaliGemmaError(
    "graph/shape",
    `${op}: ${formatShape(x.shape)} must be [n, channels, height, width] with known sizes`,
  );
}

function convolve(
  op: "Conv" | "ConvTranspose",
  x: Value,
  w: Weights,
  weight: readonly number[],
  made: readonly number[],
  { kernel, stride = 1, padding = 0 }: ConvolutionOptions,
): Value {
  if (made.some((size) => size < 1))
    throw new PaliGemmaError(
      "graph/shape",
      `${op}: a kernel of ${kernel} with padding ${padding} leaves nothing of ${formatShape(x.shape)}`,
    );
  return x.graph.node({
    op,
    inputs: [x, tensorLike(x, w, "weight", weight), tensorLike(x, w, "bias", [made[0]!])],
    attributes: {
      kernel_shape: { ints: [kernel, kernel] },
      strides: { ints: [stride, stride] },
      pads: { ints: [padding, padding, padding, padding] },
    },
    outputs: [{ dtype: x.dtype, shape: [x.shape[0]!, ...made] }],
  })[0]!;
}
