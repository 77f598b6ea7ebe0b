import { PaliGemmaError } from "../errors.ts";
import { spells } from "./compile.ts";
import { type Grammar, text, tokens } from "./grammar.ts";
import type { Vocabulary } from "./vocabulary.ts";

/** A fixed text: in the tokenizer's own split where the vocabulary can `encode`, else in any split. */
export function literal(vocabulary: Vocabulary, exactly: string): Grammar {
  if (vocabulary.encode === undefined || exactly === "") return text(exactly);
  const ids = vocabulary.encode(exactly);
  if (!spells(ids, new TextEncoder().encode(exactly), vocabulary)) {
    throw new PaliGemmaError(
      "generation/vocabulary",
      `encode gives [${ids.join(", ")}] for ${JSON.stringify(exactly)}, which spells something else; it must add no special token and no space`,
    );
  }
  return tokens(ids);
}
