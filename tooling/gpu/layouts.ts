// How fast the runtime multiplies with signed bytes that are mapped from a file, by the order in which they lie: the transpose, and
// panels of several widths. Prints Markdown; see docs/decisions/2026-11-30-panels-in-8-bits.md.
//   node --conditions=@paligemma/source --import tsx tooling/gpu/layouts.ts [--rows 261] [--threads N]
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createNodeBackend } from "@paligemma/backend-node";
import { ndArray } from "@paligemma/core";
import { buildGraph, reshape, transpose, type Graph, type Value } from "@paligemma/graph";
import { ndTensor } from "@paligemma/weights";
import { openCheckpoint, writeSafetensors } from "@paligemma/weights/node";

/** A perceptron of PaliGemma 3B, as often as it takes to be larger than any cache. */
const [WIDTH, HIDDEN, COPIES] = [2048, 16_384, 6];
const SHAPES = [
  [HIDDEN, WIDTH],
  [WIDTH, HIDDEN],
] as const;

const { values } = parseArgs({ options: { rows: { type: "string", default: "261" }, threads: { type: "string" } } });
const many = Number(values.rows);
await using backend = await createNodeBackend(values.threads === undefined ? {} : { threads: Number(values.threads) });
const folder = await mkdtemp(join(tmpdir(), "layouts-"));

let state = 1;
function randomBytes(count: number): Int8Array<ArrayBuffer> {
  const words = new Uint32Array(count / 4);
  for (let i = 0; i < words.length; i++) words[i] = state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return new Int8Array(words.buffer);
}

const scalar = (g: Graph, dtype: "float32" | "uint8", value: number): Value =>
  g.constant({ dtype, shape: [], data: dtype === "float32" ? Float32Array.of(value) : Uint8Array.of(value) });

/** Input as bytes around 128, all with one scale: what is measured is the product. */
const bytesOf = (g: Graph, x: Value): Value =>
  g.node({
    op: "QuantizeLinear",
    inputs: [x, scalar(g, "float32", 0.01), scalar(g, "uint8", 128)],
    outputs: [{ dtype: "uint8", shape: x.shape }],
  })[0]!;

/** The shape that a weight [out, in] lies in, and the product of n rows with it, [n, out]. */
interface Layout {
  readonly name: string;
  shape(out: number, width: number): readonly number[];
  multiply(g: Graph, x: Value, weight: Value, out: number, n: number): Value;
}

const panels = (rows: number): Layout => ({
  name: rows === Infinity ? "[1, in, out]" : `[out / ${rows}, in, ${rows}]`,
  shape: (out, width) => (rows === Infinity ? [1, width, out] : [out / rows, width, rows]),
  multiply(g, x, weight, out, n) {
    const shape = [weight.shape[0]!, n, weight.shape[2]!];
    const sums = (op: "MatMulInteger" | "MatMulIntegerToFloat"): Value =>
      g.node({
        op,
        ...(op === "MatMulInteger"
          ? { inputs: [bytesOf(g, x), weight], outputs: [{ dtype: "int32", shape }] }
          : {
              domain: "com.microsoft" as const,
              inputs: [
                bytesOf(g, x),
                weight,
                scalar(g, "float32", 1),
                scalar(g, "float32", 1e-4),
                scalar(g, "uint8", 128),
              ],
              outputs: [{ dtype: "float32", shape }],
            }),
      })[0]!;
    if (n > 1) return reshape(transpose(sums("MatMulIntegerToFloat"), [1, 0, 2]), [n, out]);
    const row = reshape(sums("MatMulInteger"), [1, out]);
    return g.node({
      op: "DequantizeLinear",
      inputs: [row, scalar(g, "float32", 1e-4)],
      outputs: [{ dtype: "float32", shape: [1, out] }],
    })[0]!;
  },
});

const median = (times: readonly number[]): number => times.toSorted((a, b) => a - b)[times.length >> 1]!;

try {
  console.log(
    `| weights | one row, ms | GB/s | ${many} rows, GOP/s | compiling, ms |\n| --- | --- | --- | --- | --- |`,
  );
  for (const layout of [Infinity, 2048, 256, 128, 64].map(panels)) {
    const path = join(folder, "model.safetensors");
    const names = Array.from({ length: COPIES }, (_, i) =>
      SHAPES.map(([out, width]) => ({ name: `${i}.${out}`, out, width })),
    ).flat();
    await writeSafetensors(
      path,
      names.map(({ name, out, width }) =>
        ndTensor(name, ndArray("int8", layout.shape(out, width), randomBytes(out * width))),
      ),
    );
    const { tensors } = await openCheckpoint(path);
    const measured = [];
    let compiling = 0;
    for (const [n, repeats] of [
      [1, 25],
      [many, 7],
    ] as const) {
      const model = buildGraph(layout.name, backend.target, (g) => {
        let y: Value = g.input("x", "float32", [n, WIDTH]);
        for (const { name, out } of names) {
          const ref = tensors.get(name)!;
          y = layout.multiply(g, y, g.external(name, ref.dtype, ref.shape, ref), out, n);
        }
        return { y };
      });
      const begin = performance.now();
      await using session = await backend.compile(model);
      compiling = performance.now() - begin;
      const x = ndArray("float32", [n, WIDTH], new Float32Array(n * WIDTH).fill(0.1));
      const times: number[] = [];
      for (let i = 0; i <= repeats; i++) {
        const start = performance.now();
        await session.run({ x }, { host: ["y"] });
        if (i > 0) times.push(performance.now() - start);
      }
      measured.push(median(times) / COPIES);
    }
    const [one = 0, all = 0] = measured;
    const numbers = 2 * WIDTH * HIDDEN;
    const row = [
      layout.name,
      one.toFixed(2),
      (numbers / one / 1e6).toFixed(1),
      ((2 * many * numbers) / all / 1e6).toFixed(0),
    ];
    console.log(`| ${[...row, compiling.toFixed(0)].join(" | ")} |`);
  }
} finally {
  await rm(folder, { recursive: true });
}
