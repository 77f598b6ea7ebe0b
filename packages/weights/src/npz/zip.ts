import { PaliGemmaError } from "@paligemma/core";
import type { ByteSource } from "../byte-source.ts";
import { LIMITS } from "../limits.ts";

/** A member of a zip archive; its data is bytes `[start, start + packedSize)` of the source. */
export interface ZipMember {
  readonly name: string;
  readonly start: number;
  readonly packedSize: number;
  readonly size: number;
  /** False for deflated data. */
  readonly stored: boolean;
  readonly crc32: number;
}

const END = 0x06054b50;
const END_64 = 0x06064b50;
const LOCATOR_64 = 0x07064b50;
const ENTRY = 0x02014b50;
const LOCAL = 0x04034b50;
const U32 = 0xffff_ffff;
/** The end record and the longest comment behind it. */
const TAIL = 22 + 65_535;

type Wrong = (what: string) => PaliGemmaError;

/**
 * The members of a zip archive, from its directory at the end; no data is read. Archives above 4 GiB (zip64) are the normal case
 * here. Throws `weights/zip`, `weights/limit`.
 */
export async function readZip(source: ByteSource, signal?: AbortSignal): Promise<readonly ZipMember[]> {
  const wrong: Wrong = (what) => new PaliGemmaError("weights/zip", `${source.name}: ${what}`);
  const directory = await findDirectory(source, wrong, signal);
  const { size, offset, count } = directory;
  if (count > LIMITS.tensors || size > LIMITS.headerBytes) {
    throw new PaliGemmaError(
      "weights/limit",
      `${source.name} lists ${count} members in ${size} bytes; at most ${LIMITS.tensors} in ${LIMITS.headerBytes} are read`,
    );
  }
  if (offset + size > directory.at) throw wrong("its directory does not lie before its end record");
  const view = dataView(await source.read(offset, offset + size, signal));
  const members: (ZipMember & { readonly local: number })[] = [];
  const names = new Set<string>();
  for (let at = 0, i = 0; i < count; i++) {
    if (at + 46 > view.byteLength || view.getUint32(at, true) !== ENTRY)
      throw wrong(`member ${i} of ${count} is not in its directory`);
    const [entry, length] = readEntry(view, at, wrong);
    if (names.has(entry.name)) throw wrong(`it has two members ${entry.name}`);
    names.add(entry.name);
    members.push(entry);
    at += length;
  }
  return placeMembers(source, members, offset, wrong, signal);
}

interface Directory {
  readonly at: number;
  readonly size: number;
  readonly offset: number;
  readonly count: number;
}

async function findDirectory(source: ByteSource, wrong: Wrong, signal?: AbortSignal): Promise<Directory> {
  const from = Math.max(0, source.size - TAIL);
  const view = dataView(await source.read(from, source.size, signal));
  let at = view.byteLength - 22;
  while (at >= 0 && !(view.getUint32(at, true) === END && at + 22 + view.getUint16(at + 20, true) === view.byteLength))
    at--;
  if (at < 0) throw wrong("it has no end record: no zip archive, or not all of it");
  const [count, size, offset] = [
    view.getUint16(at + 10, true),
    view.getUint32(at + 12, true),
    view.getUint32(at + 16, true),
  ];
  const locator = at - 20;
  if (locator >= 0 && view.getUint32(locator, true) === LOCATOR_64) {
    const at64 = Number(view.getBigUint64(locator + 8, true));
    if (!(at64 + 56 <= from + locator)) throw wrong("its zip64 end record is not where it should be");
    const end64 = dataView(await source.read(at64, at64 + 56, signal));
    if (end64.getUint32(0, true) !== END_64) throw wrong("its zip64 end record is not where it should be");
    return { at: at64, count: u64(end64, 32, wrong), size: u64(end64, 40, wrong), offset: u64(end64, 48, wrong) };
  }
  return { at: from + at, count, size, offset };
}

/** One entry of the directory, and its length there. */
function readEntry(
  view: DataView,
  at: number,
  wrong: Wrong,
): readonly [ZipMember & { readonly local: number }, number] {
  const [nameLength, extraLength, commentLength] = [28, 30, 32].map((field) => view.getUint16(at + field, true)) as [
    number,
    number,
    number,
  ];
  const length = 46 + nameLength + extraLength + commentLength;
  if (at + length > view.byteLength) throw wrong("an entry of its directory is longer than the directory");
  const name = new TextDecoder().decode(new Uint8Array(view.buffer, view.byteOffset + at + 46, nameLength));
  if (nameLength > LIMITS.nameLength) throw wrong("a member's name is too long");
  if ((view.getUint16(at + 8, true) & 1) !== 0) throw wrong(`${name} is encrypted`);
  const method = view.getUint16(at + 10, true);
  if (method !== 0 && method !== 8)
    throw wrong(`${name} is compressed by method ${method}; stored and deflated members are read`);
  // Fields that do not fit into 32 bits stand in the extra field 1, in this order, those that need it.
  let extra = findExtra(view, at + 46 + nameLength, extraLength);
  const wide = (value: number): number => {
    if (value !== U32) return value;
    if (!extra || extra.byteLength < 8) throw wrong(`${name} lacks its zip64 sizes`);
    const found = u64(extra, 0, wrong);
    extra = new DataView(extra.buffer, extra.byteOffset + 8, extra.byteLength - 8);
    return found;
  };
  const size = wide(view.getUint32(at + 24, true));
  const packedSize = wide(view.getUint32(at + 20, true));
  const local = wide(view.getUint32(at + 42, true));
  if (method === 0 && size !== packedSize) throw wrong(`${name} is stored with ${packedSize} bytes and has ${size}`);
  return [
    { name, start: 0, packedSize, size, stored: method === 0, crc32: view.getUint32(at + 16, true), local },
    length,
  ];
}

function findExtra(view: DataView, from: number, length: number): DataView | undefined {
  for (let at = from; at + 4 <= from + length;) {
    const size = view.getUint16(at + 2, true);
    if (at + 4 + size > from + length) return undefined;
    if (view.getUint16(at, true) === 1) return new DataView(view.buffer, view.byteOffset + at + 4, size);
    at += 4 + size;
  }
  return undefined;
}

/** Reads the local headers, whose lengths say where the data begins, and checks that no two members share bytes. */
async function placeMembers(
  source: ByteSource,
  members: readonly (ZipMember & { readonly local: number })[],
  end: number,
  wrong: Wrong,
  signal?: AbortSignal,
): Promise<readonly ZipMember[]> {
  const placed: ZipMember[] = [];
  let before = 0;
  for (const { local, ...member } of members.toSorted((a, b) => a.local - b.local)) {
    if (local < before || local + 30 > end)
      throw wrong(`${member.name} lies over another member or over the directory`);
    const view = dataView(await source.read(local, local + 30, signal));
    if (view.getUint32(0, true) !== LOCAL) throw wrong(`${member.name} is not where the directory says`);
    const start = local + 30 + view.getUint16(26, true) + view.getUint16(28, true);
    before = start + member.packedSize;
    if (before > end) throw wrong(`${member.name} lies over the directory`);
    placed.push({ ...member, start });
  }
  return placed;
}

function u64(view: DataView, at: number, wrong: Wrong): number {
  const value = view.getBigUint64(at, true);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw wrong(`it claims a size of ${value}`);
  return Number(value);
}

function dataView(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
