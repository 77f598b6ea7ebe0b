import { generate, type GenerateOptions, OPTION_NAMES, PaliGemmaError, stream } from "@paligemma/generation";
import { expect, test } from "vitest";
import { camel, hashSource } from "./sources.ts";

const prompt = { promptIds: [[3, 4]] };
const eos = { eosTokenId: 1 };

const WRONG: readonly (readonly [options: Readonly<Record<string, unknown>>, message: RegExp])[] = [
  [{ max_new_tokens: 3 }, /max_new_tokens is not an option; did you mean maxNewTokens\?/],
  [{ temprature: 3 }, /temprature is not an option; did you mean temperature\?/],
  [{ fooBar: 1 }, /fooBar is not an option$/],
  [{ toString: 1 }, /toString is not an option/],
  [{ maxNewTokens: 0 }, /maxNewTokens is 0, allowed is an integer ≥ 1/],
  [{ maxNewTokens: 2.5 }, /maxNewTokens is 2.5/],
  [{ maxNewTokens: "8" }, /maxNewTokens is "8"/],
  [{ maxNewTokens: Number.NaN }, /maxNewTokens is NaN/],
  [{ doSample: true, temperature: 0 }, /temperature is 0, allowed is a number > 0; .* doSample: false/],
  [{ doSample: true, temperature: -1 }, /temperature is -1/],
  [{ doSample: true, topP: 1.5 }, /topP is 1.5/],
  [{ doSample: true, topK: -1 }, /topK is -1/],
  [{ doSample: true, minP: 2 }, /minP is 2/],
  [{ doSample: true, typicalP: 0 }, /typicalP is 0/],
  [{ doSample: true, epsilonCutoff: 1 }, /epsilonCutoff is 1/],
  [{ doSample: true, etaCutoff: -0.1 }, /etaCutoff is -0.1/],
  [{ doSample: true, topH: 0 }, /topH is 0/],
  [{ doSample: 1 }, /doSample is 1, allowed is true or false/],
  [{ doSample: true, seed: -1 }, /seed is -1/],
  [{ repetitionPenalty: 0, ...prompt }, /repetitionPenalty is 0/],
  [{ eosTokenId: [] }, /eosTokenId is \[\]/],
  [{ eosTokenId: -1 }, /eosTokenId is -1/],
  [{ padTokenId: 1.5 }, /padTokenId is 1.5/],
  [{ badWordsIds: [[]] }, /badWordsIds is \[\[\]\]/],
  [{ sequenceBias: [[[1], "x"]] }, /sequenceBias is/],
  [{ stopStrings: [""] }, /stopStrings is/],
  [{ exponentialDecayLengthPenalty: [1], ...eos }, /exponentialDecayLengthPenalty is \[1\]/],
  [{ numBeams: 2, earlyStopping: "always" }, /earlyStopping is "always", allowed is true, false or "never"/],
  [{ constraint: {} }, /constraint is/],
  [{ outputDistributions: { from: 3, to: 3 } }, /outputDistributions is/],
  [{ signal: "stop" }, /signal is "stop"/],
  // without effect
  [{ topP: 0.9 }, /topP has no effect without doSample: true/],
  [{ topK: 50 }, /topK has no effect/],
  [{ seed: 1 }, /seed has no effect/],
  [{ lengthPenalty: 2 }, /lengthPenalty has no effect without numBeams > 1/],
  [{ earlyStopping: true }, /earlyStopping has no effect/],
  [{ minNewTokens: 2 }, /minNewTokens has no effect without eosTokenId/],
  [{ exponentialDecayLengthPenalty: [1, 2] }, /exponentialDecayLengthPenalty has no effect/],
  [{ stopStrings: "x" }, /stopStrings has no effect without decode/],
  [{ maxMatchingNgramSize: 3 }, /maxMatchingNgramSize has no effect/],
  // the prompt is needed
  [{ repetitionPenalty: 1.2 }, /repetitionPenalty looks at the prompt: pass promptIds/],
  [{ noRepeatNgramSize: 2 }, /noRepeatNgramSize looks at the prompt/],
  [{ maxLength: 9 }, /maxLength looks at the prompt/],
  [{ minLength: 9, ...eos }, /minLength looks at the prompt/],
  [{ promptLookupNumTokens: 3 }, /promptLookupNumTokens looks at the prompt/],
  [{ badWordsIds: [[1, 2]] }, /badWordsIds of several tokens also look at the prompt/],
  [{ sequenceBias: [[[1, 2], 3]] }, /sequenceBias of several tokens also looks at the prompt/],
  // contradictions
  [{ maxNewTokens: 3, maxLength: 9, ...prompt }, /maxNewTokens and maxLength are given, only one may be/],
  [{ maxNewTokens: 3, minNewTokens: 4, ...eos }, /minNewTokens is 4, more than maxNewTokens 3/],
  [{ maxLength: 3, minLength: 4, ...eos, ...prompt }, /minLength is 4, more than maxLength 3/],
  [{ numReturnSequences: 2 }, /numReturnSequences is 2, but greedy decoding has one answer/],
  [{ numReturnSequences: 3, numBeams: 2 }, /numReturnSequences is 3, more than numBeams 2/],
  [{ promptLookupNumTokens: 3, doSample: true, ...prompt }, /promptLookupNumTokens works with greedy decoding only/],
  [{ numBeams: 2, outputDistributions: { from: 0, to: 3 } }, /outputDistributions are not recorded with beams/],
];

