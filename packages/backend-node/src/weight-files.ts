import { realpath, stat } from "node:fs/promises";
import { PaliGemmaError, type OnProgress } from "@paligemma/core";
import { encodeOnnx, type GraphModel } from "@paligemma/graph";
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
}

/**
 * Encodes `model` so that tensors in files are mapped by the runtime, never read here, and all others are read and handed
 * over with it. Throws `backend/changed` where a file is no longer what it was when it was opened.
 */
export async function encodeWithWeights(model: GraphModel, options: { readonly onProgress?: OnProgress | undefined; readonly signal?: AbortSignal | undefined } = {}): Promise<Encoded> {
  const refs = model.initializers.flatMap(({ ref }) => (ref ? [ref] : []));
  const sources = new Set(refs.map((ref) => ref.source));
  const files = new Map<ByteSource, string>();
  for (const source of sources) if (source.path !== undefined) files.set(source, await checkedPath(source));
  const root = rootOf([...files.values()]);

  const keys = new Map<TensorRef, string>();
  const encoded = encodeOnnx(model, (ref) => {
    const path = files.get(ref.source);
    if (path !== undefined) return { location: path.slice(root.length), offset: ref.start, length: ref.end - ref.start };
    const key = keys.get(ref) ?? `memory/${keys.size}`;
    keys.set(ref, key);
    return { location: key, offset: 0, length: ref.end - ref.start };
  });
  return { bytes: encoded.bytes, root, handed: await readAll(keys, options) };
}

async function checkedPath(source: ByteSource): Promise<string> {
  const path = await realpath(source.path!);
  const { size } = await stat(path);
  if (size !== source.size) {
    throw new PaliGemmaError("backend/changed", `${path} had ${source.size} bytes when it was opened and has ${size} now; open the checkpoint again`);
  }
  return path;
}

async function readAll(keys: ReadonlyMap<TensorRef, string>, { onProgress, signal }: { readonly onProgress?: OnProgress | undefined; readonly signal?: AbortSignal | undefined }): Promise<Handed[]> {
  const handed: Handed[] = [];
  const total = [...keys.keys()].reduce((sum, ref) => sum + ref.end - ref.start, 0);
  let read = 0;
  for (const [ref, path] of keys) {
    signal?.throwIfAborted();
    const data = await ref.source.read(ref.start, ref.end, signal);
    read += data.byteLength;
    onProgress?.({ task: "read weights", done: read, total, unit: "bytes" });
    handed.push({ path, data });
  }
  return handed;
}
