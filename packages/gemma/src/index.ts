export { gemma, type Context, type KeyValues } from "./network.ts";
export { GEMMA_PREFIX, embedTokens, gemmaRotary, tokenScores } from "./ends.ts";
export { cacheNames, gemmaGraph, hasWindow, type DecoderGraphOptions } from "./decoder-graph.ts";
export { loadGemma, type GemmaDecoder, type LoadGemmaOptions, type Prompt, type StartOptions } from "./decoder.ts";
export { prefixLmMask, stepMasks, type MaskOptions, type StepMasksOptions } from "./mask.ts";
export type { Scores } from "./scores.ts";
export { DecoderState, type TextState } from "./state.ts";
