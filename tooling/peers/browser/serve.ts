import { once } from "node:events";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".json": "application/json",
  ".wasm": "application/wasm",
};

/** Folders of this machine behind a server that counts what it sends. */
export interface Counting {
  readonly address: string;
  /** Bytes of bodies sent since it was last asked, by the first part of the path. */
  taken(): Readonly<Record<string, number>>;
  close(): void;
}

/** Serves folders under `/name/`, with ranges, all at `rate` bytes a second together where it is given. */
export async function serve(folders: Readonly<Record<string, string>>, rate = Infinity): Promise<Counting> {
  let sent: Record<string, number> = {};
  let free = 0;
  const server = createServer((request, response) => {
    void (async () => {
      const path = normalize(decodeURIComponent(new URL(request.url!, "http://localhost").pathname));
      const [, first = "", ...rest] = path.split("/");
      const file = join(folders[first] ?? "/nowhere", ...rest);
      const size = await stat(file).then(
        (found) => (found.isFile() ? found.size : undefined),
        () => undefined,
      );
      if (size === undefined) return void response.writeHead(404).end();
      const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
      const start = range ? Number(range[1]) : 0;
      const end = range?.[2] ? Math.min(Number(range[2]), size - 1) : size - 1;
      response.writeHead(range ? 206 : 200, {
        "content-type": TYPES[extname(file)] ?? "application/octet-stream",
        "content-length": end - start + 1,
        "accept-ranges": "bytes",
        "cache-control": "no-store",
        ...(range && { "content-range": `bytes ${start}-${end}/${size}` }),
      });
      if (request.method === "HEAD" || size === 0) return void response.end();
      const gone = once(response, "close");
      for await (const piece of createReadStream(file, { start, end, highWaterMark: 256 * 1024 })) {
        const { length } = piece as Buffer;
        sent[first] = (sent[first] ?? 0) + length;
        free = Math.max(free, performance.now()) + (length / rate) * 1000;
        if (free > performance.now()) await new Promise((resolve) => setTimeout(resolve, free - performance.now()));
        if (!response.write(piece)) await Promise.race([once(response, "drain"), gone]);
      }
      response.end();
    })().catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    taken() {
      const taken = sent;
      sent = {};
      return taken;
    },
    close: () => void server.close(),
  };
}
