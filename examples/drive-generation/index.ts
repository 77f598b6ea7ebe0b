// The decoding loop knows no model: anything that scores the next token of each row can be driven. Here a bigram table.
import { generate, type LogitsSource } from "@paligemma/generation";

const words = ["<end>", "the", "cat", "sat", "on", "mat"];
const follows: Readonly<Record<string, readonly string[]>> = {
  the: ["cat", "mat"],
  cat: ["sat"],
  sat: ["on"],
  on: ["the"],
  mat: ["<end>"],
};

let last = "the";
const source: LogitsSource = {
  logits: async () => {
    const data = new Float32Array(words.length).fill(-10);
    for (const word of follows[last] ?? []) data[words.indexOf(word)] = 1;
    return { data, rows: 1, vocabulary: words.length };
  },
  advance: async ([token = 0]) => {
    last = words[token] ?? "<end>";
  },
};

const options = { maxNewTokens: 12, eosTokenId: 0, doSample: true, seed: 3 };
const { sequences, stoppedBy } = await generate(source, options);
console.log(`the ${sequences[0]!.map((token) => words[token]).join(" ")}`);
console.log("stopped by", stoppedBy[0]);
