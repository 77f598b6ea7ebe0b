import type { HubClient } from "./client.ts";
import type { RepositoryFile } from "./repository.ts";
import { retrying, Transient } from "./retry.ts";

/** Where the pieces of a file arrive, in any order. Survives a kill. */
export interface Sink {
  /** Bytes of every piece but the last. */
  readonly pieceBytes: number;
  /** True for a piece that arrived before, perhaps in a process that is gone. */
  has(piece: number): boolean;
  write(bytes: Uint8Array, at: number): Promise<void>;
  /** Remembers that a piece is there. */
  keep(piece: number): Promise<void>;
}

/** Lets at most `connections` pieces of work run at once; shared by all files of a download. */
export type Gate = <T>(work: () => Promise<T>) => Promise<T>;

/** A gate for so many connections. */
export function createGate(connections: number): Gate {
  let free = connections;
  const waiting: (() => void)[] = [];
  return async (work) => {
    if (free === 0) await new Promise<void>((resolve) => waiting.push(resolve));
    else free--;
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else free++;
    }
  };
}

/** How to fetch pieces. */
export interface PiecesOptions {
  readonly commit: string;
  readonly gate: Gate;
  readonly signal?: AbortSignal;
  /** Called with bytes that have arrived, from the beginning of the file's download; counts complete pieces of earlier runs. */
  readonly onBytes?: (done: number) => void;
}

/** Bytes of a file that the sink does not have. */
export function missingBytes(file: RepositoryFile, sink: Sink): number {
  let missing = 0;
  for (let piece = 0; piece * sink.pieceBytes < file.size; piece++) {
    const [start, end] = extent(file, sink, piece);
    if (!sink.has(piece)) missing += end - start;
  }
  return missing;
}

function extent({ size }: RepositoryFile, { pieceBytes }: Sink, piece: number): readonly [start: number, end: number] {
  return [piece * pieceBytes, Math.min(size, (piece + 1) * pieceBytes)];
}

/**
 * Runs all of this work at once. Where one fails the others are aborted, and have stopped before the failure is thrown: nobody
 * writes any more when the caller goes on.
 */
export async function together(
  work: readonly ((signal: AbortSignal) => Promise<void>)[],
  signal?: AbortSignal,
): Promise<void> {
  const failed = new AbortController();
  const either = signal ? AbortSignal.any([signal, failed.signal]) : failed.signal;
  const running = work.map((act) => act(either));
  try {
    await Promise.all(running);
  } catch (error) {
    failed.abort(error);
    await Promise.allSettled(running);
    throw error;
  }
}

/** Fetches all pieces of a file that the sink does not have. A broken connection goes on where it broke. */
export async function fetchPieces(
  client: HubClient,
  file: RepositoryFile,
  sink: Sink,
  options: PiecesOptions,
): Promise<void> {
  const { commit, gate, onBytes } = options;
  const count = Math.ceil(file.size / sink.pieceBytes);
  let done = file.size - missingBytes(file, sink);
  const work: ((signal: AbortSignal) => Promise<void>)[] = [];
  for (let piece = 0; piece < count; piece++) {
    if (sink.has(piece)) continue;
    const [start, end] = extent(file, sink, piece);
    work.push((signal) =>
      gate(async () => {
        let at = start;
        await retrying(
          `downloading ${file.path} of ${client.repository.id}`,
          client.retry,
          signal,
          async (progressed) => {
            for await (const bytes of arriving(
              await client.range(commit, file, at, end, signal),
              client.retry.silenceMs,
            )) {
              if (at + bytes.byteLength > end)
                throw new Transient(`the server sent more than bytes ${start} to ${end}`);
              await sink.write(bytes, at);
              at += bytes.byteLength;
              done += bytes.byteLength;
              onBytes?.(done);
              progressed();
            }
            if (at < end) throw new Transient(`the connection ended at byte ${at} of ${end}`);
          },
        );
        await sink.keep(piece);
      }),
    );
  }
  onBytes?.(done);
  await together(work, options.signal);
}

/** The chunks of a body; one that stays silent counts as broken. */
async function* arriving(
  body: ReadableStream<Uint8Array>,
  silenceMs: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  const reader = body.getReader();
  try {
    for (;;) {
      let timer: ReturnType<typeof setTimeout> | undefined;
      const silence = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new Transient(`no byte for ${silenceMs} ms`)), silenceMs);
      });
      const { done, value } = await Promise.race([reader.read(), silence]).finally(() => clearTimeout(timer));
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
