import { generate, type LogitsSource } from "@paligemma/generation";
import { expect, test } from "vitest";
test("x", async () => {
  let last = 0;
  const source: LogitsSource = {
    logits: async () => ({
      data: Float32Array.from({ length: 4 }, (_, i) => (i === last + 1 ? 1 : 0)),
      rows: 1,
      vocabulary: 4,
    }),
    advance: async ([token]) => void (last = token!),
  };
  const { sequences, stoppedBy } = await generate(source, { maxNewTokens: 8, eosTokenId: 3 });
  expect([sequences, stoppedBy]).toEqual([[[1, 2, 3]], ["eos"]]);
});
