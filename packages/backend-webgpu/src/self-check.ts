import type { Backend } from "@paligemma/backend";
import { PaliGemmaError, fromFloat32, ndArray, toFloat32, type NdArray } from "@paligemma/core";
import { add, buildGraph, matMul, softmax, type GraphModel, type Target } from "@paligemma/graph";

const ROWS = 64;
const WIDTH = 64;
/** Half precision has 11 bits: sums of 64 products of numbers below 1 stay this near. */
const TOLERANCE = 0.02;

/**
 * Compares softmax(a · b) + a with the same in double precision. Throws `backend/self-check`, with the largest difference,
 * when the device is not to be trusted.
 */
export async function selfCheck(backend: Backend): Promise<void> {
  const a = pattern(1);
  const b = pattern(2);
  const { compute } = backend.target;
  const session = await backend.compile(checkGraph(backend.target));
  try {
    const { host } = await session.run({ a: asFormat(a, compute), b: asFormat(b, compute) }, { host: ["y"] });
    const y = toFloat32(host["y"]!).data;
    const expected = reference(a, b);
    const worst = y.reduce(
      (most, value, i) => Math.max(most, Number.isNaN(value) ? Infinity : Math.abs(value - expected[i]!)),
      0,
    );
    if (worst <= TOLERANCE) return;
    throw new PaliGemmaError(
      "backend/self-check",
      `${backend.name} computes wrong numbers in ${compute}: off by ${worst.toPrecision(3)}, at most ${TOLERANCE} is right. Take the precision "float32", or update the graphics driver.`,
    );
  } finally {
    await session.dispose();
  }
}

function checkGraph(target: Target): GraphModel {
  return buildGraph("self-check", target, (g) => {
    const a = g.input("a", target.compute, ["rows", WIDTH]);
    return { y: add(softmax(matMul(a, g.input("b", target.compute, [WIDTH, WIDTH]))), a) };
  });
}

/** Numbers in −0.5 … 0.5 that half precision holds exactly, so that only the arithmetic can differ. */
function pattern(seed: number): Float32Array {
  return Float32Array.from({ length: ROWS * WIDTH }, (_, i) => ((((i + 1) * (seed * 2 + 1) * 7919) % 257) - 128) / 256);
}

function reference(a: Float32Array, b: Float32Array): Float64Array {
  const y = new Float64Array(ROWS * WIDTH);
  for (let row = 0; row < ROWS; row++) {
    const exponentials = Array.from({ length: WIDTH }, (_, column) => {
      let sum = 0;
      for (let k = 0; k < WIDTH; k++) sum += a[row * WIDTH + k]! * b[k * WIDTH + column]!;
      return Math.exp(sum);
    });
    const total = exponentials.reduce((sum, e) => sum + e, 0);
    exponentials.forEach((e, column) => (y[row * WIDTH + column] = e / total + a[row * WIDTH + column]!));
  }
  return y;
}

function asFormat(values: Float32Array, compute: Target["compute"]): NdArray {
  return fromFloat32(ndArray("float32", [ROWS, WIDTH], values), compute);
}
