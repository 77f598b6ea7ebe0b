import {
  type Constraint,
  createVocabulary,
  sentencePieceVocabulary,
  type Vocabulary,
  type VocabularyOptions,
} from "@paligemma/generation/constraints";

export const EOS = 1;

const CONTROL = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"];
const BYTES = Array.from({ length: 256 }, (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, "0")}>`);
const LETTERS = Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i));
const WORDS = [
  "▁",
  "▁▁",
  "\n",
  "ca",
  "at",
  "cat",
  "▁cat",
  "▁c",
  "▁dog",
  "og",
  "do",
  "▁;",
  ";▁",
  "▁;▁",
  "s▁;",
  "yes",
  "no",
  "ye",
  "10",
  "12",
  "123",
  ".5",
  "é",
  "▁é",
  "日",
  "日本",
  "🐈",
  '":',
  '",',
  '{"',
  '"}',
  '":▁"',
  '",▁"',
  "]}",
  "true",
  "false",
  "null",
  "name",
  '"name',
  'name"',
  "<s_",
  "</s_",
  "<sep/>",
  "<s_name>",
  "</s_name>",
  "▁red",
  "red",
  "▁red▁circle",
  "circle",
  "▁circle",
  "2026",
  "-0",
];
const LOCATIONS = Array.from({ length: 1024 }, (_, i) => `<loc${String(i).padStart(4, "0")}>`);
const SEGMENTS = Array.from({ length: 128 }, (_, i) => `<seg${String(i).padStart(3, "0")}>`);

/** Pieces as in Gemma's tokenizer, few of them: control tokens, all bytes, letters, words, locations, segmentation, image. */
export const PIECES: readonly string[] = [
  ...CONTROL,
  ...BYTES,
  ...LETTERS,
  ...WORDS,
  ...LOCATIONS,
  ...SEGMENTS,
  "<image>",
];
export const LOC0 = PIECES.indexOf("<loc0000>");
export const SEG0 = PIECES.indexOf("<seg000>");

/** The pieces that are text. */
export const TEXT_PIECES: readonly string[] = PIECES.slice(0, LOC0);

/** The vocabulary of `PIECES`, or of some of them. */
export function vocabulary(options: Partial<VocabularyOptions> = {}, pieces: readonly string[] = PIECES): Vocabulary {
  const control = [0, 1, 2, 3, 4, PIECES.length - 1];
  return sentencePieceVocabulary(pieces, { eosTokenId: EOS, control, ...options });
}

/** The longest piece first, from the left: not BPE, but a split of its own, like a tokenizer's. */
export function encode(text: string): number[] {
  const ids: number[] = [];
  const raw = text.replaceAll(" ", "▁");
  for (let at = 0; at < raw.length;) {
    const piece = PIECES.filter((one) => raw.startsWith(one, at)).toSorted((a, b) => b.length - a.length)[0];
    if (piece === undefined) throw new Error(`no piece for ${raw.slice(at)}`);
    ids.push(PIECES.indexOf(piece));
    at += piece.length;
  }
  return ids;
}

/** Text of ids: control tokens are left out, bytes joined; throws on bytes that are no text. */
export function decode(ids: readonly number[]): string {
  const encoder = new TextEncoder();
  const bytes = ids.flatMap((id) => {
    const piece = PIECES[id]!;
    if (CONTROL.includes(piece)) return [];
    const byte = /^<0x(..)>$/.exec(piece);
    return byte === null ? [...encoder.encode(piece.replaceAll("▁", " "))] : [Number.parseInt(byte[1]!, 16)];
  });
  return new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(bytes));
}

/** Five tokens of several letters and no bytes: "ab", "bc", "c", "a", and the end. */
export function gappy(): Vocabulary {
  return createVocabulary(["ab", null, "bc", "c", "a"], { eosTokenId: EOS });
}

/** The state after some tokens; undefined (whatever its type says) where they lead nowhere. */
export function after<State>(constraint: Constraint<State>, ids: readonly number[]): State {
  return ids.reduce<State | undefined>(
    (state, id) => (state === undefined ? undefined : constraint.next(state, id)),
    constraint.start,
  ) as State;
}
/** Whether a text, split letter by letter, is an answer. */
export function accepts(constraint: Constraint, text: string): boolean {
  const bytes = [...new TextEncoder().encode(text)].map((byte) => 5 + byte);
  const state = after(constraint, bytes);
  return state !== undefined && constraint.accepting(state);
}
