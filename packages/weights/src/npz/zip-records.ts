/** A stored member, written or to be written. */
export interface StoredMember {
  readonly name: string;
  /** Where its local header begins. */
  readonly offset: number;
  readonly size: number;
  readonly crc32: number;
}

/** A member that is in the file, and where it ends. */
export interface WrittenMember extends StoredMember {
  readonly end: number;
}

const U32 = 0xffff_ffff;
/** 1980-01-01, the beginning of zip's time: the same tensors give the same bytes. */
const DATE = 0x21;
const VERSION = 45;

/** The record before a member's data. Sizes always stand in its zip64 field, so that its length does not depend on them. */
export function localHeader({ name, size, crc32 }: Omit<StoredMember, "offset">): Uint8Array {
  const title = new TextEncoder().encode(name);
  const [bytes, view] = record(30 + title.byteLength + 20);
  view.setUint32(0, 0x04034b50, true);
  view.setUint16(4, VERSION, true);
  view.setUint16(6, 0x800, true); // names are UTF-8
  view.setUint16(12, DATE, true);
  view.setUint32(14, crc32, true);
  view.setUint32(18, U32, true);
  view.setUint32(22, U32, true);
  view.setUint16(26, title.byteLength, true);
  view.setUint16(28, 20, true);
  bytes.set(title, 30);
  const extra = 30 + title.byteLength;
  view.setUint16(extra, 1, true);
  view.setUint16(extra + 2, 16, true);
  view.setBigUint64(extra + 4, BigInt(size), true);
  view.setBigUint64(extra + 12, BigInt(size), true);
  return bytes;
}

/** The directory and the end records, which begin at `at`. */
export function endRecords(members: readonly StoredMember[], at: number): Uint8Array {
  const entries = members.map(directoryEntry);
  const size = entries.reduce((sum, entry) => sum + entry.byteLength, 0);
  const [bytes, view] = record(size + 56 + 20 + 22);
  let offset = 0;
  for (const entry of entries) {
    bytes.set(entry, offset);
    offset += entry.byteLength;
  }
  // Zip64 end record.
  view.setUint32(size, 0x06064b50, true);
  view.setBigUint64(size + 4, 44n, true);
  view.setUint16(size + 12, VERSION, true);
  view.setUint16(size + 14, VERSION, true);
  view.setBigUint64(size + 24, BigInt(members.length), true);
  view.setBigUint64(size + 32, BigInt(members.length), true);
  view.setBigUint64(size + 40, BigInt(size), true);
  view.setBigUint64(size + 48, BigInt(at), true);
  // Its locator.
  view.setUint32(size + 56, 0x07064b50, true);
  view.setBigUint64(size + 64, BigInt(at + size), true);
  view.setUint32(size + 72, 1, true);
  // The end record, which refers to it.
  view.setUint32(size + 76, 0x06054b50, true);
  view.setUint16(size + 84, 0xffff, true);
  view.setUint16(size + 86, 0xffff, true);
  view.setUint32(size + 88, U32, true);
  view.setUint32(size + 92, U32, true);
  return bytes;
}

function directoryEntry({ name, offset, size, crc32 }: StoredMember): Uint8Array {
  const title = new TextEncoder().encode(name);
  const [bytes, view] = record(46 + title.byteLength + 28);
  view.setUint32(0, 0x02014b50, true);
  view.setUint16(4, VERSION, true);
  view.setUint16(6, VERSION, true);
  view.setUint16(8, 0x800, true);
  view.setUint16(14, DATE, true);
  view.setUint32(16, crc32, true);
  view.setUint32(20, U32, true);
  view.setUint32(24, U32, true);
  view.setUint16(28, title.byteLength, true);
  view.setUint16(30, 28, true);
  view.setUint32(42, U32, true);
  bytes.set(title, 46);
  const extra = 46 + title.byteLength;
  view.setUint16(extra, 1, true);
  view.setUint16(extra + 2, 24, true);
  view.setBigUint64(extra + 4, BigInt(size), true);
  view.setBigUint64(extra + 12, BigInt(size), true);
  view.setBigUint64(extra + 20, BigInt(offset), true);
  return bytes;
}

function record(length: number): readonly [Uint8Array, DataView] {
  const bytes = new Uint8Array(length);
  return [bytes, new DataView(bytes.buffer)];
}
