import { PaliGemmaError } from "@paligemma/core";
import { readCodecFile } from "./codec-files.ts";
import { OFFICIAL_SHA256, type CodecTensors } from "./codec-layout.ts";
import { createMaskCodec, type MaskCodec, type MaskCodecOptions } from "./codec.ts";

/** Where a codec's file comes from: its bytes, a file of a form, a stream, or an address. */
export type CodecSource = Uint8Array | ArrayBuffer | Blob | ReadableStream<Uint8Array> | Response | URL | string;

/** How to load a codec. */
export interface LoadMaskCodecOptions extends MaskCodecOptions {
  /** Called where the file is not the official one but has its layout: worth showing, no reason to stop. */
  readonly onWarning?: (warning: string) => void;
  /** SHA-256 to expect instead of the official file's, in hexadecimal; `null` expects none. */
  readonly sha256?: string | null;
  readonly signal?: AbortSignal;
}

/** A codec and where it came from. */
export interface LoadedMaskCodec extends MaskCodec {
  /** The arrays, for a backend that runs the codec as a graph or to write a copy. */
  readonly tensors: CodecTensors;
  /** SHA-256 of the file in hexadecimal; absent where the platform has no WebCrypto (insecure pages). */
  readonly sha256?: string;
  /** What was odd about the file; the same texts go to `onWarning`. */
  readonly warnings: readonly string[];
}

// The official file has 8.5 MB, a float64 copy 17 MB; this blocks endless streams.
const MAX_FILE = 64 * 1024 * 1024;

/**
 * The mask codec in a `vae-oid.npz`, or a safetensors copy of it. Names and shapes must be right (`masks/codec`); another
 * hash is only a warning. Strings are URLs: in Node, read a local file yourself or use `@paligemma/masks/node`.
 * Throws `masks/source` where the file cannot be had.
 */
export async function loadMaskCodec(source: CodecSource, options: LoadMaskCodecOptions = {}): Promise<LoadedMaskCodec> {
  const bytes = await bytesOf(source, options.signal);
  const tensors = await readCodecFile(bytes);
  const codec = createMaskCodec(tensors, options);
  const sha256 = await hash(bytes);
  const expected = options.sha256 === undefined ? OFFICIAL_SHA256 : options.sha256;
  const warnings: string[] = [];
  if (expected !== null && sha256 !== undefined && sha256 !== expected.toLowerCase()) {
    warnings.push(
      `the codec's file has SHA-256 ${sha256}, expected ${expected}: right for a codec of your own or a copy, wrong for the official vae-oid.npz`,
    );
  }
  for (const warning of warnings) options.onWarning?.(warning);
  return { ...codec, tensors, ...(sha256 !== undefined && { sha256 }), warnings };
}

async function bytesOf(source: CodecSource, signal: AbortSignal | undefined): Promise<Uint8Array> {
  if (source instanceof Uint8Array) return within(source);
  if (source instanceof ArrayBuffer) return within(new Uint8Array(source));
  if (source instanceof Blob) return collect(source.stream(), signal);
  if (source instanceof ReadableStream) return collect(source, signal);
  if (source instanceof Response) return collectResponse(source, signal);
  let response: Response;
  try {
    response = await fetch(source, signal ? { signal } : {});
  } catch (cause) {
    signal?.throwIfAborted();
    throw new PaliGemmaError(
      "masks/source",
      `${String(source)} cannot be fetched. Is it a URL? Local files: read them, or use @paligemma/masks/node`,
      { cause },
    );
  }
  return collectResponse(response, signal);
}

function collectResponse(response: Response, signal: AbortSignal | undefined): Promise<Uint8Array> {
  if (response.ok && response.body !== null) return collect(response.body, signal);
  throw new PaliGemmaError(
    "masks/source",
    `${response.url || "the response"} answered ${response.status} ${response.statusText}, expected the codec's file`,
  );
}

async function collect(stream: ReadableStream<Uint8Array>, signal: AbortSignal | undefined): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let size = 0;
  const reader = stream.getReader();
  for (;;) {
    signal?.throwIfAborted();
    const { done, value } = await reader.read();
    if (done) break;
    size += value.length;
    if (size > MAX_FILE) {
      await reader.cancel();
      throw tooLarge(`more than ${MAX_FILE}`);
    }
    parts.push(value);
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function within(bytes: Uint8Array): Uint8Array {
  if (bytes.length > MAX_FILE) throw tooLarge(String(bytes.length));
  return bytes;
}

function tooLarge(size: string): PaliGemmaError {
  return new PaliGemmaError(
    "masks/source",
    `the file has ${size} bytes; a codec has about 8.5 million. Is this another file?`,
  );
}

async function hash(bytes: Uint8Array): Promise<string | undefined> {
  // Pages without a secure context have no WebCrypto.
  if (globalThis.crypto?.subtle === undefined) return undefined;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
