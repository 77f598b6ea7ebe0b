import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32, deflateRawSync } from "node:zlib";
import { CODEC_SHAPES, createMaskCodec, loadMaskCodec, readCodecFile, writeSafetensors } from "@paligemma/masks";
import { loadMaskCodecFile } from "@paligemma/masks/node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { randomCodec } from "./random-codec.ts";

const tensors = randomCodec();
const names = Object.keys(CODEC_SHAPES);

function npy(shape: readonly number[], data: Uint8Array, descr = "<f4"): Uint8Array {
  const tuple = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const dictionary = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${tuple}), }`;
  const header = `${dictionary.padEnd(Math.ceil((dictionary.length + 11) / 64) * 64 - 11)}\n`;
  const length = Buffer.alloc(2);
  length.writeUInt16LE(header.length);
  return Buffer.concat([Buffer.from("\x93NUMPY\x01\x00", "latin1"), length, Buffer.from(header), data]);
}

function zip(members: readonly (readonly [string, Uint8Array])[], deflate = false): Uint8Array {
  const [bodies, directory]: [Buffer[], Buffer[]] = [[], []];
  let offset = 0;
  for (const [name, content] of members) {
    const packed = deflate ? deflateRawSync(content) : content;
    const fields = Buffer.alloc(26);
    fields.writeUInt16LE(20, 0);
    fields.writeUInt16LE(deflate ? 8 : 0, 4);
    fields.writeUInt32LE(crc32(content), 10);
    fields.writeUInt32LE(packed.length, 14);
    fields.writeUInt32LE(content.length, 18);
    fields.writeUInt16LE(name.length, 22);
    const local = Buffer.concat([Buffer.from("PK\x03\x04", "latin1"), fields, Buffer.from(name)]);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(offset, 10);
    directory.push(Buffer.concat([Buffer.from("PK\x01\x02\x14\x00", "latin1"), fields, tail, Buffer.from(name)]));
    bodies.push(local, Buffer.from(packed));
    offset += local.length + packed.length;
  }
  const central = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write("PK\x05\x06", 0, "latin1");
  end.writeUInt16LE(members.length, 8);
  end.writeUInt16LE(members.length, 10);
  end.writeUInt32LE(central.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...bodies, central, end]);
}

const bytesOf = (data: Float32Array): Uint8Array => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
const member = (name: string): [string, Uint8Array] => [
  `${name}.npy`,
  npy(tensors.get(name)?.shape ?? [], bytesOf(tensors.get(name)?.data ?? new Float32Array())),
];
const codes = [Array.from({ length: 16 }, (_, i) => i * 7)];
const expected = createMaskCodec(tensors).decode(codes);

describe("files", () => {
  it.each([false, true])("reads an npz, deflated: %s", async (deflate) => {
    const file = zip(names.map(member), deflate);
    const codec = await loadMaskCodec(file);
    expect(codec.decode(codes)).toEqual(expected);
    expect(codec.sha256).toBe(createHash("sha256").update(file).digest("hex"));
    expect(codec.warnings).toHaveLength(1);
  });

  it.each(["float32", "float16", "bfloat16"] as const)("reads and writes safetensors in %s", async (dtype) => {
    const file = writeSafetensors(tensors, dtype);
    const back = await readCodecFile(file);
    expect([...back.keys()].toSorted()).toEqual(names.toSorted());
    const tolerance = { float32: 0, float16: 0.0005, bfloat16: 0.004 }[dtype];
    for (const [name, { shape, data }] of back) {
      const original = tensors.get(name);
      expect(shape).toEqual(original?.shape);
      expect(data.every((value, i) => Math.abs(value - (original?.data[i] ?? Number.NaN)) <= tolerance)).toBe(true);
    }
  });

  it("reads streams, blobs, buffers and responses, and warns about another hash only when asked to compare", async () => {
    const file = new Uint8Array(writeSafetensors(tensors));
    const sha256 = createHash("sha256").update(file).digest("hex");
    const warned: string[] = [];
    for (const source of [file.buffer, new Blob([file]), new Blob([file]).stream(), new Response(file)]) {
      const { warnings } = await loadMaskCodec(source, { sha256, onWarning: (warning) => warned.push(warning) });
      expect(warnings).toEqual([]);
    }
    expect((await loadMaskCodec(file, { sha256: null })).warnings).toEqual([]);
    await loadMaskCodec(file, { onWarning: (warning) => warned.push(warning) });
    expect(warned).toEqual([expect.stringMatching(/SHA-256 .* expected 5586010257/)]);
  });

  describe("on disk", () => {
    let folder = "";
    beforeAll(async () => (folder = await mkdtemp(join(tmpdir(), "masks-"))));
    afterAll(() => rm(folder, { recursive: true }));
    it("reads an address, in pieces as they come, and warns of a file that is not the official one", async () => {
      const file = writeSafetensors(tensors, "float16");
      const server = createServer((_, response) => {
        for (let at = 0; at < file.length; at += 1_000_000) response.write(file.subarray(at, at + 1_000_000));
        response.end();
      });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      try {
        const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/codec.safetensors`;
        for (const source of [address, new URL(address)]) {
          const warned: string[] = [];
          const codec = await loadMaskCodec(source, { onWarning: (warning) => warned.push(warning) });
          expect(codec.canEncode).toBe(true);
          expect(codec.sha256).toBe(createHash("sha256").update(file).digest("hex"));
          expect(codec.warnings).toEqual(warned);
          expect(warned.join()).toContain(`the codec's file has SHA-256 ${codec.sha256}, expected 5586010257b8536d`);
        }
      } finally {
        server.close();
        server.closeAllConnections();
      }
    });

    it("loads by path", async () => {
      const path = join(folder, "codec.npz");
      await writeFile(path, zip(names.map(member)));
      expect((await loadMaskCodecFile(path)).decode(codes)).toEqual(expected);
      await expect(loadMaskCodecFile(join(folder, "none.npz"))).rejects.toThrow(
        /masks\/source: .*none\.npz cannot be read/,
      );
    });
  });
});

