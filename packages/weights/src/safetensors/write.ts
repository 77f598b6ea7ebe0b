import { bitsOf, bytesFor, PaliGemmaError, sizeOf } from "@paligemma/core";
import type { TensorRef } from "../checkpoint.ts";
import { tensorPieces } from "../tensors.ts";
import { SAFETENSORS_DTYPES } from "./header.ts";

/** A safetensors file to be: its first bytes, then its tensors in this order. */
export interface SafetensorsPlan {
  /** Length, JSON and padding, a multiple of 64. */
  readonly header: Uint8Array;
  readonly tensors: readonly TensorRef[];
  /** Bytes of the whole file. */
  readonly size: number;
}

/**
 * Bytes that a processor reads at once. Weights that are multiplied with where they lie in the file are read a tenth faster when
 * their rows begin at multiples of it.
 */
const LINE = 64;

/**
 * Lays out a file, in which tensors follow each other without gaps: those of whole lines of 64 bytes first, which all begin at such
 * a line then, and of either kind wide elements first, so that every tensor is aligned to its element; otherwise in the
 * order given. Throws `weights/duplicate`, `weights/dtype`, `weights/range`.
 */
export function planSafetensors(
  refs: Iterable<TensorRef>,
  metadata: Readonly<Record<string, string>> = { format: "pt" },
): SafetensorsPlan {
  const rest = ({ start, end }: TensorRef): number => ((end - start) % LINE === 0 ? 0 : 1);
  const tensors = [...refs].toSorted((a, b) => rest(a) - rest(b) || bitsOf(b.dtype) - bitsOf(a.dtype));
  // Without a prototype: a tensor may be called "__proto__".
  const json = Object.assign(Object.create(null) as Record<string, unknown>, { __metadata__: metadata });
  let at = 0;
  for (const { name, dtype, shape, start, end } of tensors) {
    if (Object.hasOwn(json, name)) throw new PaliGemmaError("weights/duplicate", `${name} is given twice`);
    const theirs = SAFETENSORS_DTYPES.get(dtype);
    if (!theirs)
      throw new PaliGemmaError(
        "weights/dtype",
        `${name} is ${dtype}, which safetensors has no name for; store it packed as uint8`,
      );
    const size = bytesFor(dtype, sizeOf(shape));
    if (end - start !== size)
      throw new PaliGemmaError(
        "weights/range",
        `${name} has ${end - start} bytes, ${dtype} [${shape.join(", ")}] takes ${size}`,
      );
    json[name] = { dtype: theirs, shape, data_offsets: [at, at + size] };
    at += size;
  }
  const text = new TextEncoder().encode(JSON.stringify(json));
  const header = new Uint8Array(Math.ceil((8 + text.byteLength) / LINE) * LINE).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(header.byteLength - 8), true);
  header.set(text, 8);
  return { header, tensors, size: header.byteLength + at };
}

/** The bytes of a planned file, piece by piece. */
export async function* safetensorsPieces(
  plan: SafetensorsPlan,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  yield plan.header;
  for (const ref of plan.tensors) yield* tensorPieces(ref, signal);
}

/** A small safetensors file in memory. */
export async function safetensorsBytes(
  refs: Iterable<TensorRef>,
  options: { readonly metadata?: Readonly<Record<string, string>> } = {},
): Promise<Uint8Array> {
  const plan = planSafetensors(refs, options.metadata);
  const bytes = new Uint8Array(plan.size);
  let at = 0;
  for await (const piece of safetensorsPieces(plan)) {
    bytes.set(piece, at);
    at += piece.byteLength;
  }
  return bytes;
}
