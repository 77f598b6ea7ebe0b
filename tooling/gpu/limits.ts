// What the runtime's own matrix products reach on this machine, in each precision, and how fast one row reads its weights:
// the limits that a model's prompt and tokens are held against. Prints one line of JSON.
//   node --conditions=@paligemma/source --import tsx tooling/gpu/limits.ts [--rows 261] [--threads N]
import { parseArgs } from "node:util";
import { createNodeBackend } from "@paligemma/backend-node";
import { bytesFor, ndArray, sizeOf, viewAs, type DType } from "@paligemma/core";
import { add, buildGraph, checkpointWeights, linear, type Value } from "@paligemma/graph";
import { checkpointOf, ndTensor, quantizedParts, type TensorRef } from "@paligemma/weights";

/** A perceptron of PaliGemma 3B, as often as it takes to be larger than any cache. */
const [WIDTH, HIDDEN] = [2048, 16_384];
const COPIES = { float32: 2, int8: 6, int4: 10 } as const;
const FORMATS = {
  int8: (width: number) => ({ bits: 8, blockSize: width, zeroPoints: false }) as const,
  int4: () => ({ bits: 4, blockSize: 64, zeroPoints: false }) as const,
};

const { values } = parseArgs({ options: { rows: { type: "string", default: "261" }, threads: { type: "string" } } });
const rows = Number(values.rows);
await using backend = await createNodeBackend(values.threads === undefined ? {} : { threads: Number(values.threads) });

let state = 1;
/** Random bytes, which as whole numbers lie anywhere and as float32 near 0. */
function random(name: string, dtype: DType, shape: readonly number[]): TensorRef {
  const bytes = new Uint8Array(bytesFor(dtype, sizeOf(shape)));
  if (dtype === "float32") {
    const numbers = viewAs("float32", bytes);
    for (let i = 0; i < numbers.length; i++)
      numbers[i] = ((state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32 - 0.5) / 100;
  } else {
    const words = new Uint32Array(bytes.buffer);
    for (let i = 0; i < words.length; i++) words[i] = state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  }
  return ndTensor(name, ndArray(dtype, shape, viewAs(dtype, bytes)));
}

function tensors(precision: keyof typeof COPIES): readonly TensorRef[] {
  return Array.from({ length: COPIES[precision] }, (_, i) =>
    (
      [
        ["up", HIDDEN, WIDTH],
        ["down", WIDTH, HIDDEN],
      ] as const
    ).flatMap(([name, out, width]) => {
      const weight = `${i}.${name}.weight`;
      if (precision === "float32") return [random(weight, "float32", [out, width])];
      const { data, scales, sums } = quantizedParts(weight, [out, width], FORMATS[precision](width));
      return [data, scales, ...(sums ? [sums] : [])].map((part) => random(part.name, part.dtype, part.shape));
    }),
  ).flat();
}

/** Median seconds of one product, for one row and for many. */
async function measure(precision: keyof typeof COPIES): Promise<Readonly<Record<string, number>>> {
  const refs = tensors(precision);
  const checkpoint = checkpointOf(refs);
  const time = async (count: number, repeats: number): Promise<number> => {
    const model = buildGraph(precision, backend.target, (g) => {
      const w = checkpointWeights(g, checkpoint);
      let y: Value = g.input("x", "float32", [count, WIDTH]);
      for (let i = 0; i < COPIES[precision]; i++)
        y = add(y, linear(linear(y, w.at(i, "up"), HIDDEN), w.at(i, "down"), WIDTH));
      return { y };
    });
    await using session = await backend.compile(model);
    const x = ndArray("float32", [count, WIDTH], new Float32Array(count * WIDTH).fill(0.01));
    const times: number[] = [];
    for (let i = 0; i <= repeats; i++) {
      const begin = performance.now();
      await session.run({ x }, { host: ["y"] });
      if (i > 0) times.push((performance.now() - begin) / 1000);
    }
    return times.toSorted((a, b) => a - b)[times.length >> 1]!;
  };
  const bytes = refs.reduce((sum, ref) => sum + ref.end - ref.start, 0);
  const operations = 4 * WIDTH * HIDDEN * COPIES[precision];
  return {
    gigabytesPerSecond: Math.round(bytes / (await time(1, 15)) / 1e8) / 10,
    gigaoperationsPerSecond: Math.round((rows * operations) / (await time(rows, 5)) / 1e9),
  };
}

const result: Record<string, unknown> = { engine: backend.name, rows };
for (const precision of ["float32", "int8", "int4"] as const) result[precision] = await measure(precision);
console.log(JSON.stringify(result));
