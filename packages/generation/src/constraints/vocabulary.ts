import { PaliGemmaError } from "../errors.ts";
import { createTrie, type Trie } from "./trie.ts";

/** How to read a list of tokens. */
export interface VocabularyOptions {
  /** Tokens that end an answer. */
  readonly eosTokenId: number | readonly number[];
  /**
   * Tokens that stand for themselves by name: a constraint asks for them by id, and plain text never contains them. Default:
   * the location and segmentation tokens `<loc0000>` and `<seg000>`.
   */
  readonly atoms?: (text: string) => boolean;
  /**
   * The ids of a text as the model was trained to read it, without anything added. With it, fixed texts (labels, answers,
   * separators) are asked for in this split only, so that they come in forced runs; without it every split is allowed.
   */
  readonly encode?: (text: string) => readonly number[];
}

/** The texts of all tokens, arranged for constraints. Made once per tokenizer, and shared. */
export interface Vocabulary {
  readonly size: number;
  readonly eos: readonly number[];
  readonly encode?: (text: string) => readonly number[];
  /** The id of an atom by its text, such as "<loc0000>". */
  atom(text: string): number | undefined;
  /** The bytes that a token adds to the text; empty for atoms and for tokens that never appear in an answer. */
  bytesOf(token: number): Uint8Array;
  /** True when each byte has a token of its own, so that every text can be spelled from anywhere. */
  readonly complete: boolean;
  /** True for each byte that has a token of its own. */
  readonly single: readonly boolean[];
  /** The tokens by their bytes. */
  readonly trie: Trie;
}

const DEFAULT_ATOM = /^<(loc\d{4}|seg\d{3})>$/;

/**
 * A vocabulary from the text that each token adds to an answer, by id: a string, the bytes of a token that is less than a
 * character, or null for a token that never appears in an answer (padding, beginning of sequence, image).
 */
export function createVocabulary(
  tokens: readonly (string | Uint8Array | null)[],
  options: VocabularyOptions,
): Vocabulary {
  const eos = [options.eosTokenId].flat();
  const outside = eos.find((id) => !Number.isInteger(id) || id < 0 || id >= tokens.length);
  if (outside !== undefined || eos.length === 0) {
    throw new PaliGemmaError(
      "generation/vocabulary",
      `eosTokenId is ${JSON.stringify(options.eosTokenId)}, but there are tokens 0 to ${tokens.length - 1}`,
    );
  }
  const isAtom = options.atoms ?? ((text): boolean => DEFAULT_ATOM.test(text));
  const encoder = new TextEncoder();
  const atoms = new Map<string, number>();
  const none = new Uint8Array(0);
  const pieces = tokens.map((token, id) => {
    if (token === null || eos.includes(id)) return none;
    if (typeof token !== "string") return token;
    if (!isAtom(token)) return encoder.encode(token);
    atoms.set(token, id);
    return none;
  });

  const offsets = new Int32Array(pieces.length + 1);
  pieces.forEach((piece, id) => (offsets[id + 1] = offsets[id]! + piece.length));
  const bytes = new Uint8Array(offsets[pieces.length]!);
  pieces.forEach((piece, id) => bytes.set(piece, offsets[id]));

  const single = Array.from({ length: 256 }, () => false);
  for (const piece of pieces) if (piece.length === 1) single[piece[0]!] = true;
  return {
    size: tokens.length,
    eos,
    ...(options.encode === undefined ? {} : { encode: options.encode }),
    atom: (text) => atoms.get(text),
    bytesOf: (token) =>
      token < 0 || token >= tokens.length ? none : bytes.subarray(offsets[token], offsets[token + 1]),
    // Bytes from 0xF8 on, and 0xC0 and 0xC1, are in no text.
    complete: single.every((has, byte) => has || byte >= 0xf8 || byte === 0xc0 || byte === 0xc1),
    single,
    trie: createTrie(pieces),
  };
}

/**
 * A vocabulary from the pieces of a SentencePiece tokenizer as Gemma's: "▁" is a space, "<0x41>" a byte, and the tokens of
 * `control` never appear in an answer.
 */
export function sentencePieceVocabulary(
  pieces: readonly (string | null)[],
  options: VocabularyOptions & { readonly control: readonly number[] },
): Vocabulary {
  const control = new Set(options.control);
  const tokens = pieces.map((piece, id) => {
    if (piece === null || control.has(id)) return null;
    const byte = /^<0x([0-9A-F]{2})>$/.exec(piece);
    return byte === null ? piece.replaceAll("▁", " ") : Uint8Array.of(Number.parseInt(byte[1]!, 16));
  });
  return createVocabulary(tokens, options);
}
