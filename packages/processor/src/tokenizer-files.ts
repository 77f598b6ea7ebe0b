import { PaliGemmaError } from "@paligemma/core";
import type { IdRange } from "./tokenizer.ts";

/** The two files of a tokenizer, parsed. */
export interface TokenizerFiles {
  /** `tokenizer.json`. */
  readonly tokenizerJson: unknown;
  /** `tokenizer_config.json`; the names of the released models are taken where it is absent. */
  readonly tokenizerConfig?: unknown;
}

/** The most characters of one text: far above any prompt or answer, below what would stall a caller's thread. */
export const MAX_TEXT = 1_000_000;

/** The most pieces of a vocabulary: eight times the released 257 216, and a bound for hostile ids. */
export const MAX_VOCABULARY = 2_097_152;

interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special?: boolean;
}

interface TokenizerJson {
  readonly added_tokens?: readonly AddedToken[];
  readonly model: { readonly vocab: Readonly<Record<string, number>> };
}

interface ReadTokenizer {
  readonly tokenizerJson: object;
  readonly tokenizerConfig: object;
  readonly names: { readonly bos: string; readonly eos: string; readonly pad: string; readonly image: string };
  readonly special: ReadonlySet<number>;
  readonly locations: IdRange | undefined;
  readonly segments: IdRange | undefined;
  readonly size: number;
}

/** The files checked, with `<image>` and the loc and seg literals among the added tokens. Throws `processor/tokenizer-missing` or `processor/tokenizer`. */
export function readTokenizerFiles(files: TokenizerFiles): ReadTokenizer {
  const json = checkTokenizerJson(files?.tokenizerJson);
  const config = isRecord(files.tokenizerConfig) ? files.tokenizerConfig : {};
  const names = {
    bos: tokenName(config["bos_token"], "<bos>"),
    eos: tokenName(config["eos_token"], "<eos>"),
    pad: tokenName(config["pad_token"], "<pad>"),
    image: tokenName(config["image_token"], "<image>"),
  };
  const { vocab } = json.model;
  const added = [...(json.added_tokens ?? [])];
  const known = new Map(added.map((token) => [token.content, token.id]));
  let size = added.reduce((most, { id }) => Math.max(most, id + 1), 0);
  for (const token in vocab) size = Math.max(size, vocab[token]! + 1);
  if (size > MAX_VOCABULARY) {
    throw new PaliGemmaError(
      "processor/tokenizer",
      `the vocabulary goes up to the id ${size - 1}; at most ${MAX_VOCABULARY} ids are allowed`,
    );
  }
  const add = (content: string, id: number, special: boolean): void => {
    if (!known.has(content))
      added.push({
        id,
        content,
        special,
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: !special,
      } as AddedToken);
    known.set(content, id);
  };
  const ranges = [numbered("loc", 4, 1024), numbered("seg", 3, 128)].map((literals) => {
    const ids = literals.map((literal) => known.get(literal) ?? vocab[literal]);
    if (ids.every((id) => id === undefined)) return undefined;
    const first = ids[0];
    ids.forEach((id, index) => {
      if (id === undefined || first === undefined || id !== first + index) {
        throw new PaliGemmaError(
          "processor/tokenizer",
          `${literals[index]} has the id ${id}, its neighbours ask for ${first === undefined ? "one" : first + index}; the location and segmentation tokens must be one run of ids in order`,
        );
      }
      add(literals[index]!, id, false);
    });
    return { first: first!, count: literals.length };
  });
  if (!known.has(names.image)) {
    const id = vocab[names.image] ?? size++;
    add(names.image, id, true);
  }
  const specialNames = new Set([...Object.values(names), tokenName(config["unk_token"], "<unk>")]);
  const special = new Set(
    added.filter((token) => token.special === true || specialNames.has(token.content)).map(({ id }) => id),
  );
  return {
    tokenizerJson: { ...json, added_tokens: added, post_processor: null },
    tokenizerConfig: { ...config, clean_up_tokenization_spaces: false },
    names,
    special,
    locations: ranges[0],
    segments: ranges[1],
    size,
  };
}

function checkTokenizerJson(json: unknown): TokenizerJson {
  if (json === undefined || json === null) {
    throw new PaliGemmaError(
      "processor/tokenizer-missing",
      "there is no tokenizer.json. Put the file of the checkpoint beside its weights (with tokenizer_config.json), or pass { tokenizer: { tokenizerJson } }.",
    );
  }
  const model = isRecord(json) ? json["model"] : undefined;
  if (!isRecord(model) || !isRecord(model["vocab"])) {
    throw new PaliGemmaError(
      "processor/tokenizer",
      `tokenizer.json holds no model.vocab of pieces and ids${typeof json === "string" ? "; parse the text first" : ""}. Is it the file of a PaliGemma checkpoint?`,
    );
  }
  if (model["type"] !== undefined && model["type"] !== "BPE") {
    throw new PaliGemmaError(
      "processor/tokenizer",
      `the tokenizer model is ${JSON.stringify(model["type"])}, PaliGemma's is "BPE". Is it the file of a PaliGemma checkpoint?`,
    );
  }
  for (const [token, id] of Object.entries(model["vocab"])) {
    if (!Number.isInteger(id) || (id as number) < 0)
      throw new PaliGemmaError(
        "processor/tokenizer",
        `the piece ${JSON.stringify(token)} has the id ${String(id)}; ids are whole numbers from 0`,
      );
  }
  const whole = { normalizer: null, pre_tokenizer: null, decoder: null, ...json };
  return whole as unknown as TokenizerJson;
}

function numbered(name: string, digits: number, count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => `<${name}${String(index).padStart(digits, "0")}>`);
}

function tokenName(value: unknown, absent: string): string {
  if (typeof value === "string") return value;
  if (isRecord(value) && typeof value["content"] === "string") return value["content"];
  return absent;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
