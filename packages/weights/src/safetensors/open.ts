import { PaliGemmaError } from "@paligemma/core";
import type { ByteSource } from "../byte-source.ts";
import type { Checkpoint, TensorRef } from "../checkpoint.ts";
import { LIMITS } from "../limits.ts";
import { checkpointOf } from "../tensors.ts";
import { headerLength, parseHeader } from "./header.ts";

/**
 * Opens one safetensors file, or several whose tensors together are one checkpoint. Reads the headers and nothing else.
 * Throws `weights/header`, `weights/limit`, `weights/dtype`, `weights/truncated` for a bad file, `weights/duplicate` where two
 * files have one tensor.
 */
export async function openSafetensors(
  sources: ByteSource | readonly ByteSource[],
  options: { readonly signal?: AbortSignal } = {},
): Promise<Checkpoint> {
  const files: readonly ByteSource[] = [sources].flat();
  if (files.length > LIMITS.shards)
    throw new PaliGemmaError(
      "weights/limit",
      `${files.length} files, at most ${LIMITS.shards} are opened as one checkpoint`,
    );
  const refs: TensorRef[] = [];
  const metadata: Record<string, string> = {};
  for (const source of files) {
    if (source.size < 8)
      throw new PaliGemmaError(
        "weights/truncated",
        `${source.name} has ${source.size} bytes, a safetensors file begins with 8; download it again`,
      );
    const length = headerLength(await source.read(0, 8, options.signal), source.size, source.name);
    const header = parseHeader(await source.read(8, 8 + length, options.signal), source.size, source.name);
    for (const entry of header.entries) refs.push({ ...entry, source });
    Object.assign(metadata, header.metadata);
  }
  return checkpointOf(refs, metadata);
}