describe("broken files", () => {
  const float = npy([1], new Uint8Array(4));
  const good = zip([["a.npy", float]], true);
  const broken: readonly [string, Uint8Array, RegExp][] = [
    ["nothing", new Uint8Array(0), /masks\/safetensors: .*0 bytes/],
    ["text", new TextEncoder().encode("<html>not found</html>"), /masks\/safetensors: .*neither/],
    ["a header of 2^60 bytes", new Uint8Array([0, 0, 0, 0, 0, 0, 0, 16, 1]), /masks\/safetensors/],
    ["a header that is no object", new Uint8Array([2, 0, 0, 0, 0, 0, 0, 0, 91, 93]), /masks\/safetensors: .*JSON/],
    [
      "offsets beyond the end",
      safetensors({ a: { dtype: "F32", shape: [2], data_offsets: [0, 8] } }),
      /masks\/safetensors: .*places a/,
    ],
    [
      "another dtype",
      safetensors({ a: { dtype: "I64", shape: [0], data_offsets: [0, 0] } }),
      /masks\/safetensors: .*I64/,
    ],
    [
      "a shape that does not fit",
      safetensors({ a: { dtype: "F32", shape: [2 ** 40], data_offsets: [0, 0] } }),
      /masks\/safetensors: .*needs/,
    ],
    ["half an archive", good.slice(0, -10), /masks\/zip/],
    ["a damaged member", good.map((byte, i) => (i === 40 ? byte ^ 255 : byte)), /masks\/zip/],
    [
      "a member twice",
      zip([
        ["a.npy", float],
        ["a.npy", float],
      ]),
      /masks\/zip: .*twice/,
    ],
    [
      "a member that is no array",
      zip([["a.npy", new TextEncoder().encode("hello world!")]]),
      /masks\/npz: a\.npy is no numpy array/,
    ],
    ["integers", zip([["a.npy", npy([1], new Uint8Array(8), "<i8")]]), /masks\/npz: a\.npy holds "<i8"/],
    ["too little data", zip([["a.npy", npy([2], new Uint8Array(4))]]), /masks\/npz: a\.npy has 4 bytes/],
    ["an inflating bomb", bomb(), /masks\/zip: .*more than the 10 bytes/],
    ["other names", good, /masks\/codec: .*is missing/],
  ];
  it.each(broken)("refuses %s", async (_, file, message) => {
    await expect(loadMaskCodec(file)).rejects.toThrow(message);
  });

  it("refuses an address that is none, an error page, and an endless stream", async () => {
    await expect(loadMaskCodec("vae-oid.npz")).rejects.toThrow(/masks\/source: vae-oid\.npz cannot be fetched/);
    await expect(loadMaskCodec(new Response("gone", { status: 404 }))).rejects.toThrow(/masks\/source: .*404/);
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(2 ** 20)),
    });
    await expect(loadMaskCodec(endless)).rejects.toThrow(/masks\/source: .*more than/);
  });

  it("rethrows the reason of an abort", async () => {
    const reason = new Error("enough");
    await expect(
      loadMaskCodec(new Blob([good as Uint8Array<ArrayBuffer>]), { signal: AbortSignal.abort(reason) }),
    ).rejects.toBe(reason);
  });

  function safetensors(header: object): Uint8Array {
    const json = JSON.stringify(header);
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(json.length));
    return Buffer.concat([length, Buffer.from(json)]);
  }

  /** Says 10 bytes, inflates to a million. */
  function bomb(): Uint8Array {
    const file = Buffer.from(zip([["a.npy", new Uint8Array(1_000_000)]], true));
    file.writeUInt32LE(10, file.lastIndexOf("PK\x01\x02", undefined, "latin1") + 24);
    return file;
  }
});
