import { ndArray, type NdArray } from "@paligemma/core";
import { buildGraph, FED_INPUT, FED_SCALES, fedWeights, linear } from "@paligemma/graph";
import { findQuantized, quantizedParts, type QuantizedTensor } from "@paligemma/weights";
import { expect } from "vitest";
import { rowsOfPanels, type Requantization, type Tensor } from "../backend.ts";
import { exact, expectClose, random, uniform } from "./arrays.ts";
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
    await room(shape, async (panels) => {
      const refused = (given: Partial<Requantization>): Promise<unknown> =>
        expectCode("backend/option", () => requantize([{ matrix: stored, ...panels, ...given }]));
      for (const other of [longer, small, asymmetric, inMemory]) await refused({ matrix: other });
      for (const start of [-1, 0.5, 256]) await refused({ start });
      await refused({ data: panels.scales });
      await refused({ scales: panels.data });
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