test.each(WRONG)("%o", async (options, message) => {
  const error = await generate(hashSource([[3, 4]], 8), options as GenerateOptions).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(PaliGemmaError);
  expect(error).toMatchObject({ name: "PaliGemmaError", code: "generation/option" });
  expect((error as Error).message).toMatch(message);
});

const AGAINST_SOURCE: readonly (readonly [options: GenerateOptions, message: RegExp])[] = [
  [{ promptIds: [[1], [2]] }, /promptIds has 2 entries, the source has 1 rows/],
  [{ doSample: true, seed: [1, 2] }, /seed has 2 entries/],
  [{ maxLength: 2, ...prompt }, /maxLength is 2, but a prompt already has 2 tokens \(image tokens count\)/],
  [{ maxNewTokens: 2, responsePrefix: [1, 2] }, /responsePrefix has 2 tokens, which leaves none of the 2 allowed/],
  [{ eosTokenId: 8 }, /eosTokenId names token 8, but the source scores tokens 0 to 7/],
  [{ padTokenId: 9 }, /padTokenId names token 9/],
  [{ suppressTokens: [8] }, /suppressTokens names token 8/],
  [{ outputDistributions: { from: 0, to: 9 } }, /outputDistributions names token 8/],
];

test.each(AGAINST_SOURCE)("%o does not fit a source of one row and eight tokens", async (options, message) => {
  await expect(generate(hashSource([[3, 4]], 8), options)).rejects.toThrow(message);
});

test("all problems are named at once", async () => {
  await expect(generate(hashSource([[3]], 8), { topP: 3, topk: 1 } as GenerateOptions)).rejects.toThrow(
    /topP is 3.*\. topk is not an option; did you mean topK\?/,
  );
});

test("a stream with beams is refused at the call, before any await", () => {
  expect(() => stream(hashSource([[3]], 8), { numBeams: 2 })).toThrow(/beams cannot be streamed/);
});

test("neutral values are never without effect", async () => {
  const neutral: GenerateOptions = {
    temperature: 1,
    topP: 1,
    typicalP: 1,
    minP: 0,
    epsilonCutoff: 0,
    etaCutoff: 0,
    topK: 0,
    earlyStopping: false,
    lengthPenalty: 1,
    minNewTokens: 0,
    minLength: 0,
    noRepeatNgramSize: 0,
    repetitionPenalty: 1,
    doSample: false,
    numBeams: 1,
    numReturnSequences: 1,
    removeInvalidValues: false,
  };
  const plain = await generate(hashSource([[3]], 8));
  expect((await generate(hashSource([[3]], 8), neutral)).sequences).toEqual(plain.sequences);
  expect(plain.sequences[0]).toHaveLength(20);
});

// What transformers 5.18's GenerationConfig holds: sorted(GenerationConfig().__dict__). First what is an option here, too.
const SAME = `bad_words_ids begin_suppress_tokens do_sample early_stopping eos_token_id epsilon_cutoff eta_cutoff
  exponential_decay_length_penalty forced_eos_token_id length_penalty max_length max_matching_ngram_size max_new_tokens max_time
  min_length min_new_tokens min_p no_repeat_ngram_size num_beams num_return_sequences output_scores pad_token_id
  prompt_lookup_num_tokens remove_invalid_values renormalize_logits repetition_penalty sequence_bias stop_strings
  suppress_tokens temperature top_h top_k top_p typical_p`;
// Arguments of generate() itself.
const ARGUMENTS = "logits_processor prefix_allowed_tokens_fn stopping_criteria";
/** What has no place here, and why. */
const ABSENT = {
  "needs a second model or heads that PaliGemma lacks": `assistant_confidence_threshold assistant_early_exit
    assistant_ensemble_weight assistant_lookbehind is_assistant num_assistant_tokens num_assistant_tokens_schedule
    speculation_type target_lookbehind use_mtp`,
  "left transformers for code on the Hub": `constraints diversity_penalty dola_layers force_words_ids low_memory
    num_beam_groups penalty_alpha`,
  "needs a second prompt, a detector or the tokenizer's text": "guidance_scale token_healing watermarking_config",
  "is for encoder-decoders": `bos_token_id decoder_start_token_id encoder_no_repeat_ngram_size encoder_repetition_penalty
    forced_bos_token_id`,
  "is the source's own affair": `cache_config cache_implementation compile_config continuous_batching_config disable_compile
    max_cache_len prefill_chunk_size use_cache`,
  "says what Python returns": `_from_model_config output_attentions output_hidden_states output_logits
    return_dict_in_generate transformers_version`,
};
const names = (text: string): string[] => text.split(/\s+/);

test("Hugging Face's options have their names in camelCase, or are refused", async () => {
  expect(new Set(OPTION_NAMES).size).toBe(OPTION_NAMES.length);
  const [same, absent] = [names(SAME), Object.values(ABSENT).flatMap(names)];
  expect(same.length + absent.length).toBe(73);
  for (const name of [...same, ...names(ARGUMENTS)]) expect(OPTION_NAMES).toContain(camel(name));
  for (const name of absent) {
    await expect(generate(hashSource([[3]], 8), { [camel(name)]: 1 } as GenerateOptions)).rejects.toThrow(
      `${camel(name)} is not an option`,
    );
  }
});

test("a source whose scores do not have the size they say is an error of its own", async () => {
  const wrong = {
    logits: () => Promise.resolve({ data: new Float32Array(7), rows: 2, vocabulary: 4 }),
    advance: () => Promise.resolve(),
  };
  await expect(generate(wrong)).rejects.toThrow(/generation\/source: the source gave 7 scores for \[2, 4\]/);
});
