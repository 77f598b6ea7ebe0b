import { detectionConfidences, generate, score } from "@paligemma/generation";
import { describe, expect, test } from "vitest";
import { createPick, hashScore, hashSource, sourceOf } from "./sources.ts";

const VOCABULARY = 12;

/** Log-probability of an answer, token by token, straight from the definition. */
function direct(prompt: readonly number[], answer: readonly number[]): number[] {
  return answer.map((token, i) => {
    const ids = [...prompt, ...answer.slice(0, i)];
    const scores = Array.from({ length: VOCABULARY }, (_, one) => hashScore(ids, one));
    return scores[token]! - Math.log(scores.reduce((sum, one) => sum + Math.exp(one), 0));
  });
}

describe("score", () => {
  test.each([false, true])("answers as the definition scores them, each row of the source (fork: %s)", async (fork) => {
    const pick = createPick(21);
    for (let i = 0; i < 60; i++) {
      const prompts = Array.from({ length: 1 + pick(3) }, () => [pick(VOCABULARY), pick(VOCABULARY)]);
      const answers = Array.from({ length: 1 + pick(6) }, () => Array.from({ length: 1 + pick(4) }, () => pick(4)));
      const source = hashSource(prompts, VOCABULARY, { fork });
      const by = pick(2) ? "sum" : "mean";
      const result = await score(source, answers, { eosTokenId: 1, by, maxRows: fork ? 3 + pick(9) : 64 });
      result.forEach((row, r) => {
        const keys = row.map((one) => one.score / (by === "sum" ? 1 : one.tokenScores.length));
        expect(keys).toEqual(keys.toSorted((a, b) => b - a));
        expect(row.reduce((sum, one) => sum + one.share, 0)).toBeCloseTo(1, 5);
        expect(row.map(({ answer }) => answer).toSorted((a, b) => a - b)).toEqual([...answers.keys()]);
        for (const one of row) {
          const wanted = direct(prompts[r]!, [...answers[one.answer]!, 1]);
          expect(one.tokenScores).toHaveLength(wanted.length);
          wanted.forEach((value, j) => expect(one.tokenScores[j]).toBeCloseTo(value, 4));
          expect(one.score).toBeCloseTo(
            wanted.reduce((sum, value) => sum + value, 0),
            4,
          );
        }
      });
      if (fork) expect(source.rows).toEqual(prompts);
    }
  });
  test("common beginnings are fed once, and last tokens not at all", async () => {
    const source = hashSource([[3]], VOCABULARY);
    await score(source, [[5, 6, 7], [5, 6, 8], [5, 9], [4]]);
    expect(source.counts).toMatchObject({ advance: 2, tokens: 2 });
  });
  test("what cannot be scored is an error", async () => {
    const wrong = (options: object): Promise<unknown> => score(hashSource([[1]], 8), [[2]], options);
    await expect(wrong({ eosTokenID: 1 })).rejects.toThrow(
      /eosTokenID is not an option of score; did you mean eosTokenId/,
    );
    await expect(wrong({ by: "max" })).rejects.toThrow(/by is "max", allowed is "sum" or "mean"/);
    await expect(score(hashSource([[3]], VOCABULARY), [])).rejects.toThrow(/answers are at least one/);
    await expect(score(hashSource([[3]], VOCABULARY), [[]])).rejects.toThrow(/answers are at least one/);
    await expect(score(hashSource([[3]], VOCABULARY), [[99]])).rejects.toThrow(/an answer has the token 99/);
    await expect(score(hashSource([[3], [4]], VOCABULARY), [[2]], { maxRows: 1 })).rejects.toThrow(
      /maxRows is 1, but the source has 2 rows/,
    );
    await expect(score(hashSource([[3]], VOCABULARY), [[2], [3]], { maxRows: 1 })).rejects.toThrow(
      /the source cannot fork/,
    );
    await expect(score(hashSource([[3]], VOCABULARY), [[2]], { signal: AbortSignal.abort("no") })).rejects.toBe("no");
  });
});

describe("detectionConfidences", () => {
  // Tokens: 0 end, 1 separator, 2 and 3 label words, 4 … 1027 locations.
  const loc0 = 4;
  const vocabulary = loc0 + 1024;
  test("label probability, chance of an object and entropies, unconstrained", async () => {
    const answer = [loc0 + 5, loc0 + 6, loc0 + 7, loc0 + 8, 2, 3, 1, loc0 + 9, loc0 + 10, loc0 + 11, loc0 + 12, 3, 0];
    const source = sourceOf([[]], vocabulary, (ids) => {
      const scores = new Float32Array(vocabulary).fill(-Infinity);
      const wanted = answer[ids.length]!;
      // The first coordinate: half a chance of a location, all alike; the second: sure; labels: three to one.
      if (ids.length === 0) scores.fill(Math.log(1 / 2048), loc0).fill(Math.log(0.5), 0, 1);
      else if (wanted >= loc0) scores[wanted] = 0;
      else scores.fill(Math.log(0.25), 0, 1).fill(Math.log(0.75), wanted, wanted + 1);
      return scores;
    });
    const result = await generate(source, {
      eosTokenId: 0,
      maxNewTokens: 13,
      outputScores: true,
      outputDistributions: { from: loc0, to: loc0 + 1024 },
      responsePrefix: answer.slice(0, 1),
    });
    expect(result.sequences[0]).toEqual(answer);
    const recorded = {
      tokens: result.sequences[0]!,
      tokenScores: result.tokenScores![0]!,
      distributions: result.distributions![0]!,
    };
    const [first, second, ...more] = detectionConfidences(recorded, { loc0, separators: [0, 1] });
    expect(more).toEqual([]);
    expect(first!.index).toBe(0);
    expect(first!.label).toBeCloseTo(0.75 * 0.75, 5);
    expect(first!.object).toBeCloseTo(0.5, 5);
    expect(first!.coordinates[0]).toBeCloseTo(1 / 1024, 6);
    expect(first!.entropies[0]).toBeCloseTo(Math.log(1024), 4);
    expect(first!.entropies[1]).toBe(0);
    expect(second!.index).toBe(7);
    expect(second!.label).toBeCloseTo(0.75, 5);
    expect(second!.object).toBeCloseTo(1, 5);
  });
});
