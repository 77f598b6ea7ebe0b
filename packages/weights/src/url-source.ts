import { PaliGemmaError } from "@paligemma/core";
import type { ByteSource } from "./byte-source.ts";
import { checkRange } from "./sources.ts";

/** How to reach a URL. */
export interface UrlSourceOptions {
  /** Sent with every request; never shown in a message. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Stands in for the platform's `fetch`. */
  readonly fetch?: typeof fetch;
  /** Ends the opening. */
  readonly signal?: AbortSignal;
}

/**
 * A file behind a URL, read by HTTP ranges. Opening asks for its first byte to learn its size, because servers that compress
 * give no size otherwise. Throws `weights/http` where the server refuses or knows no ranges; reading throws `weights/changed`
 * where the file is another one than at opening.
 */
export async function urlSource(url: string | URL, options: UrlSourceOptions = {}): Promise<ByteSource> {
  const { headers = {}, fetch: request = fetch, signal } = options;
  const name = withoutQuery(url);
  const ask = async (start: number, end: number, cancel?: AbortSignal): Promise<Response> =>
    request(url, {
      headers: { ...headers, range: `bytes=${start}-${end - 1}` },
      ...(cancel ? { signal: cancel } : {}),
    });

  const probe = await ask(0, 1, signal);
  const size = await sizeFrom(probe, name);
  const tag = probe.headers.get("etag");
  const source: ByteSource = {
    name,
    size,
    read: async (start, end, cancel) => {
      checkRange(source, start, end);
      cancel?.throwIfAborted();
      if (start === end) return new Uint8Array(0);
      const response = await ask(start, end, cancel);
      if (response.status !== 206) throw await refused(response, name);
      if ((await sizeFrom(response, name, false)) !== size || response.headers.get("etag") !== tag) {
        await response.body?.cancel();
        throw new PaliGemmaError("weights/changed", `${name} is another file than when it was opened; open it again`);
      }
      const bytes = new Uint8Array(await response.arrayBuffer());
      if (bytes.byteLength === end - start) return bytes;
      throw new PaliGemmaError(
        "weights/http",
        `${name} answered ${bytes.byteLength} bytes, ${end - start} were asked for; try again`,
      );
    },
  };
  return source;
}

/** The total of `Content-Range: bytes 0-0/1234`. */
async function sizeFrom(response: Response, name: string, drain = true): Promise<number> {
  const total = /^bytes \d+-\d+\/(\d+)$/.exec(response.headers.get("content-range") ?? "")?.[1];
  // An empty file has no first byte: 416 with its size, `bytes */0`.
  const empty = response.status === 416 && response.headers.get("content-range") === "bytes */0";
  if (empty || (response.status === 206 && total !== undefined)) {
    if (drain) await response.arrayBuffer();
    return empty ? 0 : Number(total);
  }
  throw await refused(response, name);
}

async function refused(response: Response, name: string): Promise<PaliGemmaError> {
  await response.body?.cancel();
  const why =
    response.status === 200
      ? "knows no ranges (it answered 200 to a Range request); download the file and open it from disk"
      : `answered ${response.status} ${response.statusText}`;
  return new PaliGemmaError("weights/http", `the server of ${name} ${why}`);
}

/** Signed URLs carry secrets behind the "?". */
function withoutQuery(url: string | URL): string {
  const { origin, pathname } = new URL(url);
  return `${origin}${pathname}`;
}
