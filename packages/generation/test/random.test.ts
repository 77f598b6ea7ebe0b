import { createRandom, generate } from "@paligemma/generation";
import { expect, test } from "vitest";
import { sourceOf } from "./sources.ts";

// Written down from a Python version of xoshiro128** and splitmix32, made from their descriptions.
const VECTORS = [
  [0, 0, [0.41675133265905573, 0.5870561741002205, 0.2650367332581032]],
  [1, 0, [0.09156953175513294, 0.8881928137485323, 0.43427017709149285]],
  [1, 1, [0.9535237955635142, 0.8468670367521474, 0.1415922753690082]],
  [2 ** 52 + 12345, 3, [0.016303987027068256, 0.2635722447252784, 0.3032916702030477]],
] as const;

test.each(VECTORS)("seed %d, stream %d", (seed, stream, numbers) => {
  const random = createRandom(seed, stream);
  expect(numbers.map(() => random())).toEqual(numbers);
});

test("drawn tokens have the probabilities of their scores", async () => {
  const wanted = [0.5, 0.3, 0.15, 0.05];
  const source = sourceOf([[0]], 4, () => wanted.map((p) => Math.log(p) + 3));
  const draws = 20_000;
  const { sequences } = await generate(source, {
    doSample: true,
    topK: 0,
    seed: 5,
    numReturnSequences: draws,
    maxNewTokens: 1,
  });
  const counts = wanted.map((_, token) => sequences.filter(([drawn]) => drawn === token).length);
  const chiSquare = counts.reduce((sum, count, i) => sum + (count - draws * wanted[i]!) ** 2 / (draws * wanted[i]!), 0);
  // The 99.9 % point of three degrees of freedom; the seed is fixed, so this is no gamble.
  expect(chiSquare).toBeLessThan(16.27);
});
