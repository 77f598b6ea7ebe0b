import { PaliGemmaError } from "@paligemma/core";
import { add, buildGraph, cast, checkpointWeights, declaredWeights, gather, linear } from "@paligemma/graph";
import { exact, expectClose, int64, memory, random, stored } from "./arrays.ts";
import { checkpointWith, expectCode, inArithmeticFormat, runOnce, type Bench } from "./bench.ts";
import * as reference from "./reference.ts";

const FORMATS = ["float32", "float16", "bfloat16"] as const;
/** Headers of safetensors end anywhere, so tensors begin anywhere. */
const OFFSETS = [0, 1, 2, 3, 65];

/** Weights that stay where they are: every format, every alignment, every kind of source. */
export function weightTests(bench: Bench): void {
  const { test, tolerances } = bench;
  for (const [kind, source] of Object.entries(bench.sources)) {
    for (const dtype of FORMATS) {
      test(`${dtype} weights in ${kind}, at any offset`, async () => {
        const x = random([3, 48], 1);
        const [weight, bias] = [stored(random([20, 48], 2), dtype), stored(random([20], 3), dtype)];
        const expected = reference.linear(exact(x), weight.value, bias.value);
        for (const offset of OFFSETS) {
          const checkpoint = await checkpointWith(
            { "fc.weight": weight.file, "fc.bias": bias.file },
            { offset, source },
          );
          const { y } = await runOnce(bench.backend, { x }, (g) => ({
            y: linear(g.input("x", "float32", ["n", 48]), checkpointWeights(g, checkpoint).at("fc"), 20, {
              bias: true,
            }),
          }));
          expectClose(y, expected, tolerances.operator);
        }
      });

      test(`${dtype} table in ${kind}: rows gathered, and the same table as a tied head`, async () => {
        const table = stored(random([30, 16], 4), dtype);
        const ids = [29, 0, 7, 7];
        const checkpoint = await checkpointWith({ "embed_tokens.weight": table.file }, { offset: 3, source });
        const host = await runOnce(bench.backend, { ids: int64([4], ids) }, (g) => {
          const w = checkpointWeights(g, checkpoint).at("embed_tokens");
          const rows = cast(
            gather(w.stored("weight", [30, 16]), g.input("ids", "int64", ["tokens"])),
            g.target.compute,
          );
          return { rows, logits: linear(rows, w, 30) };
        });
        const rows = {
          shape: [4, 16],
          data: Float64Array.from(ids.flatMap((id) => [...table.value.data.subarray(id * 16, id * 16 + 16)])),
        };
        expectClose(host["rows"], rows, tolerances.moved);
        expectClose(host["logits"], reference.linear(rows, table.value), tolerances.operator);
      });
    }
  }

  test("one graph over several sources", async () => {
    const arrays = Object.keys(bench.sources).flatMap((kind, i) =>
      FORMATS.map((dtype, j) => ({ kind, ...stored(random([8], 10 * i + j), dtype) })),
    );
    const checkpoints = await Promise.all(
      arrays.map(({ kind, file }, i) =>
        checkpointWith({ [`b${i}`]: file }, { offset: 1, source: bench.sources[kind]! }),
      ),
    );
    const x = random([8], 99);
    const { y } = await runOnce(bench.backend, { x }, (g) => {
      const biases = checkpoints.map((checkpoint, i) => checkpointWeights(g, checkpoint).tensor(`b${i}`, [8]));
      return { y: biases.reduce(add, g.input("x", "float32", [8])) };
    });
    const data = Float64Array.from(x.data, (value, i) =>
      arrays.reduce((sum, array) => sum + array.value.data[i]!, value),
    );
    expectClose(y, { shape: [8], data }, tolerances.operator);
  });

  test("constants inside the graph", async () => {
    const [x, c] = [random([300], 5), random([300], 6)];
    const { y } = await runOnce(bench.backend, { x }, (g) => ({
      y: add(g.input("x", "float32", [300]), g.constant(c)),
    }));
    expectClose(
      y,
      { shape: [300], data: Float64Array.from(x.data, (value, i) => value + c.data[i]!) },
      tolerances.operator,
    );
  });

  test("weights without bytes are refused", async () => {
    const model = buildGraph("declared", bench.backend.target, (g) => ({
      y: linear(g.input("x", "float32", ["n", 4]), declaredWeights(g), 4),
    }));
    await expectCode("graph/unbound", () => bench.backend.compile(model));
  });

  test("an error of a source reaches the caller", async () => {
    const failing = {
      ...memory(new Uint8Array(16)),
      read: () => Promise.reject(new PaliGemmaError("weights/http", "the server said 503")),
    };
    const checkpoint = await checkpointWith({ b: random([4], 1) }, { source: () => Promise.resolve(failing) });
    const model = buildGraph("failing", bench.backend.target, (g) => ({
      y: add(inArithmeticFormat(g).input("x", "float32", [4]), checkpointWeights(g, checkpoint).tensor("b", [4])),
    }));
    await expectCode("weights/http", () => bench.backend.compile(model));
  });
}
