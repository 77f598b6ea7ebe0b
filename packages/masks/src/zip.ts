import { PaliGemmaError } from "@paligemma/core";

/** Members of a zip archive by name, in order: `read` inflates one. */
export interface ZipMember {
  readonly name: string;
  /** Bytes once inflated. */
  readonly size: number;
  /** The bytes, checked against their CRC; throws `masks/zip`. */
  read(): Promise<Uint8Array>;
}

// Far above the codec's 49 arrays and 8.5 MB; blocks crafted archives that name millions of members or inflate without end.
const MAX_MEMBERS = 4096;
const MAX_INFLATED = 256 * 1024 * 1024;

/**
 * The members of a zip archive in memory, from its central directory; stored and deflated ones can be read. No ZIP64
 * sizes, no encryption: numpy needs neither below 4 GB. Throws `masks/zip`.
 */
export function openZip(bytes: Uint8Array): readonly ZipMember[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = findEnd(view);
  const count = view.getUint16(end + 10, true);
  let at = view.getUint32(end + 16, true);
  if (count > MAX_MEMBERS) throw zipError(`${count} members, at most ${MAX_MEMBERS}`);
  const members: ZipMember[] = [];
  for (let i = 0; i < count; i++) {
    if (at + 46 > end || view.getUint32(at, true) !== 0x0201_4b50)
      throw zipError(`its directory breaks off at member ${i} of ${count}`);
    const entry = {
      flags: view.getUint16(at + 8, true),
      method: view.getUint16(at + 10, true),
      crc: view.getUint32(at + 16, true),
      packed: view.getUint32(at + 20, true),
      size: view.getUint32(at + 24, true),
      header: view.getUint32(at + 42, true),
    };
    const nameLength = view.getUint16(at + 28, true);
    const next = at + 46 + nameLength + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
    if (next > end) throw zipError(`its directory breaks off in member ${i} of ${count}`);
    const name = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + nameLength));
    if (members.some((member) => member.name === name)) throw zipError(`${name} stands in it twice`);
    members.push({ name, size: entry.size, read: () => readMember(bytes, view, name, entry) });
    at = next;
  }
  return members;
}

type Entry = {
  readonly flags: number;
  readonly method: number;
  readonly crc: number;
  readonly packed: number;
  readonly size: number;
  readonly header: number;
};

function findEnd(view: DataView): number {
  // The end record is 22 bytes and a comment of at most 65535.
  for (let at = view.byteLength - 22; at >= Math.max(0, view.byteLength - 22 - 0xffff); at--) {
    if (view.getUint32(at, true) === 0x0605_4b50) return at;
  }
  throw zipError(`${view.byteLength} bytes without the record that ends an archive; is the file whole, and an .npz?`);
}

async function readMember(bytes: Uint8Array, view: DataView, name: string, entry: Entry): Promise<Uint8Array> {
  const { flags, method, crc, packed, size, header } = entry;
  if (flags & 1) throw zipError(`${name} is encrypted`);
  if (size > MAX_INFLATED) throw zipError(`${name} says it has ${size} bytes, at most ${MAX_INFLATED} are read`);
  if (header + 30 > bytes.length || view.getUint32(header, true) !== 0x0403_4b50)
    throw zipError(`${name} is not where the directory says`);
  const start = header + 30 + view.getUint16(header + 26, true) + view.getUint16(header + 28, true);
  if (start + packed > bytes.length)
    throw zipError(`${name} breaks off: ${packed} bytes from ${start} in a file of ${bytes.length}`);
  const body = bytes.subarray(start, start + packed);
  if (method !== 0 && method !== 8)
    throw zipError(`${name} is packed by method ${method}; stored (0) and deflated (8) can be read`);
  const content = method === 0 ? body : await inflate(body, size, name);
  if (content.length !== size) throw zipError(`${name} has ${content.length} bytes, its directory says ${size}`);
  if (crc32(content) !== crc) throw zipError(`${name} is damaged: its checksum is not the one in the directory`);
  return content;
}

/** Inflates to exactly `size` bytes and no further, whatever the data says. */
async function inflate(body: Uint8Array, size: number, name: string): Promise<Uint8Array> {
  const content = new Uint8Array(size);
  let at = 0;
  try {
    const stream = new Blob([body as Uint8Array<ArrayBuffer>])
      .stream()
      .pipeThrough(new DecompressionStream("deflate-raw"));
    for (const reader = stream.getReader(); ;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (at + value.length > size) {
        await reader.cancel();
        throw zipError(`${name} inflates to more than the ${size} bytes that its directory says`);
      }
      content.set(value, at);
      at += value.length;
    }
  } catch (cause) {
    if (cause instanceof PaliGemmaError) throw cause;
    throw new PaliGemmaError("masks/zip", `the archive cannot be read: ${name} does not inflate`, { cause });
  }
  return content.subarray(0, at);
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let bit = 0; bit < 8; bit++) c = c & 1 ? 0xedb8_8320 ^ (c >>> 1) : c >>> 1;
  return c;
});

/** CRC-32 of zip archives. */
export function crc32(bytes: Uint8Array): number {
  let c = 0xffff_ffff;
  for (const byte of bytes) c = CRC_TABLE[(c ^ byte) & 255]! ^ (c >>> 8);
  return ~c >>> 0;
}

function zipError(problem: string): PaliGemmaError {
  return new PaliGemmaError("masks/zip", `the archive cannot be read: ${problem}`);
}
