import { ndArray, toFloat32 } from "@paligemma/core";
import { BLOCK_SIZES, dequantizeMatrix, quantizeMatrix } from "@paligemma/quantization";
import { ndTensor, readTensor } from "@paligemma/weights";
import { describe, expect, it } from "vitest";
import { TOLERANCES } from "../../../tooling/tolerances.ts";
import { among, gaussian, relativeError, tensorOf } from "./matrices.ts";

const formats = ([4, 8] as const).flatMap((bits) =>
  [16, 32, 64, 128].flatMap((blockSize) => [true, false].map((zeroPoints) => ({ bits, blockSize, zeroPoints }))),
);

describe.each(formats)("$bits bits in blocks of $blockSize, zero points: $zeroPoints", (format) => {
  const { bits, blockSize, zeroPoints } = format;

  it.each([96, 144, 200])("rows of %i come back to half a step, and the bound on the error holds", async (width) => {
    const matrix = gaussian([7, width], width);
    let bound = 0;
    const parts = quantizeMatrix(tensorOf("w", matrix), format, { onFitted: (_, error) => (bound = error) });
    const packed = among(parts, "w");
    expect(packed).toMatchObject(format);
    const blocks = Math.ceil(width / blockSize);
    expect(packed.data.shape).toEqual([7, blocks, (blockSize * bits) / 8]);
    expect(packed.scales.shape).toEqual([7, blocks]);
    const back = await dequantizeMatrix(packed, width);
    expect(back.shape).toEqual([7, width]);
    const error = relativeError(matrix.data, back.data);
    expect(error).toBeLessThanOrEqual(bound * (1 + TOLERANCES["quantization/rounding"]));
    expect(error).toBeLessThan(TOLERANCES[bits === 4 ? "quantization/int4 weights" : "quantization/int8 weights"]);
    const scales = toFloat32(await readTensor(packed.scales)).data;
    // Numbers that were not clipped are off by half a step at most; in 8 bits hardly any is.
    const off = matrix.data.map(
      (x, i) =>
        Math.abs(x - back.data[i]!) / scales[Math.floor(i / width) * blocks + Math.floor((i % width) / blockSize)]!,
    );
    expect(off.filter((steps) => steps > 0.5 + TOLERANCES["quantization/rounding"]).length).toBeLessThanOrEqual(
      off.length / 20,
    );
  });

  it("what can be said exactly is kept exactly", async () => {
    const top = 2 ** bits - 1;
    const middle = 2 ** (bits - 1);
    // Every q of the format, each block with both ends of the range.
    const numbers = Float32Array.from(
      { length: 3 * 128 },
      (_, i) => ((i % blockSize < 2 ? (i % 2) * top : (i * 7) % (top + 1)) - middle) / 16,
    );
    const matrix = ndArray("float32", [3, 128], numbers);
    const back = await dequantizeMatrix(among(quantizeMatrix(tensorOf("w", matrix), format), "w"), 128);
    expect(relativeError(numbers, back.data)).toBeLessThan(TOLERANCES["quantization/rounding"]);
  });

  it("zeros stay zeros", async () => {
    const matrix = ndArray("float32", [2, 40], new Float32Array(80));
    const back = await dequantizeMatrix(among(quantizeMatrix(tensorOf("w", matrix), format), "w"), 40);
    expect([...back.data].every((x) => x === 0)).toBe(true);
  });

  it("bytes are the same in any pieces", async () => {
    const matrix = gaussian([9, 72], 3);
    for (const part of quantizeMatrix(tensorOf("w", matrix), format)) {
      const whole = await part.source.read(0, part.end);
      const pieces: number[] = [];
      for (let at = 0; at < part.end; at += 11)
        pieces.push(...(await part.source.read(at, Math.min(part.end, at + 11))));
      expect(pieces).toEqual([...whole]);
      await expect(part.source.read(0, part.end + 1)).rejects.toThrow(/weights\/range/);
    }
  });

  it(`${zeroPoints ? "has" : "has no"} zero points`, () => {
    const parts = quantizeMatrix(tensorOf("w", gaussian([2, 96], 1)), format).map((part) => part.name);
    expect(parts).toEqual(["w.scales", ...(zeroPoints ? ["w.zero_points"] : []), `w.int${bits}`]);
  });
});

