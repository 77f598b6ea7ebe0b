const FLOAT = new Float32Array(1);
const BITS = new Uint32Array(FLOAT.buffer);

/** float32 → bits of the nearest bfloat16, ties to even; NaN stays NaN. */
export function toBfloat16(value: number): number {
  FLOAT[0] = value;
  const u = BITS[0]!;
  if ((u & 0x7fff_ffff) > 0x7f80_0000) return (u >>> 16) | 0x40;
  return ((u + 0x7fff + ((u >>> 16) & 1)) >>> 16) & 0xffff;
}

/** Bits of a bfloat16 → its value, exact. */
export function fromBfloat16(bits: number): number {
  BITS[0] = bits << 16;
  return FLOAT[0]!;
}

/** float32 → bits of the nearest float16, ties to even; beyond 65504 becomes infinity; NaN stays NaN. */
export function toFloat16(value: number): number {
  FLOAT[0] = value;
  const u = BITS[0]!;
  const sign = (u >>> 16) & 0x8000;
  const magnitude = u & 0x7fff_ffff;
  if (magnitude > 0x7f80_0000) return sign | 0x7e00;
  if (magnitude >= 0x4780_0000) return sign | 0x7c00;
  if (magnitude < 0x3300_0000) return sign;
  if (magnitude < 0x3880_0000) {
    // Subnormal: shift the mantissa (with its hidden bit) into place and round.
    const shift = 126 - (magnitude >>> 23);
    const mantissa = (magnitude & 0x7f_ffff) | 0x80_0000;
    const kept = mantissa >>> shift;
    const rest = mantissa & ((1 << shift) - 1);
    const half = 1 << (shift - 1);
    return sign | (kept + (rest > half || (rest === half && (kept & 1) === 1) ? 1 : 0));
  }
  // Rounding may carry into the exponent, up to infinity: that is right.
  const rounded = magnitude - 0x3800_0000 + 0xfff + ((magnitude >>> 13) & 1);
  return sign | (rounded >>> 13);
}

/** Bits of a float16 → its value, exact. */
export function fromFloat16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const mantissa = bits & 1023;
  if (exponent === 0) return sign * mantissa * 2 ** -24;
  if (exponent === 31) return mantissa ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}
