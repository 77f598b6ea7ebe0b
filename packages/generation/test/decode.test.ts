import { generate, type GenerateOptions, type LogitsSource, stream } from "@paligemma/generation";
import { describe, expect, test } from "vitest";
import { type Abilities, createPick, hashSource, scripted, sourceOf } from "./sources.ts";

const VOCABULARY = 12;
const EOS = 1;
const ABILITIES: readonly Abilities[] = [
  {},
  { drops: true },
  { many: true },
  { many: true, rollback: true },
  { many: true, rollback: true, drops: true },
];

function prompts(pick: (below: number) => number): number[][] {
  return Array.from({ length: 1 + pick(4) }, () => Array.from({ length: 3 + pick(4) }, () => 2 + pick(VOCABULARY - 2)));
}

describe("a batch", () => {
  test.each(ABILITIES)("row i equals the request alone: %o", async (can) => {
    const pick = createPick(3);
    for (let i = 0; i < 150; i++) {
      const promptIds = prompts(pick);
      const seeds = promptIds.map(() => pick(1000));
      const options: GenerateOptions = {
        maxNewTokens: 1 + pick(12),
        eosTokenId: pick(2) ? EOS : [EOS, 5],
        outputScores: pick(2) === 1,
        ...(pick(2) ? { repetitionPenalty: 1.3 } : {}),
        ...(pick(3) ? {} : { noRepeatNgramSize: 2 }),
        ...(pick(3) ? {} : { responsePrefix: [4, 3].slice(pick(2)) }),
      };
      const sampling = pick(2) === 1;
      const more = sampling
        ? { doSample: true, topK: pick(6), numReturnSequences: 1 + pick(3) }
        : pick(2)
          ? { promptLookupNumTokens: 3 }
          : {};
      const limit = options.responsePrefix === undefined ? 1 : 3;
      const all = { ...options, ...more, maxNewTokens: Math.max(options.maxNewTokens!, limit) };
      const together = await generate(hashSource(promptIds, VOCABULARY, can), {
        ...all,
        promptIds,
        ...(sampling ? { seed: seeds } : {}),
      });
      const alone = await Promise.all(
        promptIds.map((prompt, row) =>
          generate(hashSource([prompt], VOCABULARY), {
            ...all,
            promptIds: [prompt],
            ...(sampling ? { seed: seeds[row]! } : {}),
          }),
        ),
      );
      expect(together.sequences).toEqual(alone.flatMap(({ sequences }) => sequences));
      expect(together.stoppedBy).toEqual(alone.flatMap(({ stoppedBy }) => stoppedBy));
      expect(together.scores).toEqual(options.outputScores ? alone.flatMap(({ scores }) => scores) : undefined);
    }
  });

  test("beams of a batch equal those of each request alone", async () => {
    const pick = createPick(4);
    for (let i = 0; i < 100; i++) {
      const promptIds = prompts(pick);
      const options: GenerateOptions = {
        numBeams: 2 + pick(3),
        numReturnSequences: 2,
        maxNewTokens: 1 + pick(8),
        eosTokenId: EOS,
        outputScores: true,
      };
      const sampling = pick(2) ? { doSample: true } : {};
      const together = await generate(hashSource(promptIds, VOCABULARY), {
        ...options,
        ...sampling,
        ...("doSample" in sampling ? { seed: promptIds.map((_, j) => j) } : {}),
      });
      const alone = await Promise.all(
        promptIds.map((prompt, row) =>
          generate(hashSource([prompt], VOCABULARY), {
            ...options,
            ...sampling,
            ...("doSample" in sampling ? { seed: row } : {}),
          }),
        ),
      );
      expect(together.sequences).toEqual(alone.flatMap(({ sequences }) => sequences));
      expect(together.scores).toEqual(alone.flatMap(({ scores }) => scores));
      expect(together.tokenScores).toEqual(alone.flatMap(({ tokenScores }) => tokenScores));
    }
  });

  test("finished rows are fed padding, or left out where the source gains by it", async () => {
    const answers = [[5, EOS], [5, 6, 7, EOS], [EOS]];
    const kept = scripted(answers, VOCABULARY);
    const dropped = scripted(answers, VOCABULARY, { drops: true });
    for (const source of [kept, dropped]) {
      const result = await generate(source, { maxNewTokens: 9, eosTokenId: EOS, padTokenId: 0 });
      expect(result.sequences).toEqual(answers);
      expect(result.stoppedBy).toEqual(["eos", "eos", "eos"]);
    }
    expect(kept.counts).toMatchObject({ advance: 3, tokens: 9 });
    expect(kept.rows[2]).toEqual([2, 0, 0, 0]);
    expect(dropped.counts).toMatchObject({ advance: 3, tokens: 2 + 1 + 1 });
  });
});

