import { readFileSync } from "node:fs";
import { createProcessor, createTokenizer, type Processor, type Tokenizer } from "@paligemma/processor";

export function readFixture(path: string): never {
  return JSON.parse(readFileSync(new URL(`fixtures/${path}`, import.meta.url), "utf8")) as never;
}

/** The files of tiny-shapes' tokenizer: 1659 ids, laid out as Gemma's. */
export const tokenizerFiles: { tokenizerJson: Record<string, unknown>; tokenizerConfig: Record<string, unknown> } = {
  tokenizerJson: readFixture("tokenizer/tokenizer.json"),
  tokenizerConfig: readFixture("tokenizer/tokenizer_config.json"),
};

export const tokenizer: Tokenizer = createTokenizer(tokenizerFiles);

/** Four image tokens, 28 × 28 pixels, as in the oracle. */
export const processor: Processor = createProcessor({
  tokenizer,
  preprocessor: { image_seq_length: 4, size: { height: 28, width: 28 } },
});
