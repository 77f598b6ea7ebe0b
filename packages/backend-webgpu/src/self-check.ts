import type { Backend } from "@paligemma/backend";
import { PaliGemmaError, fromFloat32, ndArray, toFloat32, type NdArray } from "@paligemma/core";
import { add, buildGraph, matMul, multiplyTransposed, softmax, type GraphModel, type Target } from "@paligemma/graph";

const ROWS = 64;
const WIDTH = 64;
/** Half precision has 11 bits: sums of 64 products of numbers below 1 stay this near. */
const TOLERANCE = 0.02;
/** Ones that a linear layer adds up: half precision would stop at 2048, or at 8192 where it takes four at a time. */
const MANY = 16_384;
/** As many sums as a thread of the shader makes at once. */
const SUMS = 4;

/**
 * Compares softmax(a · b) + a with the same in double precision, and a long sum of a linear layer with what it must be. Throws
 * `backend/self-check`, with the largest difference, when the device is not to be trusted.
 */
export async function selfCheck(backend: Backend): Promise<void> {
  const a = pattern(1);
  const b = pattern(2);
  const { compute } = backend.target;
  const session = await backend.compile(checkGraph(backend.target));
  try {
    const feeds = {
      a: asFormat([ROWS, WIDTH], a, compute),
      b: asFormat([WIDTH, WIDTH], b, compute),
      one: asFormat([1, MANY], new Float32Array(MANY).fill(1), compute),
      ones: asFormat([SUMS, MANY], new Float32Array(SUMS * MANY).fill(1), compute),
    };
    const { host } = await session.run(feeds, { host: ["y", "sums"] });
    const sums = new Float64Array(SUMS).fill(MANY);
    const worst = Math.max(farthest(host["y"]!, reference(a, b)), farthest(host["sums"]!, sums));
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
    const one = g.input("one", target.compute, [1, MANY]);
    return {
      y: add(softmax(matMul(a, g.input("b", target.compute, [WIDTH, WIDTH]))), a),
      sums: multiplyTransposed(one, g.input("ones", target.compute, [SUMS, MANY])),
    };
  });
}

function farthest(computed: NdArray, expected: Float64Array): number {
  const distance = (value: number, i: number): number =>
    Number.isNaN(value) ? Infinity : Math.abs(value - expected[i]!);
  return toFloat32(computed).data.reduce((most, value, i) => Math.max(most, distance(value, i)), 0);
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

function asFormat(shape: readonly number[], values: Float32Array, compute: Target["compute"]): NdArray {
  return fromFloat32(ndArray("float32", shape, values), compute);
}