describe("the same ids whatever the source can do", () => {
  test.each(ABILITIES)("greedy with prompt lookup: %o", async (can) => {
    const pick = createPick(5);
    let accepted = 0;
    for (let i = 0; i < 200; i++) {
      // Four tokens repeat themselves soon.
      const promptIds = [Array.from({ length: 5 }, () => pick(4))];
      const options = { maxNewTokens: 24, promptIds, outputScores: pick(2) === 1 };
      const plain = await generate(hashSource(promptIds, 4), options);
      const source = hashSource(promptIds, 4, can);
      const guessed = await generate(source, {
        ...options,
        promptLookupNumTokens: 1 + pick(5),
        maxMatchingNgramSize: 1 + pick(3),
      });
      expect(guessed.sequences).toEqual(plain.sequences);
      expect(guessed.tokenScores).toEqual(plain.tokenScores);
      expect(source.rows[0]).toEqual([...promptIds[0]!, ...guessed.sequences[0]!.slice(0, -1)]);
      accepted += guessed.cost.accepted;
    }
    expect(accepted > 0).toBe(can.rollback === true);
  });

  test("tokens of one key match in lookup, and are never guessed themselves", async () => {
    // Boxes of four locations (≥ 8), a label (2, 3) and a separator (4): the labels repeat, the locations do not.
    const answer = [8, 9, 10, 11, 2, 3, 4, 12, 13, 14, 15, 2, 3, 4, 16, 17, 18, 19, 2, 3, EOS];
    const run = (options: GenerateOptions): ReturnType<typeof generate> =>
      generate(scripted([answer], 20, { many: true, rollback: true }), {
        maxNewTokens: 40,
        eosTokenId: EOS,
        promptIds: [[0]],
        ...options,
      });
    const plain = await run({});
    const guessed = await run({
      promptLookupNumTokens: 5,
      promptLookupKey: (token) => (token < 8 ? token : -1),
      maxMatchingNgramSize: 4,
    });
    expect(guessed.sequences).toEqual(plain.sequences);
    expect(guessed.cost).toEqual({ runs: plain.cost.runs - 5, proposed: 6, accepted: 5 });
  });

  test.each([1, 3, 50])("advanceGreedy, %d steps at a time", async (greedy) => {
    const pick = createPick(6);
    for (let i = 0; i < 100; i++) {
      const promptIds = prompts(pick);
      const options = { maxNewTokens: 1 + pick(9), eosTokenId: EOS };
      const plain = await generate(hashSource(promptIds, VOCABULARY), options);
      const source = hashSource(promptIds, VOCABULARY, { greedy });
      const chosen = await generate(source, options);
      expect([chosen.sequences, chosen.stoppedBy]).toEqual([plain.sequences, plain.stoppedBy]);
      expect(chosen.cost).toEqual(plain.cost);
      expect(source.counts.logits).toBe(0);
    }
  });

  test("collected answers are asked for many tokens at once, watched ones and streams for one after the other", async () => {
    const options = { maxNewTokens: 100 };
    const calls = async (more: GenerateOptions, read = generate): Promise<number> => {
      const source = hashSource([[3, 4]], VOCABULARY, { greedy: 1 });
      await read(source, { ...options, ...more });
      return source.counts.many;
    };
    // The prompt's own token, then 64 and the rest.
    expect(await calls({})).toBe(3);
    expect(await calls({ maxTime: 1e6 })).toBe(100);
    expect(await calls({ stoppingCriteria: [() => false] })).toBe(100);
    expect(await calls({ stopStrings: "cow", decode: () => "" })).toBe(100);
    const streamed = async (source: LogitsSource, given?: GenerateOptions): ReturnType<typeof generate> => {
      for await (const _ of stream(source, given));
      return generate(source, { maxNewTokens: 1, outputScores: true });
    };
    expect(await calls({}, streamed)).toBe(100);
  });

  test("advanceGreedy is left alone when an option changes what is chosen", async () => {
    for (const option of [
      { minNewTokens: 1 },
      { outputScores: true },
      { suppressTokens: [0] },
      { forcedEosTokenId: 1 },
      { numBeams: 2 },
    ] as const) {
      const source = hashSource([[3, 4]], VOCABULARY, { greedy: 2 });
      await generate(source, { maxNewTokens: 3, eosTokenId: EOS, ...option });
      expect(source.counts.many).toBe(0);
    }
  });
});

