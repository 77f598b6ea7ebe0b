import { sentencePieceVocabulary, type Vocabulary } from "@paligemma/generation/constraints";
import type { Tokenizer } from "@paligemma/processor";

/** The vocabulary of a tokenizer as constraints read it: fixed texts are asked for in the tokenizer's own split. */
export function vocabularyOf(tokenizer: Tokenizer, eosTokenId: readonly number[]): Vocabulary {
  const ids = Array.from({ length: tokenizer.size }, (_, id) => id);
  return sentencePieceVocabulary(
    ids.map((id) => tokenizer.tokenOf(id) ?? null),
    { eosTokenId, control: ids.filter((id) => tokenizer.isSpecial(id)), encode: (text) => tokenizer.encode(text) },
  );
}
