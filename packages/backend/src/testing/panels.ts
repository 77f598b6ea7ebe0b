import { ndArray, type NdArray } from "@paligemma/core";
import { bestByScreen, buildGraph, FED_INPUT, FED_SCALES, fedWeights, linear, UNSETTLED } from "@paligemma/graph";
import { findQuantized, quantizedParts, type QuantizedTensor, type TensorRef } from "@paligemma/weights";
import { expect } from "vitest";
import { rowsOfPanels, type Requantization, type Tensor } from "../backend.ts";
import { exact, expectClose, floats, random, stored as storedAs, uniform } from "./arrays.ts";
import { checkpointWith, expectCode, type Bench, type MakeSource } from "./bench.ts";
import * as reference from "./reference.ts";

const ROUNDING = 1e-6;

/** A matrix [out, in] in blocks of 4 bits with scales of either sign, and the numbers that it stands for. */
async function matrix(
  [out, width]: readonly [number, number],
  blockSize: number,
  source: MakeSource,
  zeroPoints = false,
): Promise<{ readonly stored: QuantizedTensor; readonly numbers: Float64Array; readonly largest: Float64Array }> {
  const next = uniform(out * width + blockSize);
  const parts = quantizedParts("w", [out, width], { bits: 4, blockSize, zeroPoints });
  const blocks = width / blockSize;
  const bytes = Uint8Array.from({ length: (out * width) / 2 }, () => Math.floor((next() + 1) * 128));
  const scales = Float32Array.from({ length: out * blocks }, (_, i) => (Math.floor(i / blocks) === 3 ? 0 : next()));
  const arrays: Record<string, NdArray> = {
    [parts.data.name]: ndArray("uint8", parts.data.shape, bytes),
    [parts.scales.name]: ndArray("float32", parts.scales.shape, scales),
    ...(parts.zeroPoints && {
      [parts.zeroPoints.name]: ndArray("uint8", parts.zeroPoints.shape, new Uint8Array((out * blocks) / 2)),
    }),
  };
  const checkpoint = await checkpointWith(arrays, { offset: 3, source });
  const numbers = Float64Array.from({ length: out * width }, (_, i) => {
    const byte = bytes[i >> 1]!;
    return ((i % 2 === 0 ? byte & 15 : byte >> 4) - 8) * scales[Math.floor(i / blockSize)]!;
  });
  const largest = Float64Array.from({ length: out }, (_, row) =>
    scales.subarray(row * blocks, (row + 1) * blocks).reduce((most, scale) => Math.max(most, Math.abs(scale)), 0),
  );
  return { stored: findQuantized(checkpoint, "w")!, numbers, largest };
}