describe("stopping", () => {
  const text = ["", "", "a", "b", " ", "cow", "x y", "!"];
  const decode = (ids: readonly number[]): string => ids.map((id) => text[id]).join("");

  test("a stop string ends the row whose newest token holds its last character, and nothing is trimmed", async () => {
    const answers = [
      [5, 4, 2, 3],
      [6, 2, 7],
    ];
    const result = await generate(scripted(answers, 8), { maxNewTokens: 9, stopStrings: ["ow a", " y"], decode });
    expect(result.sequences).toEqual([[5, 4, 2], [6]]);
    expect(result.stoppedBy).toEqual(["stop-string", "stop-string"]);
  });
  test("the prompt's end counts as the beginning of a stop string, as in Hugging Face", async () => {
    const source = sourceOf([[2, 3]], 8, () => [0, 0, 0, 0, 0, 0, 0, 9]);
    const result = await generate(source, { maxNewTokens: 9, stopStrings: "b!", decode, promptIds: [[2, 3]] });
    expect(result.sequences).toEqual([[7]]);
  });
  test("time, conditions and length", async () => {
    let now = 0;
    const clock = (): number => (now += 100);
    const run = (options: GenerateOptions): Promise<unknown> =>
      generate(scripted([[2, 2, 2, 2, 2, 2, 2, 2]], 8), options).then((r) => [r.sequences[0]!.length, r.stoppedBy[0]]);
    expect(await run({ maxNewTokens: 8, maxTime: 0.35, clock })).toEqual([4, "time"]);
    expect(
      await run({ maxNewTokens: 8, stoppingCriteria: [({ ids, promptLength }) => ids.length - promptLength === 3] }),
    ).toEqual([3, "criterion"]);
    expect(await run({ maxNewTokens: 5 })).toEqual([5, "length"]);
    expect(await run({ maxLength: 6, promptIds: [[1, 2]] })).toEqual([4, "length"]);
    expect(await run({ eosTokenId: 7 })).toEqual([20, "length"]);
  });
  test("a row whose tokens are all banned ends as a dead end, and its neighbours go on", async () => {
    const result = await generate(
      scripted(
        [
          [2, 3],
          [2, 3],
        ],
        4,
      ),
      {
        maxNewTokens: 3,
        promptIds: [[0], [1]],
        logitsProcessor: [
          (scores, { ids, request }) => void (request === 0 && ids.length === 2 && scores.fill(-Infinity)),
        ],
      },
    );
    expect(result.sequences).toEqual([[2], [2, 3, 0]]);
    expect(result.stoppedBy).toEqual(["dead-end", "length"]);
  });
  test("scores that are not numbers are an error unless they are to be removed", async () => {
    const broken = (): ReturnType<typeof sourceOf> => sourceOf([[0]], 3, () => [0, Number.NaN, 1]);
    await expect(generate(broken(), { maxNewTokens: 1 })).rejects.toThrow(/generation\/logits/);
    await expect(generate(broken(), { maxNewTokens: 1, doSample: true })).rejects.toThrow(/generation\/logits/);
    await expect(generate(broken(), { maxNewTokens: 1, numBeams: 2 })).rejects.toThrow(/generation\/logits/);
    expect((await generate(broken(), { maxNewTokens: 1, removeInvalidValues: true })).sequences).toEqual([[2]]);
  });
});

