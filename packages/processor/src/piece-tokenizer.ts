import * as library from "@huggingface/tokenizers";

interface Decoder {
  readonly config: { readonly type: string };
  decoders?: { decode_chain(tokens: string[]): string[]; readonly config?: { readonly type: string } }[];
}

/** The part of `Tokenizer` of `@huggingface/tokenizers` used here: its own declarations do not resolve under NodeNext. */
export interface PieceTokenizer {
  readonly decoder: Decoder | null;
  encode(text: string, options: { readonly add_special_tokens: boolean }): { readonly ids: number[] };
  decode(
    ids: number[],
    options: { readonly skip_special_tokens: boolean; readonly clean_up_tokenization_spaces: boolean },
  ): string;
  token_to_id(token: string): number | undefined;
  id_to_token(id: number): string | undefined;
}

const { Tokenizer } = library as unknown as {
  readonly Tokenizer: new (json: object, config: object) => PieceTokenizer;
};

/** The library's tokenizer, with runs of byte tokens decoded as the Python library decodes them. */
export function createPieceTokenizer(tokenizerJson: object, tokenizerConfig: object): PieceTokenizer {
  const tokenizer = new Tokenizer(tokenizerJson, tokenizerConfig);
  const chain = tokenizer.decoder?.decoders;
  chain?.forEach((step, index) => {
    if (step.config?.type === "ByteFallback") chain[index] = { decode_chain: decodeBytes };
  });
  return tokenizer;
}

const BYTE_TOKEN = /^<0x([0-9A-Fa-f]{2})>$/;

/** The byte a token such as `<0xE2>` stands for. */
export function byteOf(token: string | undefined): number | undefined {
  const match = token === undefined ? null : BYTE_TOKEN.exec(token);
  return match ? Number.parseInt(match[1]!, 16) : undefined;
}

// A run of byte tokens is its UTF-8 text, or one U+FFFD per byte where it is not valid UTF-8. The library's own decoder
// drops byte order marks and merges invalid bytes.
function decodeBytes(tokens: readonly string[]): string[] {
  const out: string[] = [];
  let run: number[] = [];
  const flush = (): void => {
    if (run.length > 0) out.push(decodeUtf8(Uint8Array.from(run)) ?? "\uFFFD".repeat(run.length));
    run = [];
  };
  for (const token of tokens) {
    const byte = byteOf(token);
    if (byte !== undefined) run.push(byte);
    else {
      flush();
      out.push(token);
    }
  }
  flush();
  return out;
}

function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
