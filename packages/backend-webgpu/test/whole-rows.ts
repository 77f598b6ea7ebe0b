import { ndArray } from "@paligemma/core";
import { buildGraph, checkpointWeights, linear, type GraphModel, type Target } from "@paligemma/graph";
import { memorySource, type Checkpoint, type TensorRef } from "@paligemma/weights";

export const [OUT, WIDTH] = [512, 384];
const ROWS = 128;

export const weightAt = (row: number, column: number): number => ((row * 7 + column * 13) % 255) - 127;
export const scaleOf = (row: number): number => (row + 1) / 2 ** 16;

/** The weight as it lies in a file: [panels, in, rows of a panel]. */
function panels(): Int8Array {
  return Int8Array.from({ length: OUT * WIDTH }, (_, i) => {
    const [panel, k, r] = [Math.floor(i / (WIDTH * ROWS)), Math.floor(i / ROWS) % WIDTH, i % ROWS];
    return weightAt(panel * ROWS + r, k);
  });
}

/** A linear layer whose weight has one scale for each row of signed bytes. */
export function wholeRows(target: Target): GraphModel {
  const data = panels();
  const scales = Float32Array.from({ length: OUT }, (_, row) => scaleOf(row));
  const ref = (
    name: string,
    dtype: "int8" | "int32" | "float32",
    shape: readonly number[],
    array: ArrayBufferView,
  ): TensorRef => {
    const source = memorySource(new Uint8Array(array.buffer as ArrayBuffer), name);
    return { name, dtype, shape, source, start: 0, end: array.byteLength };
  };
  const tensors = new Map(
    [
      ref("fc.weight.int8", "int8", [OUT / ROWS, WIDTH, ROWS], data),
      ref("fc.weight.scales", "float32", [OUT, 1], scales),
      ref("fc.weight.sums", "int32", [OUT], new Int32Array(OUT)),
    ].map((tensor) => [tensor.name, tensor]),
  );
  const checkpoint: Checkpoint = { tensors, metadata: {}, read: () => Promise.reject(new Error("not used")) };
  return buildGraph("whole rows", target, (g) => ({
    y: linear(g.input("x", "float32", ["n", WIDTH]), checkpointWeights(g, checkpoint).at("fc"), OUT),
  }));
}

/** Two rows, and what the layer makes of them. */
export const X: ReturnType<typeof ndArray<"float32">> = ndArray(
  "float32",
  [2, WIDTH],
  Float32Array.from({ length: 2 * WIDTH }, (_, i) => Math.sin(i)),
);
export const Y: readonly number[] = Array.from({ length: 2 * OUT }, (_, i) => {
  const [n, row] = [Math.floor(i / OUT), i % OUT];
  let sum = 0;
  for (let k = 0; k < WIDTH; k++) sum += X.data[n * WIDTH + k]! * weightAt(row, k);
  return sum * scaleOf(row);
});
