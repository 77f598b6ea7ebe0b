// A LogitsSource with every optional member, over a model of bytes that has read one sentence. What it can do then:
// greedy decoding with lookup, beams, several samples, constrained answers, and scores of given answers.
import { generate, type Logits, type LogitsSource, score } from "@paligemma/generation";
import { createVocabulary, jsonSchema, oneOf } from "@paligemma/generation/constraints";

// ── the model: 256 byte tokens and an end; it scores what followed the last two bytes in the sentence ──
const END = 256;
const SIZE = 257;
const sentence = [...new TextEncoder().encode("the cat sat on the mat and the rat sat on the hat. "), END];
let runs = 0;

function scoresAfter(ids: readonly number[]): Float32Array {
  const scores = new Float32Array(SIZE);
  for (let at = 1; at < sentence.length; at++) {
    const [before, last] = ids.slice(-2);
    if (sentence[at - 1] === last) scores[sentence[at]!]! += sentence[at - 2] === before ? 3 : 0.5;
  }
  return scores;
}

function logitsOf(rows: readonly (readonly number[])[]): Logits {
  runs++;
  const data = new Float32Array(rows.length * SIZE);
  rows.forEach((ids, i) => data.set(scoresAfter(ids), i * SIZE));
  return { data, rows: rows.length, vocabulary: SIZE };
}

// ── the source: the rows are its state, where a real model has a cache ──
function source(prompts: readonly (readonly number[])[]): LogitsSource {
  let rows = prompts.map((ids) => [...ids]);
  return {
    logits: async () => logitsOf(rows),
    advance: async (tokens, parents) => {
      rows = tokens.map((token, i) => [...rows[parents?.[i] ?? i]!, token]);
    },
    dropsFinishedRows: true,
    advanceMany: async (added, which) => {
      const prefixes = added.flatMap((run, i) => run.map((_, p) => [...rows[i]!, ...run.slice(0, p + 1)]));
      rows = rows.map((ids, i) => [...ids, ...added[i]!]);
      return logitsOf(which === "every" ? prefixes : rows);
    },
    rollback: async (count) => {
      rows = rows.map((ids) => ids.slice(0, ids.length - count));
    },
    fork: async () => source(rows),
  };
}

// ── what that gives ──
const bytes = (text: string): number[] => [...new TextEncoder().encode(text)];
const decode = (ids: readonly number[]): string =>
  new TextDecoder().decode(Uint8Array.from(ids.filter((id) => id < END)));
const promptIds = [bytes("the c")];
const common = { maxNewTokens: 40, eosTokenId: END, padTokenId: END, promptIds };

runs = 0;
const greedy = await generate(source(promptIds), common);
console.log("greedy:   ", decode(greedy.sequences[0]!), `(${runs} runs)`);

runs = 0;
const guessed = await generate(source(promptIds), { ...common, promptLookupNumTokens: 8 });
console.log(
  "lookup:   ",
  decode(guessed.sequences[0]!),
  `(${runs} runs, ${guessed.cost.accepted} of ${guessed.cost.proposed} guesses right)`,
);

const beams = await generate(source(promptIds), { ...common, maxNewTokens: 6, numBeams: 3, numReturnSequences: 2 });
beams.sequences.forEach((ids, i) =>
  console.log("beam:     ", JSON.stringify(decode(ids)), beams.scores![i]!.toFixed(2)),
);

const vocabulary = createVocabulary([...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)), null], {
  eosTokenId: END,
});
const animal = await generate(source(promptIds), { ...common, constraint: oneOf(vocabulary, ["cat", "rat", "dog"]) });
console.log("one of:   ", decode(animal.sequences[0]!), animal.stoppedBy[0]);

const schema = {
  type: "object",
  properties: { animal: { enum: ["cat", "rat"] }, hats: { type: "integer", minimum: 0, maximum: 9 } },
  required: ["animal", "hats"],
};
const json = await generate(source(promptIds), { ...common, constraint: jsonSchema(vocabulary, schema) });
console.log("JSON:     ", JSON.parse(decode(json.sequences[0]!)));

const answers = ["at sat", "og sat", "at hat"];
const [ranked] = await score(source(promptIds), answers.map(bytes));
for (const { answer, share } of ranked!) console.log("scored:   ", answers[answer], share.toFixed(3));
