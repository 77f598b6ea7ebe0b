import { ndArray } from "@paligemma/core";
import {
  add,
  argMax,
  buildGraph,
  cast,
  checkpointWeights,
  convolution,
  gather,
  mul,
  multiplyTransposed,
  relu,
  reshape,
  scalar,
  sub,
  transpose,
  transposedConvolution,
  type GraphModel,
  type Target,
  type Value,
  type Weights,
} from "@paligemma/graph";
import type { Checkpoint } from "@paligemma/weights";
import { CODES_PER_MASK, CODE_COUNT, RASTER_SIDE } from "../codec-layout.ts";

// Axes: m masks · 16 cells, a grid of 4 × 4 · 512 numbers of a code · 128 channels of the blocks · y, x pixels

const GRID = 4;
const WIDTH = 512;
const CHANNELS = 128;
const HALVES = { kernel: 4, stride: 2, padding: 1 };

/** Codes [m, 16] → rasters [m, 64, 64] in about −1 to 1, inside where positive. */
export function maskDecoder(codes: Value, w: Weights): Value {
  const m = codes.shape[0]!;
  const cells = gather(codebook(w), codes); // [m, 16, 512]
  let x = reshape(transpose(cells, [0, 2, 1]), [m, WIDTH, GRID, GRID]);
  x = relu(convolution(x, w.at("decoder.0"), CHANNELS, { kernel: 1 }));
  x = residual(residual(x, w.at("decoder.2")), w.at("decoder.3"));
  for (const [layer, out] of [
    [4, 128],
    [6, 64],
    [8, 32],
    [10, 16],
  ] as const)
    // prettier-ignore
    x = relu(transposedConvolution(x, w.at("decoder", layer), out, HALVES)); // 8, 16, 32, 64 pixels
  return reshape(convolution(x, w.at("decoder.12"), 1, { kernel: 1 }), [m, RASTER_SIDE, RASTER_SIDE]);
}

/** Rasters [m, 64, 64] in −1 to 1 → what the network makes of each cell [m, 16, 512], and its nearest code [m, 16]. */
export function maskEncoder(rasters: Value, w: Weights): { readonly features: Value; readonly codes: Value } {
  const m = rasters.shape[0]!;
  let x = reshape(rasters, [m, 1, RASTER_SIDE, RASTER_SIDE]);
  for (const [layer, out] of [
    [0, 16],
    [2, 32],
    [4, 64],
    [6, 128],
  ] as const)
    // prettier-ignore
    x = relu(convolution(x, w.at("encoder", layer), out, HALVES)); // 32, 16, 8, 4 pixels
  x = residual(residual(x, w.at("encoder.8")), w.at("encoder.9"));
  x = convolution(x, w.at("encoder.10"), WIDTH, { kernel: 1 });
  const features = transpose(reshape(x, [m, WIDTH, CODES_PER_MASK]), [0, 2, 1]);
  return { features, codes: nearestCodes(features, codebook(w)) };
}

/** Two kernels of 3 and one of 1, added to what went in; nothing after the sum. */
function residual(x: Value, w: Weights): Value {
  let y = relu(convolution(x, w.at("net.0"), CHANNELS, { kernel: 3, padding: 1 }));
  y = relu(convolution(y, w.at("net.2"), CHANNELS, { kernel: 3, padding: 1 }));
  return add(x, convolution(y, w.at("net.4"), CHANNELS, { kernel: 1 }));
}

function codebook(w: Weights): Value {
  return w.tensor("_vq_vae._embedding", [CODE_COUNT, WIDTH]);
}

/** The row e of the book with the least |x − e|², which has the largest 2·x·e − |e|²; of equal ones the first. */
function nearestCodes(x: Value, book: Value): Value {
  const g = x.graph;
  const ones = cast(g.constant(ndArray("float32", [1, WIDTH], new Float32Array(WIDTH).fill(1))), book.dtype);
  const lengths = reshape(multiplyTransposed(mul(book, book), ones), [CODE_COUNT]); // |e|²
  return argMax(sub(mul(multiplyTransposed(x, book), scalar(g, 2)), lengths));
}

/** The decoder as a graph over a codec's arrays: `codes` int64 [masks, 16] → `rasters` float32 [masks, 64, 64]. */
export function maskDecoderGraph(target: Target, checkpoint: Checkpoint): GraphModel {
  return buildGraph("mask decoder", target, (g) => {
    const codes = g.input("codes", "int64", ["masks", CODES_PER_MASK]);
    return { rasters: cast(maskDecoder(codes, checkpointWeights(g, checkpoint)), "float32") };
  });
}

/** The encoder: `rasters` float32 [masks, 64, 64] → `features` float32 [masks, 16, 512] and `codes` int64 [masks, 16]. */
export function maskEncoderGraph(target: Target, checkpoint: Checkpoint): GraphModel {
  return buildGraph("mask encoder", target, (g) => {
    const rasters = cast(g.input("rasters", "float32", ["masks", RASTER_SIDE, RASTER_SIDE]), target.compute);
    const { features, codes } = maskEncoder(rasters, checkpointWeights(g, checkpoint));
    return { features: cast(features, "float32"), codes };
  });
}
