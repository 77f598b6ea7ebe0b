export { prefixAllowed, removeInvalid } from "./allowed.ts";
export { exponentialDecay, forcedEos, minLength, minNewTokens } from "./length.ts";
export type { GroupProcessor, ScoreRow } from "./score-row.ts";
export { badWords, beginSuppress, noRepeatNgram, repetitionPenalty, sequenceBias, suppress } from "./sequences.ts";
export { epsilonCutoff, etaCutoff, minP, temperature, topH, topK, topP, typicalP } from "./warpers.ts";
export { logSoftmax } from "../numbers.ts";
