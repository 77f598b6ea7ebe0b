import { PaliGemmaError, fromFloat32, sizeOf, toFloat32, viewAs, type DType, type NdArray } from "@paligemma/core";
import type { CodecTensor, CodecTensors } from "./codec-layout.ts";
import { openZip } from "./zip.ts";

// A header of 49 arrays takes 4 KB; this blocks headers made to exhaust memory.
const MAX_HEADER = 1024 * 1024;

/** The arrays of an `.npz` or `.safetensors` file in memory, as float32. Throws `masks/npz`, `masks/zip` or `masks/safetensors`. */
export function readCodecFile(bytes: Uint8Array): Promise<CodecTensors> {
  const isZip = bytes.length >= 4 && bytes[0] === 0x50 && bytes[1] === 0x4b;
  return isZip ? readNpz(bytes) : Promise.resolve(readSafetensors(bytes));
}

/** The arrays of an `.npz` file, float16 to float64, in C order. */
export async function readNpz(bytes: Uint8Array): Promise<CodecTensors> {
  const tensors = new Map<string, CodecTensor>();
  for (const member of openZip(bytes))
    tensors.set(member.name.replace(/\.npy$/, ""), readNpy(await member.read(), member.name));
  return tensors;
}

const NPY_TYPES: Readonly<Record<string, DType>> = { "<f4": "float32", "<f8": "float64", "<f2": "float16" };

function readNpy(bytes: Uint8Array, name: string): CodecTensor {
  const fail = (problem: string): PaliGemmaError => new PaliGemmaError("masks/npz", `${name} ${problem}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 12 || bytes[0] !== 0x93 || new TextDecoder().decode(bytes.subarray(1, 6)) !== "NUMPY")
    throw fail("is no numpy array");
  const [prefix, length] = bytes[6] === 1 ? [10, view.getUint16(8, true)] : [12, view.getUint32(8, true)];
  if (length > MAX_HEADER || prefix + length > bytes.length)
    throw fail(`has a header of ${length} bytes in ${bytes.length}`);
  const header = new TextDecoder().decode(bytes.subarray(prefix, prefix + length));
  const kind = /'descr'\s*:\s*'([^']*)'/.exec(header)?.[1] ?? "";
  const dtype = NPY_TYPES[kind];
  if (dtype === undefined)
    throw fail(`holds ${JSON.stringify(kind)}; the codec is float32 (or float16, float64), little-endian`);
  if (!/'fortran_order'\s*:\s*False/.test(header))
    throw fail("is not in C order; save it with numpy.ascontiguousarray");
  const shape = /'shape'\s*:\s*\(([\d,\s]*)\)/
    .exec(header)?.[1]
    ?.split(",")
    .map((n) => n.trim())
    .filter((n) => n !== "")
    .map(Number);
  if (shape === undefined) throw fail(`has no shape in its header ${JSON.stringify(header.slice(0, 100))}`);
  return tensorOf(dtype, shape, bytes.subarray(prefix + length), fail);
}

const SAFETENSORS_TYPES: Readonly<Record<string, DType>> = {
  F32: "float32",
  F64: "float64",
  F16: "float16",
  BF16: "bfloat16",
};

/** The arrays of a `.safetensors` file, half floats included. */
export function readSafetensors(bytes: Uint8Array): CodecTensors {
  if (bytes.length < 8) throw safetensorsError(`has ${bytes.length} bytes and is neither .npz nor .safetensors`);
  const length = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
  if (length > MAX_HEADER || Number(length) + 8 > bytes.length)
    throw safetensorsError(
      `is neither .npz nor .safetensors, or broken: a header of ${length} bytes in ${bytes.length}`,
    );
  const start = 8 + Number(length);
  const header = parseHeader(new TextDecoder().decode(bytes.subarray(8, start)));
  if (header === undefined) throw safetensorsError("is neither .npz nor .safetensors: its header is no JSON object");
  const tensors = new Map<string, CodecTensor>();
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const { dtype, shape, data_offsets: offsets } = (entry ?? {}) as Record<string, unknown>;
    const known = SAFETENSORS_TYPES[String(dtype)];
    if (known === undefined)
      throw safetensorsError(`holds ${name} as ${String(dtype)}; the codec is F32, F16, BF16 or F64`);
    if (
      !isCounts(shape) ||
      !isCounts(offsets) ||
      offsets.length !== 2 ||
      offsets[0]! > offsets[1]! ||
      start + offsets[1]! > bytes.length
    ) {
      throw safetensorsError(
        `places ${name} at ${JSON.stringify(offsets)} with the shape ${JSON.stringify(shape)} in ${bytes.length - start} bytes`,
      );
    }
    tensors.set(
      name,
      tensorOf(known, shape, bytes.subarray(start + offsets[0]!, start + offsets[1]!), (problem) =>
        safetensorsError(`: ${name} ${problem}`),
      ),
    );
  }
  return tensors;
}

/**
 * Arrays as a `.safetensors` file: a copy of the codec that loads faster and, in half precision, is half as large.
 * Decoding from bfloat16 moves mask values by about 1 %.
 */
export function writeSafetensors(
  tensors: CodecTensors,
  dtype: "float32" | "float16" | "bfloat16" = "float32",
): Uint8Array {
  const names = [...tensors.keys()].toSorted();
  const kind = { float32: "F32", float16: "F16", bfloat16: "BF16" }[dtype];
  const arrays = names.map((name) => {
    const { shape, data } = tensors.get(name)!;
    const array: NdArray = fromFloat32({ dtype: "float32", shape, data }, dtype);
    return new Uint8Array(array.data.buffer, array.data.byteOffset, array.data.byteLength);
  });
  let offset = 0;
  const entries = names.map((name, i) => {
    const [start, end] = [offset, (offset += arrays[i]!.length)];
    return [name, { dtype: kind, shape: tensors.get(name)!.shape, data_offsets: [start, end] }];
  });
  const json = JSON.stringify(Object.fromEntries(entries));
  const header = new TextEncoder().encode(json.padEnd(Math.ceil(json.length / 8) * 8));
  const file = new Uint8Array(8 + header.length + offset);
  new DataView(file.buffer).setBigUint64(0, BigInt(header.length), true);
  file.set(header, 8);
  let at = 8 + header.length;
  for (const array of arrays) {
    file.set(array, at);
    at += array.length;
  }
  return file;
}

function tensorOf(
  dtype: DType,
  shape: readonly number[],
  bytes: Uint8Array,
  fail: (problem: string) => PaliGemmaError,
): CodecTensor {
  const count = sizeOf(shape);
  const width = { float64: 8, float32: 4 }[dtype as string] ?? 2;
  if (bytes.length !== count * width)
    throw fail(`has ${bytes.length} bytes, its shape [${shape.join(", ")}] of ${dtype} needs ${count * width}`);
  // A copy: the file's bytes need not stay alive, and may be unaligned.
  const array = { dtype, shape, data: viewAs(dtype, new Uint8Array(bytes)) } as NdArray;
  return { shape, data: toFloat32(array).data };
}

function safetensorsError(problem: string): PaliGemmaError {
  return new PaliGemmaError("masks/safetensors", `the file ${problem}`);
}

function parseHeader(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);
}
