import { PaliGemmaError } from "@paligemma/core";
import { byteOf, createPieceTokenizer } from "./piece-tokenizer.ts";
import { MAX_TEXT, readTokenizerFiles, type TokenizerFiles } from "./tokenizer-files.ts";

/** Ids `first` … `first + count − 1`, in the order of the numbers in their names. */
export interface IdRange {
  readonly first: number;
  readonly count: number;
}

/** Ids of tokens with a meaning of their own. */
export interface SpecialIds {
  readonly bos: number;
  readonly eos: number;
  readonly pad: number;
  readonly image: number;
  /** Of a single `"\n"`, which ends every prompt. */
  readonly newline: number;
}

/** How ids become text. */
export interface DecodeOptions {
  /** Leaves out `<bos>`, `<eos>`, `<pad>`, `<image>` and other special tokens; `<loc…>` and `<seg…>` stay. `false` when absent. */
  readonly skipSpecialTokens?: boolean;
}

/** Text to token ids and back. */
export interface Tokenizer {
  /** One more than the highest id. */
  readonly size: number;
  readonly special: SpecialIds;
  /** `<loc0000>` … `<loc1023>`; absent where the vocabulary has none. */
  readonly locations: IdRange | undefined;
  /** `<seg000>` … `<seg127>`; absent where the vocabulary has none. */
  readonly segments: IdRange | undefined;
  /** Ids of a text; special, loc and seg literals in it become their tokens, nothing is added around it. */
  encode(text: string): number[];
  /**
   * Text of ids. An id that no token has (the released embeddings have 63 more rows than tokens) has no text; throws
   * `processor/token` on what is no id.
   */
  decode(ids: Iterable<number | bigint>, options?: DecodeOptions): string;
  /** The piece of an id, as the vocabulary writes it (`▁the`, `<0x0A>`). */
  tokenOf(id: number): string | undefined;
  idOf(token: string): number | undefined;
  isSpecial(id: number): boolean;
}

/**
 * A tokenizer from the contents of `tokenizer.json` and `tokenizer_config.json`. As the reference processor does, it
 * adds `<image>`, matches `<loc>` and `<seg>` literals before BPE, and never adds `<bos>` or `<eos>` by itself.
 */
export function createTokenizer(files: TokenizerFiles): Tokenizer {
  const read = readTokenizerFiles(files);
  const pieces = createPieceTokenizer(read.tokenizerJson, read.tokenizerConfig);
  const { names, special, size } = read;
  const idOf = (token: string): number | undefined => pieces.token_to_id(token);
  const tokenOf = (id: number): string | undefined => pieces.id_to_token(id);
  const require = (token: string, role: string): number => {
    const id = idOf(token);
    if (id !== undefined) return id;
    throw new PaliGemmaError(
      "processor/tokenizer",
      `the vocabulary has no ${role} token ${JSON.stringify(token)}. Is this tokenizer.json of a PaliGemma or Gemma checkpoint?`,
    );
  };
  const encode = (text: string): number[] => {
    if (typeof text !== "string")
      throw new PaliGemmaError("processor/text", `a text is needed, this is ${text === null ? "null" : typeof text}`);
    if (text.length > MAX_TEXT)
      throw new PaliGemmaError(
        "processor/text",
        `the text has ${text.length} characters, more than the ${MAX_TEXT} allowed`,
      );
    // Python's strings hold no lone surrogates; U+FFFD is what their UTF-8 would be here.
    return pieces.encode(text.replaceAll(/\p{Surrogate}/gu, "\uFFFD"), { add_special_tokens: false }).ids;
  };
  return {
    size,
    special: {
      bos: require(names.bos, "beginning-of-text"),
      eos: require(names.eos, "end-of-text"),
      pad: require(names.pad, "padding"),
      image: require(names.image, "image"),
      newline: require("\n", "newline"),
    },
    locations: read.locations,
    segments: read.segments,
    encode,
    decode(ids, options = {}) {
      const kept: number[] = [];
      for (const value of ids) {
        const id = Number(value);
        if (!(Number.isInteger(id) && id >= 0)) {
          throw new PaliGemmaError(
            "processor/token",
            `${value} is no token id; ids are whole numbers from 0. Are labels with −100 meant to be decoded?`,
          );
        }
        const skipped = options.skipSpecialTokens === true && special.has(id);
        if (!skipped && tokenOf(id) !== undefined) kept.push(id);
      }
      const how = { skip_special_tokens: false, clean_up_tokenization_spaces: false };
      return kept.length === 0 ? "" : pieces.decode(kept, how);
    },
    tokenOf,
    idOf,
    isSpecial: (id) => special.has(id),
  };
}

/** Text of ids that arrive one after another; the pieces together equal `decode` of all ids. */
export interface TextStream {
  /** The text that is certain now: characters of several byte tokens are held back until they are complete. */
  push(ids: Iterable<number | bigint>): string;
  /** What was held back. */
  end(): string;
}

/** A stream of text for ids as they are generated. */
export function createTextStream(tokenizer: Tokenizer, options: DecodeOptions = {}): TextStream {
  let held: number[] = [];
  return {
    push(ids) {
      for (const id of ids)
        if (!(options.skipSpecialTokens === true && tokenizer.isSpecial(Number(id)))) held.push(Number(id));
      let certain = held.length;
      // A later byte can still make a run of bytes invalid, and then each of them reads U+FFFD.
      while (certain > 0 && byteOf(tokenizer.tokenOf(held[certain - 1]!)) !== undefined) certain--;
      const text = tokenizer.decode(held.slice(0, certain), options);
      held = held.slice(certain);
      return text;
    },
    end() {
      const text = tokenizer.decode(held, options);
      held = [];
      return text;
    },
  };
}
