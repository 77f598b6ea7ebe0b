import { ndArray } from "@paligemma/core";
import { buildGraph, checkpointWeights, linear, type GraphModel, type Target } from "@paligemma/graph";
import { memorySource, type Checkpoint, type TensorRef } from "@paligemma/weights";

export const [OUT, WIDTH] = [512, 384];

const weightAt = (row: number, column: number): number => ((row * 7 + column * 13) % 255) - 127;
export const scaleOf = (row: number): number => (row + 1) / 2 ** 16;

/** A linear layer whose weight has one scale for each row of signed bytes. */
export function wholeRows(target: Target): GraphModel {
  const data = Int8Array.from({ length: OUT * WIDTH }, (_, i) => weightAt(Math.floor(i / WIDTH), i % WIDTH));
  const scales = Float32Array.from({ length: OUT }, (_, row) => scaleOf(row));
  const ref = (
    name: string,
    dtype: "int8" | "float32",
    shape: readonly number[],
    array: ArrayBufferView,
  ): TensorRef => {
    const source = memorySource(new Uint8Array(array.buffer as ArrayBuffer), name);
    return { name, dtype, shape, source, start: 0, end: array.byteLength };
  };
  const tensors = new Map(
    [ref("fc.weight.int8", "int8", [OUT, 1, WIDTH], data), ref("fc.weight.scales", "float32", [OUT, 1], scales)].map(
      (tensor) => [tensor.name, tensor],
    ),
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
