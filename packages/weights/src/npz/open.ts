import { PaliGemmaError, viewAs } from "@paligemma/core";
import type { ByteSource } from "../byte-source.ts";
import type { Checkpoint, TensorRef } from "../checkpoint.ts";
import { LIMITS } from "../limits.ts";
import { checkpointOf, computedTensor } from "../tensors.ts";
import { NPY_HEADER_BYTES, parseNpyHeader } from "./npy.ts";
import { readZip, type ZipMember } from "./zip.ts";

/**
 * Opens numpy's `.npz` under the names it has. Reads the directory and the arrays' headers; an array is a byte range of the file
 * where it is stored (`numpy.savez`), and inflated when it is read where it is compressed (`numpy.savez_compressed`). Throws
 * `weights/zip`, `weights/npy`, `weights/dtype`, `weights/limit`.
 */
export async function openNpz(
  source: ByteSource,
  options: { readonly signal?: AbortSignal } = {},
): Promise<Checkpoint> {
  const members = (await readZip(source, options.signal)).filter(({ name }) => name.endsWith(".npy"));
  const refs: TensorRef[] = [];
  for (const member of members)
    refs.push(await (member.stored ? storedArray : packedArray)(source, member, options.signal));
  return checkpointOf(refs);
}

async function storedArray(
  source: ByteSource,
  { name, start, size }: ZipMember,
  signal?: AbortSignal,
): Promise<TensorRef> {
  const head = await source.read(start, start + Math.min(size, NPY_HEADER_BYTES), signal);
  const header = parseNpyHeader(head, size, `${name} of ${source.name}`);
  return {
    name: tensorName(name),
    dtype: header.dtype,
    shape: header.shape,
    source,
    start: start + header.start,
    end: start + size,
  };
}

async function packedArray(source: ByteSource, member: ZipMember, signal?: AbortSignal): Promise<TensorRef> {
  const title = `${member.name} of ${source.name}`;
  if (Math.max(member.size, member.packedSize) > LIMITS.inflatedBytes) {
    throw new PaliGemmaError(
      "weights/limit",
      `${title} is compressed and has ${member.size} bytes, at most ${LIMITS.inflatedBytes} are inflated; save it by numpy.savez, which stores it`,
    );
  }
  const head = await inflate(source, member, Math.min(NPY_HEADER_BYTES, member.size), title, signal);
  const { dtype, shape, start } = parseNpyHeader(head, member.size, title);
  return computedTensor(tensorName(member.name), dtype, shape, async (cancel) => {
    const whole = await inflate(source, member, member.size, title, cancel);
    return { dtype, shape, data: viewAs(dtype, whole.slice(start)) };
  });
}

/** The first `wanted` bytes of a deflated member; all of them are held against the size that it claims. */
async function inflate(
  source: ByteSource,
  member: ZipMember,
  wanted: number,
  title: string,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  const packed = new Uint8Array(await source.read(member.start, member.start + member.packedSize, signal));
  const bytes = new Uint8Array(wanted);
  let given = 0;
  try {
    for await (const chunk of new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"))) {
      bytes.set(chunk.subarray(0, Math.max(0, wanted - given)), Math.min(given, wanted));
      given += chunk.byteLength;
      if (given > member.size || (wanted < member.size && given >= wanted)) break;
    }
  } catch (cause) {
    throw new PaliGemmaError("weights/zip", `${title} does not inflate; download it again`, { cause });
  }
  if (given < wanted || given > member.size) {
    throw new PaliGemmaError(
      "weights/zip",
      `${title} inflates to ${given > member.size ? "more" : "less"} than the ${member.size} bytes it claims`,
    );
  }
  return bytes;
}

function tensorName(member: string): string {
  return member.slice(0, -".npy".length);
}