/** Matrices in blocks that become panels, on devices that multiply panels. */
export function panelTests(bench: Bench): void {
  const { test } = bench;
  const place = Object.entries(bench.sources).find(([name]) => name !== "memory")?.[1];

  type Room = Pick<Requantization, "data" | "scales">;
  async function room(shape: readonly [number, number], use: (room: Room) => Promise<void>): Promise<void> {
    const rows = rowsOfPanels(shape)!;
    using data = await bench.backend.allocate("int8", [shape[0] / rows, shape[1], rows]);
    using scales = await bench.backend.allocate("float32", [shape[0] / rows, 1, rows]);
    await use({ data, scales });
  }

  /** The numbers that stand in panels, row after row. */
  async function numbersIn({ data, scales }: Room): Promise<{ readonly q: Int8Array; readonly scales: Float32Array }> {
    const [panels = 0, width = 0, rows = 0] = data.shape;
    const bytes = (await bench.backend.download(data)).data as Int8Array;
    const q = Int8Array.from({ length: bytes.length }, (_, i) => {
      const [row, column] = [Math.floor(i / width), i % width];
      return bytes[Math.floor(row / rows) * width * rows + column * rows + (row % rows)]!;
    });
    expect(scales.shape).toEqual([panels, 1, rows]);
    return { q, scales: (await bench.backend.download(scales)).data as Float32Array };
  }

  for (const [shape, blockSize] of [
    [[256, 64], 32],
    [[40, 96], 32],
    [[192, 128], 64],
    [[128, 256], 128],
    [[2048, 2048], 64],
  ] as const) {
    test(`blocks of ${blockSize} in ${shape.join(" × ")} become panels`, async () => {
      const { requantize } = bench.backend;
      if (!requantize || !place) return;
      const { stored, numbers, largest } = await matrix(shape, blockSize, place);
      await room(shape, async (panels) => {
        await requantize([{ matrix: stored, ...panels }]);
        const { q, scales } = await numbersIn(panels);
        const [out, width] = shape;
        let worst = 0;
        for (let row = 0; row < out; row++) {
          expect(Math.abs(scales[row]! - (largest[row]! * 8) / 127)).toBeLessThanOrEqual(largest[row]! * ROUNDING);
          for (let i = row * width; i < (row + 1) * width; i++)
            worst = Math.max(worst, Math.abs(numbers[i]! - q[i]! * scales[row]!) - scales[row]! / 2);
        }
        // Rounded to the nearest: never farther than half a step.
        expect(worst).toBeLessThanOrEqual(ROUNDING);
      });
    });
  }

  test("several at once are each what they are alone, again and again", async () => {
    const { requantize } = bench.backend;
    if (!requantize || !place) return;
    const shapes = [
      [256, 64],
      [64, 256],
      [128, 128],
      [40, 96],
      [512, 64],
    ] as const;
    const matrices = await Promise.all(shapes.map((shape) => matrix(shape, 32, place)));
    const tensors: Tensor[] = [];
    const rooms: Room[] = [];
    for (const shape of shapes) {
      const rows = rowsOfPanels(shape)!;
      const data = await bench.backend.allocate("int8", [shape[0] / rows, shape[1], rows]);
      const scales = await bench.backend.allocate("float32", [shape[0] / rows, 1, rows]);
      tensors.push(data, scales);
      rooms.push({ data, scales });
    }
    for (let round = 0; round < 3; round++) {
      await requantize(rooms.map((panels, i) => ({ matrix: matrices[i]!.stored, ...panels })));
      for (const [i, panels] of rooms.entries()) {
        const { q, scales } = await numbersIn(panels);
        const [, width] = shapes[i]!;
        const close = matrices[i]!.numbers.every((value, at) => {
          const scale = scales[Math.floor(at / width)]!;
          return Math.abs(value - q[at]! * scale) <= scale / 2 + ROUNDING;
        });
        expect(close).toBe(true);
      }
    }
    for (const tensor of tensors) tensor.dispose();
  });

  test("rows from a place on, and 0 beyond the end", async () => {
    const { requantize } = bench.backend;
    if (!requantize || !place) return;
    const { stored, numbers } = await matrix([208, 64], 32, place);
    await room([128, 64], async (panels) => {
      await requantize([{ matrix: stored, ...panels }]);
      await requantize([{ matrix: stored, start: 128, ...panels }]);
      const { q, scales } = await numbersIn(panels);
      const found = Array.from(q, (value, i) => value * scales[Math.floor(i / 64)]!);
      const expected = Array.from({ length: 128 * 64 }, (_, i) => numbers[128 * 64 + i] ?? 0);
      const close = found.every(
        (value, i) => Math.abs(value - expected[i]!) <= scales[Math.floor(i / 64)]! / 2 + ROUNDING,
      );
      expect(close).toBe(true);
      expect(found.slice(80 * 64).every((value) => value === 0)).toBe(true);
    });
  });

  test("panels are copied as they are", async () => {
    const { requantize } = bench.backend;
    if (!requantize || !place) return;
    const shape = [256, 64] as const;
    const parts = quantizedParts("w", shape, { bits: 8, blockSize: 64, zeroPoints: false });
    const bytes = Int8Array.from({ length: 256 * 64 }, (_, i) => ((i * 31) % 255) - 127);
    const factors = random([256, 1], 3);
    const checkpoint = await checkpointWith(
      {
        [parts.data.name]: ndArray("int8", parts.data.shape, bytes),
        [parts.scales.name]: factors,
        [parts.sums!.name]: ndArray("int32", [256], new Int32Array(256)),
      },
      { offset: 1, source: place },
    );
    const stored = findQuantized(checkpoint, "w")!;
    await room(shape, async (panels) => {
      await requantize([{ matrix: stored, ...panels }]);
      expect((await bench.backend.download(panels.data)).data).toEqual(bytes);
      expect((await bench.backend.download(panels.scales)).data).toEqual(factors.data);
      await requantize([{ matrix: stored, start: 128, ...panels }]);
      const half = (await bench.backend.download(panels.data)).data as Int8Array;
      expect(half.subarray(0, 128 * 64)).toEqual(bytes.subarray(128 * 64));
      expect((await bench.backend.download(panels.scales)).data.subarray(128).every((scale) => scale === 0)).toBe(true);
      await expectCode("backend/option", () => requantize([{ matrix: stored, start: 64, ...panels }]));
    });
  });

  /** A matrix of numbers in a file, and what stands there. */
  async function numbersOf(
    array: NdArray<"float32">,
    dtype: "float32" | "bfloat16" | "float16",
    source: MakeSource,
  ): Promise<{ readonly ref: TensorRef; readonly values: Float64Array }> {
    const { file, value } = storedAs(array, dtype);
    const checkpoint = await checkpointWith({ w: file }, { offset: 2, source });
    return { ref: checkpoint.tensors.get("w")!, values: value.data };
  }

  /** Room for all that numbers become. */
  async function roomForNumbers(
    [out, width]: readonly [number, number],
    use: (room: Required<Omit<Requantization, "matrix" | "start">>) => Promise<void>,
  ): Promise<void> {
    const rows = rowsOfPanels([out, width])!;
    const perRow = [out / rows, 1, rows];
    using data = await bench.backend.allocate("int8", [out / rows, width, rows]);
    using scales = await bench.backend.allocate("float32", perRow);
    using sums = await bench.backend.allocate("int32", perRow);
    using errors = await bench.backend.allocate("float32", perRow);
    await use({ data, scales, sums, errors });
  }

  for (const dtype of ["float32", "bfloat16"] as const) {
    test(`${dtype} becomes panels, and what they are off by is known`, async () => {
      const { requantize } = bench.backend;
      if (!requantize || !place) return;
      const shape = [192, 96] as const;
      const array = random(shape, 11);
      array.data.fill(0, 3 * 96, 4 * 96); // a row of zeros
      array.data[5 * 96 + 7] = 1000; // and one with a number far larger than the others
      const { ref, values } = await numbersOf(array, dtype, place);
      await roomForNumbers(shape, async (panels) => {
        await requantize([{ matrix: ref, ...panels }]);
        const { q, scales } = await numbersIn(panels);
        const sums = (await bench.backend.download(panels.sums)).data as Int32Array;
        const errors = (await bench.backend.download(panels.errors)).data as Float32Array;
        for (let row = 0; row < shape[0]; row++) {
          const own = { q: q.subarray(row * 96, (row + 1) * 96), values: values.subarray(row * 96, (row + 1) * 96) };
          const largest = own.values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
          expect(Math.abs(scales[row]! - largest / 127)).toBeLessThanOrEqual(largest * ROUNDING);
          expect(sums[row]).toBe(own.q.reduce((sum, value) => sum + value, 0));
          const off = Array.from(own.values, (value, i) => value - own.q[i]! * scales[row]!);
          expect(Math.max(...off.map(Math.abs))).toBeLessThanOrEqual(scales[row]! * (0.5 + 1e-4));
          const length = Math.hypot(...off);
          // A bound, and a close one.
          expect(errors[row]!).toBeGreaterThanOrEqual(length);
          expect(errors[row]!).toBeLessThanOrEqual(length * 1.001);
        }
        // As some rows of them, without what nobody asked for.
        await requantize([{ matrix: ref, start: 128, data: panels.data, scales: panels.scales }]);
        const after = await numbersIn(panels);
        expect(after.q.subarray(0, 64 * 96)).toEqual(q.subarray(128 * 96));
        expect(after.scales.subarray(64).every((scale) => scale === 0)).toBe(true);
      });
    });
  }

  test("the best of many rows is found by way of their bytes, or said not to be", async () => {
    const { requantize } = bench.backend;
    if (!requantize || !place) return;
    const shape = [2048, 64] as const;
    const [out, width] = shape;
    const table = random(shape, 21);
    // More rows than are looked at that cannot be told from each other in 8 bits.
    const alike = 100;
    for (let i = width; i < alike * width; i++) table.data[i] = table.data[i % width]! + i / 1e8;
    const { ref, values } = await numbersOf(table, "float32", place);
    const xs = random([40, width], 22);
    xs.data.fill(0, 0, width);
    for (let row = 1; row < 40; row++) {
      // Those are the best of every fourth; of every third one number is larger than the others together.
      if (row % 4 === 0) for (let i = 0; i < width; i++) xs.data[row * width + i]! += 5 * table.data[i]!;
      else if (row % 3 === 0) xs.data[row * width + row] = 50;
    }
    const perRow = (rows: number): readonly number[] => [out / rows, 1, rows];
    const rows = rowsOfPanels(shape)!;
    const model = buildGraph("best", bench.backend.target, (g) => {
      const screen = {
        data: g.input("data", "int8", [out / rows, width, rows]),
        scales: g.input("scales", "float32", perRow(rows)),
        sums: g.input("sums", "int32", perRow(rows)),
        errors: g.input("errors", "float32", perRow(rows)),
      };
      const weight = g.external("w", "float32", shape, ref);
      return { best: bestByScreen(g.input("x", "float32", ["n", width]), screen, weight) };
    });
    await using session = await bench.backend.compile(model);
    await roomForNumbers(shape, async (panels) => {
      await requantize([{ matrix: ref, ...panels }]);
      const tell = async (x: NdArray): Promise<number[]> => {
        const { host } = await session.run({ x, ...panels }, { host: ["best"] });
        return Array.from(host["best"]!.data, Number);
      };
      const told = await tell(xs);
      const expected = Array.from({ length: 40 }, (_, row) => {
        const x = xs.data.subarray(row * width, (row + 1) * width);
        let [best, most] = [0, Number.NEGATIVE_INFINITY];
        for (let of = 0; of < out; of++) {
          let score = 0;
          for (let i = 0; i < width; i++) score += x[i]! * values[of * width + i]!;
          if (score > most) [best, most] = [of, score];
        }
        return best;
      });
      // Nothing is best where all is 0, and rows that are alike are not told from each other.
      expect(told).toEqual(expected.map((best, row) => (row % 4 === 0 ? UNSETTLED : best)));
      expect(await tell(floats([1, width], xs.data.subarray(3 * width, 4 * width)))).toEqual([expected[3]]);
    });
  });

  test("products with fed panels, and what was asked for before sees what was there before", async () => {
    const { requantize } = bench.backend;
    if (!requantize || !place) return;
    const shape = [128, 64] as const;
    const matrices = await Promise.all([32, 64].map((blockSize) => matrix(shape, blockSize, place)));
    const model = buildGraph(
      "fed",
      bench.backend.target,
      (g) => ({
        y: linear(
          g.input("x", "float32", ["n", 64]),
          fedWeights(g, (of: readonly [number, number]) => rowsOfPanels(of)!),
          128,
        ),
      }),
      { many: ["n"] },
    );
    await using session = await bench.backend.compile(model);
    await room(shape, async (panels) => {
      const x = random([9, 64], 5);
      const feeds = { x, [`${FED_INPUT}weight`]: panels.data, [`${FED_INPUT}weight${FED_SCALES}`]: panels.scales };
      const results = matrices.map(async ({ stored }) => {
        const work = [{ matrix: stored, ...panels }];
        const [, { host }] = await Promise.all([requantize(work), session.run(feeds, { host: ["y"] })]);
        return host["y"];
      });
      for (const [i, y] of (await Promise.all(results)).entries()) {
        // Bytes of x and of the weight: a hundredth of the largest product.
        expectClose(y, reference.linear(exact(x), { shape, data: matrices[i]!.numbers }), 0.02);
      }
    });
  });

  test("what cannot be unpacked is refused, and the room stays", async () => {
    const { requantize } = bench.backend;
    if (!requantize || !place) return;
    const shape = [256, 64] as const;
    const { stored } = await matrix(shape, 32, place);
    const { stored: longer } = await matrix([256, 96], 32, place);
    const { stored: small } = await matrix(shape, 16, place);
    const { stored: asymmetric } = await matrix(shape, 32, place, true);
    const { stored: inMemory } = await matrix(shape, 32, bench.sources["memory"]!);
    const { ref: halves } = await numbersOf(random(shape, 1), "float16", place);
    const { ref: odd } = await numbersOf(random([256, 65], 1), "float32", place);
    await room(shape, async (panels) => {
      const refused = (given: Partial<Requantization>): Promise<unknown> =>
        expectCode("backend/option", () => requantize([{ matrix: stored, ...panels, ...given }]));
      for (const other of [longer, small, asymmetric, inMemory, halves, odd]) await refused({ matrix: other });
      for (const start of [-1, 0.5, 256]) await refused({ start });
      await refused({ data: panels.scales });
      await refused({ scales: panels.data });
      // Of numbers only.
      using sums = await bench.backend.allocate("int32", panels.scales.shape);
      await refused({ sums });
      await refused({ unlike: sums } as never);
      await refused({ data: panels.data.rows(0, 1), scales: panels.scales.rows(0, 1) });
      await expectCode("backend/option", () =>
        requantize([
          { matrix: stored, ...panels },
          { matrix: stored, ...panels },
        ]),
      );
      const grown = { ...stored.data.source, size: stored.data.source.size + 1 };
      const changed = {
        ...stored,
        data: { ...stored.data, source: grown },
        scales: { ...stored.scales, source: grown },
      };
      // In whatever thread it is found out.
      await room([192, 64], async (other) => {
        for (const [first, second] of [
          [changed, stored],
          [stored, changed],
        ] as const)
          await expectCode("backend/changed", () =>
            requantize([
              { matrix: first, ...panels },
              { matrix: second, ...other },
            ]),
          );
        await requantize([
          { matrix: stored, ...panels },
          { matrix: stored, ...other },
        ]);
      });
      expect((await numbersIn(panels)).q.some((value) => value !== 0)).toBe(true);
      panels.data.dispose();
      await expectCode("backend/disposed", () => requantize([{ matrix: stored, ...panels }]));
    });
  });
}