describe("prefix and scores", () => {
  test("the response prefix belongs to the answer and is fed in one run", async () => {
    const source = hashSource(
      [
        [3, 4],
        [5, 6],
      ],
      VOCABULARY,
      { many: true },
    );
    const { sequences } = await generate(source, {
      maxNewTokens: 6,
      responsePrefix: [
        [7, 8, 9],
        [7, 9, 8],
      ],
    });
    expect(sequences.map((row) => row.slice(0, 3))).toEqual([
      [7, 8, 9],
      [7, 9, 8],
    ]);
    expect(sequences.map((row) => row.length)).toEqual([6, 6]);
    expect(source.counts).toMatchObject({ many: 1, advance: 2 });
    const beams = await generate(hashSource([[3, 4]], VOCABULARY), {
      maxNewTokens: 6,
      numBeams: 2,
      responsePrefix: [7, 8, 9],
    });
    expect(beams.sequences[0]!.slice(0, 3)).toEqual([7, 8, 9]);
  });
  test("scores are log-probabilities of the raw logits, whatever was changed on the way", async () => {
    const scores = [1, 2, 3, 0.5];
    const total = Math.log(scores.reduce((sum, score) => sum + Math.exp(score), 0));
    const source = sourceOf([[0]], 4, () => scores);
    const result = await generate(source, {
      maxNewTokens: 2,
      suppressTokens: [2],
      outputScores: true,
      outputDistributions: { from: 1, to: 3 },
    });
    expect(result.sequences).toEqual([[1, 1]]);
    expect(result.tokenScores![0]![1]).toBeCloseTo(2 - total, 6);
    expect(result.scores![0]).toBeCloseTo(2 * (2 - total), 6);
    expect(result.distributions![0]![0]![1]).toBeCloseTo(3 - total, 6);
  });
});

describe("streams", () => {
  test("events tell what generate tells, and the model runs only when the next one is asked for", async () => {
    const source = scripted(
      [
        [2, EOS],
        [3, 4, EOS],
      ],
      VOCABULARY,
    );
    const events = stream(source, { maxNewTokens: 5, eosTokenId: EOS, clock: () => 0 });
    expect(source.counts.logits).toBe(0);
    const seen: unknown[] = [];
    for await (const event of events) {
      if (seen.length < 2) expect(source.counts.advance).toBe(0);
      seen.push(event);
    }
    const token = (row: number, index: number, id: number): object => ({
      type: "token",
      row,
      index,
      token: id,
      time: 0,
    });
    const stop = (row: number): object => ({ type: "stop", row, reason: "eos", time: 0 });
    expect(seen).toEqual([
      token(0, 0, 2),
      token(1, 0, 3),
      token(0, 1, EOS),
      stop(0),
      token(1, 1, 4),
      token(1, 2, EOS),
      stop(1),
    ]);
  });
  test("an abort throws its own reason before the next run of the model, and leaves no listener", async () => {
    for (const greedy of [undefined, 1]) {
      const source = hashSource([[3, 4]], VOCABULARY, greedy === undefined ? {} : { greedy });
      const controller = new AbortController();
      let listeners = 0;
      controller.signal.addEventListener = () => void listeners++;
      const reason = new Error("enough");
      const seen: number[] = [];
      const run = async (): Promise<void> => {
        for await (const event of stream(source, { maxNewTokens: 50, signal: controller.signal })) {
          if (event.type === "token") seen.push(event.token);
          if (seen.length === 3) controller.abort(reason);
        }
      };
      await expect(run()).rejects.toBe(reason);
      expect([seen.length, listeners]).toEqual([3, 0]);
      expect(source.counts.advance + source.counts.many).toBe(greedy === undefined ? 2 : 3);
    }
    await expect(generate(hashSource([[3]], 4), { signal: AbortSignal.abort("no") })).rejects.toBe("no");
    await expect(generate(hashSource([[3]], 4), { signal: AbortSignal.abort("no"), numBeams: 2 })).rejects.toBe("no");
  });
});
