import { realpath, stat } from "node:fs/promises";
import { bytesFor, PaliGemmaError, sizeOf, viewAs, type OnProgress } from "@paligemma/core";
import { encodeOnnx, formatShape, type GraphModel } from "@paligemma/graph";
import type { ByteSource, TensorRef } from "@paligemma/weights";
import type { Handed } from "./protocol.ts";
import { rootOf } from "./session-options.ts";

/** A graph as the runtime takes it. */
export interface Encoded {
  readonly bytes: Uint8Array;
  /** Folder that the locations of mapped files are relative to. */
  readonly root: string;
  /** Bytes of tensors that lie in no file. */
  readonly handed: readonly Handed[];
  /** The files that are mapped, as they are now. */
  readonly files: readonly WeightFile[];
}

/** What tells whether a file is still the same. */
export interface WeightFile {
  readonly path: string;
  readonly size: number;
  readonly modified: number;
}

type Reading = { readonly onProgress?: OnProgress | undefined; readonly signal?: AbortSignal | undefined };

/**
 * Most bytes of weights in memory beside weights in files. The runtime takes either kind from outside of the model, not
 * both: beside files, what is in memory becomes part of the model, which must stay under 2 GiB and is copied twice.
 */
const MAX_BESIDE_FILES = 2 ** 30;

/**
 * Small tensors in files become part of the model as well where there are many: the runtime takes a tenth of a millisecond to map one,
 * whatever its size, and a model has hundreds of norms, biases and scales.
 */
const [SMALL_BYTES, MANY] = [2 ** 17, 32];
/** Bytes that are read at once to get several of those, and between two of them at most. */
const [READ_BYTES, GAP_BYTES] = [2 ** 23, 2 ** 16];

/**
 * Encodes `model` so that large tensors in files are mapped by the runtime, never read here, and all others are read and handed
 * over with it. Throws `backend/changed` where a file is no longer what it was when it was opened.
 */
export async function encodeWithWeights(model: GraphModel, reading: Reading = {}): Promise<Encoded> {
  const refs = [...new Set(model.initializers.flatMap(({ ref }) => (ref ? [ref] : [])))];
  const files = new Map<ByteSource, WeightFile>();
  for (const source of new Set(refs.map((ref) => ref.source)))
    if (source.path !== undefined) files.set(source, await checkedFile(source, source.path));
  refs.forEach(checkRange);
  const root = rootOf([...files.values()].map(({ path }) => path));

  const loose = refs.filter((ref) => !files.has(ref.source));
  if (files.size === 0) {
    const keys = new Map(loose.map((ref, i) => [ref, `memory/${i}`]));
    const { bytes } = encodeOnnx(model, (ref) => ({
      location: keys.get(ref)!,
      offset: 0,
      length: ref.end - ref.start,
    }));
    const read = await readAll(loose, reading);
    return { bytes, root, handed: loose.map((ref) => ({ path: keys.get(ref)!, data: read.get(ref)! })), files: [] };
  }
  const size = sizeOfAll(loose);
  if (size > MAX_BESIDE_FILES) {
    throw new PaliGemmaError(
      "backend/compile",
      `${model.name} has ${size} bytes of weights in memory beside weights in files, the limit is ${MAX_BESIDE_FILES}; write them to a file first (writeSafetensors of @paligemma/weights/node)`,
    );
  }
  const small = refs.filter((ref) => files.has(ref.source) && ref.end - ref.start <= SMALL_BYTES);
  const taken = small.length < MANY ? [] : small;
  const read = new Map([...(await readAll(loose, reading)), ...(await readTogether(taken, reading.signal))]);
  const initializers = model.initializers.map((initializer) => {
    const bytes = initializer.ref && read.get(initializer.ref);
    return bytes
      ? {
          ...initializer,
          data: { dtype: initializer.dtype, shape: initializer.shape, data: viewAs(initializer.dtype, bytes) },
        }
      : initializer;
  });
  const { bytes } = encodeOnnx({ ...model, initializers }, (ref) => ({
    location: files.get(ref.source)!.path.slice(root.length),
    offset: ref.start,
    length: ref.end - ref.start,
  }));
  return { bytes, root, handed: [], files: [...files.values()] };
}

async function checkedFile(source: ByteSource, given: string): Promise<WeightFile> {
  const gone = (cause: unknown): never => {
    throw new PaliGemmaError(
      "backend/changed",
      `${given} was there when it was opened and cannot be reached now; open the checkpoint again`,
      { cause },
    );
  };
  const path = await realpath(given).catch(gone);
  const { size, mtimeMs: modified } = await stat(path).catch(gone);
  if (size !== source.size) {
    throw new PaliGemmaError(
      "backend/changed",
      `${path} had ${source.size} bytes when it was opened and has ${size} now; open the checkpoint again`,
    );
  }
  return { path, size, modified };
}

/** A mapping beyond the end of a file would end the process when it is read. */
function checkRange({ name, dtype, shape, source, start, end }: TensorRef): void {
  const needed = bytesFor(dtype, sizeOf(shape));
  if (start >= 0 && end <= source.size && end - start === needed) return;
  throw new PaliGemmaError(
    "backend/compile",
    `${name} is said to be bytes [${start}, ${end}) of ${source.name}, which has ${source.size}; its shape ${formatShape(shape)} of ${dtype} needs ${needed}`,
  );
}

function sizeOfAll(refs: readonly TensorRef[]): number {
  return refs.reduce((sum, ref) => sum + ref.end - ref.start, 0);
}

/** The bytes of each; neighbours in a file are read together. */
async function readTogether(
  refs: readonly TensorRef[],
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<TensorRef, Uint8Array>> {
  const read = new Map<TensorRef, Uint8Array>();
  for (const source of new Set(refs.map((ref) => ref.source))) {
    const own = refs.filter((ref) => ref.source === source).toSorted((a, b) => a.start - b.start);
    for (let first = 0, next = 0; first < own.length; first = next) {
      const { start } = own[first]!;
      let { end } = own[first]!;
      for (next = first + 1; next < own.length; next++) {
        const ref = own[next]!;
        if (ref.start - end > GAP_BYTES || ref.end - start > READ_BYTES) break;
        end = Math.max(end, ref.end);
      }
      const bytes = await source.read(start, end, signal);
      for (const ref of own.slice(first, next)) read.set(ref, bytes.slice(ref.start - start, ref.end - start));
    }
  }
  return read;
}

/** The bytes of each, in order, one read at a time. */
async function readAll(
  refs: readonly TensorRef[],
  { onProgress, signal }: Reading,
): Promise<ReadonlyMap<TensorRef, Uint8Array>> {
  const read = new Map<TensorRef, Uint8Array>();
  const total = sizeOfAll(refs);
  let done = 0;
  for (const ref of refs) {
    signal?.throwIfAborted();
    read.set(ref, await ref.source.read(ref.start, ref.end, signal));
    done += ref.end - ref.start;
    onProgress?.({ task: "read weights", done, total, unit: "bytes" });
  }
  return read;
}
