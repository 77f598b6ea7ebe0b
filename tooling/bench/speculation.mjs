// What prompt lookup gains on the embedded model's 200 evaluation scenes, and whether its ids are those of plain greedy
// decoding, with and without a constraint to the labels that were asked for.
//   node tooling/bench/speculation.mjs [--guesses 8] [--longest 5] [--scenes 200]
import { readFile } from "node:fs/promises";
import { cpus } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const built = (path) => import(pathToFileURL(join(root, path)).href);
const { createNodeBackend } = await built("packages/backend-node/dist/index.js");
const { loadPaliGemma } = await built("packages/paligemma/dist/node/index.js");
const { generate } = await built("packages/generation/dist/index.js");
const { detections, segments, sentencePieceVocabulary } = await built("packages/generation/dist/constraints/index.js");

const { values } = parseArgs({
  options: {
    guesses: { type: "string", default: "8" },
    longest: { type: "string", default: "5" },
    scenes: { type: "string", default: "200" },
  },
});
const evaluation = join(root, "tooling/tiny-shapes/evaluation");
const scenes = JSON.parse(await readFile(join(evaluation, "truth.json"), "utf8")).slice(0, Number(values.scenes));
const backend = await createNodeBackend();
const model = await loadPaliGemma(join(root, "packages/tiny-shapes/model"), { backend });
const { tokenizer } = model.processor;
const { eosTokenIds, padTokenId } = model.config;
const vocabulary = sentencePieceVocabulary(
  Array.from({ length: tokenizer.size }, (_, id) => tokenizer.tokenOf(id) ?? null),
  {
    eosTokenId: eosTokenIds,
    control: Array.from({ length: tokenizer.size }, (_, id) => id).filter((id) => tokenizer.isSpecial(id)),
    encode: (text) => tokenizer.encode(text),
  },
);
const constraints = new Map();

/** The constraint that belongs to a prompt, or undefined for prompts that are answered in words. */
function constraintOf(prefix) {
  const [, verb, rest] = /^(detect|segment) (.+)$/.exec(prefix) ?? [];
  if (verb === undefined) return undefined;
  if (!constraints.has(prefix)) {
    constraints.set(prefix, (verb === "detect" ? detections : segments)(vocabulary, { labels: rest.split(" ; ") }));
  }
  return constraints.get(prefix);
}

/** Ids, runs of the model, guesses and milliseconds of one answer, the prompt's own run not counted. */
async function run(inputs, options) {
  const state = await model.model.start(inputs, { expectedTokens: 256 });
  try {
    await state.logits();
    const begun = performance.now();
    const result = await generate(state, {
      maxNewTokens: 256,
      eosTokenId: eosTokenIds,
      padTokenId,
      promptIds: [Array.from(inputs.inputIds.data, Number)],
      ...options,
    });
    return { ids: result.sequences[0], ...result.cost, time: performance.now() - begun };
  } finally {
    state.dispose();
  }
}

const { first, count } = tokenizer.locations;
const lookup = {
  promptLookupNumTokens: Number(values.guesses),
  maxMatchingNgramSize: Number(values.longest),
  promptLookupKey: (token) => (token >= first && token < first + count ? -1 : token),
};
const table = new Map();
let unequal = 0;
let named = 0;
for (const { file, tasks } of scenes) {
  for (const { kind, prefix } of tasks) {
    const inputs = await model.processor.process([{ image: join(evaluation, file), prompt: prefix }]);
    // Plain greedy decoding chooses within the model; an empty list makes it read the scores, as lookup has to.
    const ways = { "greedy in the model": {}, greedy: { suppressTokens: [] }, lookup };
    const constraint = constraintOf(prefix);
    if (constraint !== undefined)
      Object.assign(ways, { constrained: { constraint }, "constrained, lookup": { constraint, ...lookup } });
    const results = {};
    for (const [name, options] of Object.entries(ways)) {
      const result = await run(inputs, options);
      results[name] = result;
      const key = `${kind.replace(/_.*/, "")} | ${name}`;
      const row = table.get(key) ?? { answers: 0, tokens: 0, runs: 0, proposed: 0, accepted: 0, time: 0 };
      row.answers++;
      row.tokens += result.ids.length;
      for (const column of ["runs", "proposed", "accepted", "time"]) row[column] += result[column];
      table.set(key, row);
    }
    if (results.lookup.ids.join() !== results.greedy.ids.join()) unequal++;
    if (constraint === undefined) continue;
    if (results["constrained, lookup"].ids.join() !== results.constrained.ids.join()) unequal++;
    const asked = prefix.replace(/^\w+ /, "").split(" ; ");
    const text = tokenizer.decode(results.constrained.ids, { skipSpecialTokens: true });
    const labels = text === "" ? [] : text.split(" ; ").map((part) => part.replace(/^(<\w+>)+ /, ""));
    if (labels.some((label) => !asked.includes(label))) named++;
  }
}

console.log(
  `${cpus()[0].model}, ${cpus().length} cores, Node ${process.version}; ${scenes.length} scenes, ${values.guesses} guesses, longest match ${values.longest}\n`,
);
console.log(
  "| task | way | answers | tokens | runs | tokens per run | guesses right | ms per answer |\n|---|---|---|---|---|---|---|---|",
);
for (const [key, { answers, tokens, runs, proposed, accepted, time }] of table) {
  const right = proposed === 0 ? "" : `${((100 * accepted) / proposed).toFixed(0)} % of ${proposed}`;
  console.log(
    `| ${key} | ${answers} | ${tokens} | ${runs} | ${(tokens / runs).toFixed(2)} | ${right} | ${(time / answers).toFixed(1)} |`,
  );
}
console.log(
  `\nanswers whose ids differ with lookup: ${unequal}; constrained answers that name a label not asked for: ${named}`,
);
await model.dispose();
await backend.dispose();
if (unequal > 0 || named > 0) process.exitCode = 1;