describe("whole rows in 8 bits", () => {
  const wholeRows = (width: number) => ({ bits: 8, blockSize: width, zeroPoints: false }) as const;

  it.each([
    [7, 7],
    [128, 128],
    [256, 128],
    [192, 64],
    [300, 75],
    [4304, 269],
  ])("%i of them lie in panels of %i, and come back to half a step", async (out, rows) => {
    const width = 24;
    const matrix = gaussian([out, width], out);
    const parts = quantizeMatrix(tensorOf("w", matrix), wholeRows(width));
    const packed = among(parts, "w");
    expect(packed).toMatchObject({ shape: [out, width], data: { dtype: "int8", shape: [out / rows, width, rows] } });
    const back = await dequantizeMatrix(packed, width);
    expect(relativeError(matrix.data, back.data)).toBeLessThan(TOLERANCES["quantization/int8 weights"]);
    const [scales, sums] = [await readTensor(packed.scales), await readTensor(packed.sums!)];
    for (let row = 0; row < out; row++) {
      const sum = back.data.subarray(row * width, (row + 1) * width).reduce((all: number, x: number) => all + x, 0);
      expect(Math.abs(Math.round(sum / Number(scales.data[row])) - Number(sums.data[row]))).toBe(0);
    }
  });

  it("have the same bytes in any pieces", async () => {
    for (const part of quantizeMatrix(tensorOf("w", gaussian([300, 24], 3)), wholeRows(24))) {
      const whole = await part.source.read(0, part.end);
      const pieces: number[] = [];
      for (let at = 0; at < part.end; at += 1111)
        pieces.push(...(await part.source.read(at, Math.min(part.end, at + 1111))));
      expect(pieces).toEqual([...whole]);
    }
  });

  it("need a number of rows that panels divide", () => {
    expect(() => quantizeMatrix(tensorOf("w", gaussian([1031, 24], 1)), wholeRows(24))).toThrow(
      /quantization\/option: blockSize is 24, .* where panels of 64 to 512 rows divide 1031/,
    );
  });
});

describe("formats of the numbers", () => {
  it.each(["float16", "bfloat16"] as const)("%s gives what its float32 gives", async (dtype) => {
    const format = { bits: 4, blockSize: 32, zeroPoints: false } as const;
    const half = tensorOf("w", gaussian([5, 96], 9), dtype);
    const full = ndTensor("w", toFloat32(await readTensor(half)));
    const bytes = async (ref: typeof half): Promise<number[][]> =>
      await Promise.all(quantizeMatrix(ref, format).map(async (part) => [...(await part.source.read(0, part.end))]));
    expect(await bytes(half)).toEqual(await bytes(full));
  });
});

describe("the search for scales", () => {
  it("makes 4 bits more exact than the largest number alone would", async () => {
    const matrix = gaussian([64, 256], 5);
    const plain: number[] = [];
    for (let b = 0; b < matrix.data.length; b += 32) {
      const block = matrix.data.subarray(b, b + 32);
      const extreme = block.reduce((most, x) => (Math.abs(x) > Math.abs(most) ? x : most), 0);
      const scale = -extreme / 8;
      plain.push(...block.map((x) => scale * Math.min(7, Math.max(-8, Math.round(x / scale)))));
    }
    const searched = await dequantizeMatrix(
      among(quantizeMatrix(tensorOf("w", matrix), { bits: 4, blockSize: 32, zeroPoints: false }), "w"),
      256,
    );
    expect(relativeError(matrix.data, searched.data)).toBeLessThan(
      relativeError(matrix.data, plain) * TOLERANCES["quantization/search"],
    );
  });
});

describe("what cannot be quantised", () => {
  const format = { bits: 8, blockSize: 32, zeroPoints: false } as const;
  it.each([
    [ndTensor("bias", gaussian([8], 1)), /quantization\/matrix: bias is float32 \[8\]/],
    [ndTensor("ids", ndArray("int32", [2, 2], new Int32Array(4))), /quantization\/matrix: ids is int32/],
    [ndTensor("none", ndArray("float32", [0, 4], new Float32Array(0))), /quantization\/matrix/],
  ])("%#", (ref, message) => {
    expect(() => quantizeMatrix(ref, format)).toThrow(message);
  });

  it("formats without kernels", () => {
    const ref = tensorOf("w", gaussian([2, 64], 1));
    expect(() => quantizeMatrix(ref, { ...format, blockSize: 48 })).toThrow(
      `quantization/option: blockSize is 48, it may be ${BLOCK_SIZES.join(", ")}`,
    );
    expect(() => quantizeMatrix(ref, { ...format, bits: 2 as 4 })).toThrow(/bits is 2, it may be 4 or 8/);
  });

  it("numbers that are none", async () => {
    const matrix = gaussian([4, 64], 1);
    matrix.data[70] = Number.NaN;
    const [scales] = quantizeMatrix(tensorOf("w", matrix), format);
    await expect(scales!.source.read(0, 4)).rejects.toThrow(/quantization\/not-finite: w of w has NaN in row 1/);
  });

  it("stops when it is told to", async () => {
    const [scales] = quantizeMatrix(tensorOf("w", gaussian([4, 64], 1)), format);
    await expect(scales!.source.read(0, 4, AbortSignal.abort(new Error("enough")))).rejects.toThrow("enough");
    expect((await scales!.source.read(0, 4)).byteLength).toBe(4);
  });

  it("tells rows of another width", async () => {
    const packed = among(quantizeMatrix(tensorOf("w", gaussian([2, 64], 1)), format), "w");
    await expect(dequantizeMatrix(packed, 128)).rejects.toThrow(/has 2 blocks of 32 in a row, 128 numbers/);
  });
});
