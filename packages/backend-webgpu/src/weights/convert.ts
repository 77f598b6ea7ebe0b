import { PaliGemmaError, fromFloat32, ndArray, toFloat32, viewAs, type DType } from "@paligemma/core";

/** Memory that is used again: what was put there before is overwritten. */
export class Room {
  #buffer = new ArrayBuffer(0);

  words(count: number): Uint32Array<ArrayBuffer> {
    if (this.#buffer.byteLength < count * 4) this.#buffer = new ArrayBuffer(count * 4);
    return new Uint32Array(this.#buffer, 0, count);
  }
}

/**
 * Bytes of elements in one format as bytes in another; the same bytes where the formats are equal. Those made from half precision,
 * which checkpoints are, lie in `room`.
 */
export function convert(bytes: Uint8Array, from: DType, to: DType, room: Room = new Room()): Uint8Array {
  if (from === to) return bytes;
  if (from === "bfloat16" && to === "float32") return widenBfloat16(viewAs("bfloat16", bytes), room);
  if (from === "float16" && to === "float32") return widenFloat16(viewAs("float16", bytes), room);
  if (to !== "float32" && to !== "float16") {
    throw new PaliGemmaError("backend/dtype", `weights cannot be loaded as ${to}; float32 and float16 are possible`);
  }
  const data = viewAs(from, bytes);
  const wide = toFloat32(ndArray(from, [data.length], data as never));
  const { data: out } = fromFloat32(wide, to);
  return new Uint8Array(out.buffer, out.byteOffset, out.byteLength);
}

/** A bfloat16 is the upper half of a float32. */
function widenBfloat16(halves: Uint16Array, room: Room): Uint8Array {
  const words = room.words(halves.length);
  for (let i = 0; i < halves.length; i++) words[i] = halves[i]! << 16;
  return new Uint8Array(words.buffer, 0, words.byteLength);
}

/** 5 bits of exponent become 8, and 10 of mantissa 23. */
function widenFloat16(halves: Uint16Array, room: Room): Uint8Array {
  const words = room.words(halves.length);
  for (let i = 0; i < halves.length; i++) {
    const half = halves[i]!;
    const sign = (half & 0x8000) << 16;
    const exponent = (half >> 10) & 31;
    const mantissa = half & 1023;
    if (exponent === 31) words[i] = sign | 0x7f80_0000 | (mantissa << 13);
    else if (exponent > 0) words[i] = sign | ((exponent + 112) << 23) | (mantissa << 13);
    else words[i] = sign | subnormal(mantissa);
  }
  return new Uint8Array(words.buffer, 0, words.byteLength);
}

/** mantissa · 2⁻²⁴ as float32, where its first bit has a place in the exponent. */
function subnormal(mantissa: number): number {
  if (mantissa === 0) return 0;
  const shift = Math.clz32(mantissa) - 21;
  return ((113 - shift) << 23) | (((mantissa << shift) & 1023) << 13);
}
