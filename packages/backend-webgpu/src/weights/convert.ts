import { PaliGemmaError, fromFloat32, ndArray, toFloat32, viewAs, type DType } from "@paligemma/core";

/** Bytes of elements in one format as bytes in another; the same bytes where the formats are equal. */
export function convert(bytes: Uint8Array, from: DType, to: DType): Uint8Array {
  if (from === to) return bytes;
  if (from === "bfloat16" && to === "float32") return widen(viewAs("bfloat16", bytes));
  if (to !== "float32" && to !== "float16") {
    throw new PaliGemmaError("backend/dtype", `weights cannot be loaded as ${to}; float32 and float16 are possible`);
  }
  const data = viewAs(from, bytes);
  const wide = toFloat32(ndArray(from, [data.length], data as never));
  const { data: out } = fromFloat32(wide, to);
  return new Uint8Array(out.buffer, out.byteOffset, out.byteLength);
}

/** A bfloat16 is the upper half of a float32. */
function widen(halves: Uint16Array): Uint8Array {
  const words = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) words[i] = halves[i]! << 16;
  return new Uint8Array(words.buffer);
}
