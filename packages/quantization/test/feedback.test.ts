import { ndArray } from "@paligemma/core";
import { dequantizeMatrix, MOMENT_COLUMNS, quantizeCheckpoint, quantizeMatrix } from "@paligemma/quantization";
import { checkpointOf } from "@paligemma/weights";
import { describe, expect, it } from "vitest";
import { TOLERANCES } from "../../../tooling/tolerances.ts";
import { among, gaussian, relativeError, tensorOf } from "./matrices.ts";

const INPUTS = 400;

/** Rows [INPUTS, width] of which columns go together: each is a mixture of a few. */
function inputs(width: number, seed: number): Float32Array {
  const causes = gaussian([INPUTS, 12], seed, 1).data;
  const mixture = gaussian([12, width], 77, 1).data;
  const noise = gaussian([INPUTS, width], seed + 1, 0.3).data;
  return noise.map((own, at) => {
    let sum = own;
    for (let k = 0; k < 12; k++) sum += causes[Math.floor(at / width) * 12 + k]! * mixture[k * width + (at % width)]!;
    return sum;
  });
}

/** [⌈width / 128⌉, 128, 128] */
function momentsOf(x: Float32Array, width: number): Float32Array {
  const n = MOMENT_COLUMNS;
  const moments = new Float32Array(Math.ceil(width / n) * n * n);
  for (let row = 0; row < INPUTS; row++)
    for (let i = 0; i < width; i++)
      for (let j = i - (i % n); j < Math.min(width, i - (i % n) + n); j++)
        moments[i * n + (j % n)]! += (x[row * width + i]! * x[row * width + j]!) / INPUTS;
  return moments;
}

/** x · Wᵀ, [INPUTS, out] */
function product(x: Float32Array, w: ArrayLike<number>, width: number): Float64Array {
  const out = w.length / width;
  return Float64Array.from({ length: INPUTS * out }, (_, at) => {
    const [row, column] = [Math.floor(at / out) * width, (at % out) * width];
    let sum = 0;
    for (let i = 0; i < width; i++) sum += x[row + i]! * w[column + i]!;
    return sum;
  });
}

const formats = ([4, 8] as const).flatMap((bits) =>
  [true, false].map((zeroPoints) => ({ bits, blockSize: bits === 4 ? 32 : 64, zeroPoints })),
);

describe.each(formats)("$bits bits, zero points: $zeroPoints", (format) => {
  it.each([96, 200, 320])("rows of %i: products with new inputs of the same kind are nearer", async (width) => {
    const matrix = gaussian([24, width], width);
    const fresh = inputs(width, 501);
    const exact = product(fresh, matrix.data, width);
    const error = async (moments?: Float32Array): Promise<number> => {
      const parts = quantizeMatrix(tensorOf("w", matrix), format, moments ? { moments } : {});
      return relativeError(exact, product(fresh, (await dequantizeMatrix(among(parts, "w"), width)).data, width));
    };
    const plain = await error();
    expect(await error(momentsOf(inputs(width, 5), width))).toBeLessThan(plain * TOLERANCES["quantization/feedback"]);
  });
});

it("inputs that were never used, and rows of zeros, do no harm", async () => {
  const matrix = gaussian([3, 64], 1);
  matrix.data.fill(0, 64, 128);
  const format = { bits: 4, blockSize: 32, zeroPoints: false } as const;
  const moments = new Float32Array(MOMENT_COLUMNS ** 2);
  const back = await dequantizeMatrix(among(quantizeMatrix(tensorOf("w", matrix), format, { moments }), "w"), 64);
  expect(relativeError(matrix.data, back.data)).toBeLessThan(TOLERANCES["quantization/int4 weights"]);
  expect([...back.data.subarray(64, 128)].every((x) => x === 0)).toBe(true);
});

it("what can be said exactly is kept exactly", async () => {
  const numbers = Float32Array.from({ length: 4 * 64 }, (_, i) => ((i % 32 === 0 ? 0 : (i * 7) % 16) - 8) / 16);
  const matrix = ndArray("float32", [4, 64], numbers);
  const moments = momentsOf(inputs(64, 3), 64);
  const parts = quantizeMatrix(tensorOf("w", matrix), { bits: 4, blockSize: 32, zeroPoints: false }, { moments });
  const back = await dequantizeMatrix(among(parts, "w"), 64);
  expect(relativeError(numbers, back.data)).toBeLessThan(TOLERANCES["quantization/rounding"]);
});

it("moments of the wrong size are refused, those of the token table are passed over", async () => {
  const table = "language_model.model.embed_tokens.weight";
  const q = "language_model.model.layers.0.self_attn.q_proj.weight";
  const checkpoint = checkpointOf([tensorOf(table, gaussian([8, 64], 1)), tensorOf(q, gaussian([8, 64], 2))]);
  const make = (moments: ReadonlyMap<string, Float32Array>): ReturnType<typeof quantizeCheckpoint> =>
    quantizeCheckpoint(checkpoint, { dtype: "int4", moments });
  expect(() => make(new Map([[q, new Float32Array(64)]]))).toThrow(
    /quantization\/option: moments of .*q_proj.weight are 64 numbers; needed are 16384/,
  );
  expect(() => make(new Map([[q, new Float32Array(MOMENT_COLUMNS ** 2).fill(Number.NaN)]]))).toThrow(/all finite/);
  expect(make(new Map([[table, new Float32Array(1)]])).matrices).toHaveLength(2);
});
