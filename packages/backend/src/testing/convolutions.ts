import { checkpointWeights, convolution, transposedConvolution } from "@paligemma/graph";
import { exact, expectClose, random } from "./arrays.ts";
import { checkpointWith, runOnce, type Bench } from "./bench.ts";
import * as reference from "./reference.ts";

/** Kernels of all the kinds that networks have: points, edges kept, halved, doubled, and odd ones. */
const CASES = [
  { kernel: 1, stride: 1, padding: 0, channels: 24, out: 16 },
  { kernel: 3, stride: 1, padding: 1, channels: 8, out: 12 },
  { kernel: 3, stride: 2, padding: 0, channels: 3, out: 5 },
  { kernel: 4, stride: 2, padding: 1, channels: 1, out: 16 },
  { kernel: 4, stride: 2, padding: 1, channels: 32, out: 16 },
];

/** Convolutions and their transposes against sums in float64, on pictures that are not square. */
export function convolutionTests(bench: Bench): void {
  const { test, tolerances } = bench;
  for (const [kind, operator, formula] of [
    ["convolution", convolution, reference.convolution],
    ["transposedConvolution", transposedConvolution, reference.transposedConvolution],
  ] as const) {
    for (const { kernel, stride, padding, channels, out } of CASES) {
      const name = `${kind} of ${channels} channels to ${out}, kernel ${kernel}, stride ${stride}, padding ${padding}`;
      const weight = kind === "convolution" ? [out, channels, kernel, kernel] : [channels, out, kernel, kernel];
      test(name, async () => {
        const x = random([3, channels, 8, 6], 51);
        const arrays = { weight: random(weight, 52), bias: random([out], 53) };
        const checkpoint = await checkpointWith(arrays);
        const { y } = await runOnce(bench.backend, { x }, (g) => ({
          y: operator(g.input("x", "float32", ["n", channels, 8, 6]), checkpointWeights(g, checkpoint), out, {
            kernel,
            stride,
            padding,
          }),
        }));
        const expected = formula(exact(x), exact(arrays.weight), exact(arrays.bias), { stride, padding });
        expectClose(y, expected, tolerances.operator);
      });
    }
  }
}
