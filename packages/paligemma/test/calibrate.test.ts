import { fileURLToPath } from "node:url";
import { createNodeBackend } from "@paligemma/backend-node";
import { MOMENT_COLUMNS } from "@paligemma/quantization";
import { folder } from "@paligemma/tiny-shapes";
import { canonicalNames } from "@paligemma/weights";
import { openCheckpoint } from "@paligemma/weights/node";
import { calibrate, loadPaliGemma } from "paligemma/node";
import { expect, it } from "vitest";
import { TOLERANCES } from "../../../tooling/tolerances.ts";

const PICTURE = new URL("../../../apps/cli/assets/demo.png", import.meta.url);
const EXAMPLES = [
  { image: PICTURE, prompt: "caption en" },
  { image: PICTURE, prompt: "answer en how many stars are there?", suffix: "1" },
];

it("measures what every matrix is multiplied with, and changes no answer meanwhile", async () => {
  await using backend = await createNodeBackend();
  const seen: number[] = [];
  const moments = await calibrate(folder, EXAMPLES, {
    backend,
    onProgress: ({ task, done }) => void (task === "calibrate" && seen.push(done)),
  });
  expect(seen).toEqual([1, 2]);
  const { tensors } = canonicalNames(await openCheckpoint(fileURLToPath(folder)));
  const matrices = [...tensors.values()].filter(({ name }) => /(?:_proj|fc\d|linear|embed_tokens)\.weight$/.test(name));
  expect([...moments.keys()].toSorted()).toEqual(matrices.map(({ name }) => name).toSorted());
  for (const { name, shape } of matrices) {
    const own = moments.get(name)!;
    const n = MOMENT_COLUMNS;
    expect(own).toHaveLength(Math.ceil(shape[1]! / n) * n * n);
    const most = own.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
    for (let at = 0; at < own.length; at++) {
      const [i, j] = [Math.floor((at % (n * n)) / n), at % n];
      const column = Math.floor(at / (n * n)) * n + Math.max(i, j);
      const across = column < shape[1]! ? own[at + (j - i) * (n - 1)]! : 0;
      if (Math.abs(own[at]! - across) > most * TOLERANCES["operator/float32"]) throw new Error(`${name} at ${i}, ${j}`);
      if (i === j) expect(own[at]).toBeGreaterThanOrEqual(0);
    }
  }
  // Query, key and value are made from the same rows.
  const of = (name: string): Float32Array => moments.get(`language_model.model.layers.0.self_attn.${name}.weight`)!;
  expect(of("k_proj")).toBe(of("q_proj"));
  await using model = await loadPaliGemma(folder, { backend });
  expect((await model.generate({ image: PICTURE, prompt: "caption en" })).text).not.toBe("");
});

it("wants examples", async () => {
  await using backend = await createNodeBackend();
  await expect(calibrate(folder, [], { backend })).rejects.toThrow(/paligemma\/calibrate/);
});
