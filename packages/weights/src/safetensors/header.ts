import { bytesFor, PaliGemmaError, type DType } from "@paligemma/core";
import { LIMITS } from "../limits.ts";
import { isObject, parseStrictJson } from "../strict-json.ts";

/** A tensor of a header; offsets count from the beginning of the file. */
export interface HeaderEntry {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly start: number;
  readonly end: number;
}

/** What a safetensors header says. */
export interface Header {
  readonly entries: readonly HeaderEntry[];
  readonly metadata: Readonly<Record<string, string>>;
}

/** Format names of the file → ours. */
const DTYPES: Readonly<Record<string, DType>> = {
  F64: "float64",
  F32: "float32",
  F16: "float16",
  BF16: "bfloat16",
  I64: "int64",
  I32: "int32",
  I16: "int16",
  I8: "int8",
  U64: "uint64",
  U32: "uint32",
  U16: "uint16",
  U8: "uint8",
  BOOL: "bool",
};

/** Our format names → those of the file. */
export const SAFETENSORS_DTYPES: ReadonlyMap<DType, string> = new Map(
  Object.entries(DTYPES).map(([theirs, ours]) => [ours, theirs]),
);

/** Length of the JSON behind the first 8 bytes, a little-endian 64-bit integer. */
export function headerLength(first8: Uint8Array, fileSize: number, name: string): number {
  const length = new DataView(first8.buffer, first8.byteOffset, 8).getBigUint64(0, true);
  if (length > BigInt(LIMITS.headerBytes)) {
    throw new PaliGemmaError(
      "weights/limit",
      `${name} claims a header of ${length} bytes, at most ${LIMITS.headerBytes} are read; this is no safetensors file or a damaged one`,
    );
  }
  if (8 + Number(length) > fileSize) {
    throw new PaliGemmaError(
      "weights/truncated",
      `${name} claims a header of ${length} bytes and has ${fileSize} bytes in all; download it again`,
    );
  }
  return Number(length);
}

/**
 * Reads the JSON of a header and checks that the tensors fill the file: every byte behind the header belongs to exactly one
 * tensor, as the format demands. Throws `weights/header`, `weights/limit`, `weights/dtype` or `weights/truncated`.
 */
export function parseHeader(json: Uint8Array, fileSize: number, name: string): Header {
  const wrong = (what: string): PaliGemmaError => new PaliGemmaError("weights/header", `${name}: ${what}`);
  if (json[0] !== 0x7b) throw wrong('the header does not begin with "{"; this is no safetensors file');
  const { __metadata__: given = {}, ...tensors } = parseStrictJson(json, `the header of ${name}`, "weights/header");
  if (!isObject(given) || Object.values(given).some((value) => typeof value !== "string")) {
    throw wrong("__metadata__ is not an object of strings");
  }
  const found = Object.entries(tensors);
  if (found.length > LIMITS.tensors) {
    throw new PaliGemmaError(
      "weights/limit",
      `${name} lists ${found.length} tensors, at most ${LIMITS.tensors} are read`,
    );
  }
  const begin = 8 + json.byteLength;
  const entries = found.map(([tensor, entry]) => parseEntry(tensor, entry, begin, wrong));
  checkFilled(entries, begin, fileSize, name, wrong);
  return { entries, metadata: given as Readonly<Record<string, string>> };
}

function parseEntry(name: string, entry: unknown, begin: number, wrong: (what: string) => PaliGemmaError): HeaderEntry {
  if (name.length > LIMITS.nameLength)
    throw wrong(`a tensor's name has ${name.length} characters, at most ${LIMITS.nameLength} are read`);
  if (!isObject(entry)) throw wrong(`${name} is not described by an object`);
  const { dtype: theirs, shape, data_offsets: offsets } = entry;
  if (typeof theirs !== "string") throw wrong(`${name} has no dtype`);
  const dtype = Object.hasOwn(DTYPES, theirs) ? DTYPES[theirs] : undefined;
  if (!dtype)
    throw new PaliGemmaError(
      "weights/dtype",
      `${name} is ${theirs.slice(0, 40)}; readable are ${Object.keys(DTYPES).join(", ")}`,
    );
  if (!isLengths(shape)) throw wrong(`${name} has a shape that is not a list of whole numbers from 0`);
  if (shape.length > LIMITS.rank)
    throw wrong(`${name} has ${shape.length} dimensions, at most ${LIMITS.rank} are read`);
  if (!isLengths(offsets) || offsets.length !== 2)
    throw wrong(`${name} has data_offsets that are not two whole numbers from 0`);
  const [start, end] = offsets as [number, number];
  const count = shape.reduce((product, length) => product * length, 1);
  if (!Number.isSafeInteger(count))
    throw wrong(`${name} of shape [${shape.join(", ")}] has more elements than can be counted`);
  if (end - start !== bytesFor(dtype, count)) {
    throw wrong(
      `${name} takes ${end - start} bytes (${start} to ${end}), ${theirs} [${shape.join(", ")}] takes ${bytesFor(dtype, count)}`,
    );
  }
  return { name, dtype, shape, start: begin + start, end: begin + end };
}

/** No two tensors share a byte, none lies between them unused, and the file ends with the last. */
function checkFilled(
  entries: readonly HeaderEntry[],
  begin: number,
  fileSize: number,
  name: string,
  wrong: (what: string) => PaliGemmaError,
): void {
  let at = begin;
  let before = "the header";
  for (const { name: tensor, start, end } of entries.toSorted((a, b) => a.start - b.start || a.end - b.end)) {
    if (start < at) throw wrong(`${tensor} begins ${at - start} bytes before ${before} ends`);
    if (start > at) throw wrong(`${start - at} bytes between ${before} and ${tensor} belong to no tensor`);
    [at, before] = [end, tensor];
  }
  if (at > fileSize) {
    throw new PaliGemmaError(
      "weights/truncated",
      `${name} has ${fileSize} bytes, its tensors need ${at}; download it again`,
    );
  }
  if (at < fileSize) throw wrong(`${fileSize - at} bytes behind ${before} belong to no tensor`);
}

function isLengths(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((length) => Number.isSafeInteger(length) && length >= 0);
}
