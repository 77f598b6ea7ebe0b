import { PaliGemmaError } from "@paligemma/core";
import { CODES_PER_MASK, CODE_COUNT, RASTER_SIDE, checkCodec, type CodecTensors } from "./codec-layout.ts";
import { createDecoder } from "./decoder.ts";
import { createEncoder, type Encoded } from "./encoder.ts";
import { createKernel } from "./kernel.ts";

/** What turns mask codes into rasters, at once or on a device; see `MaskCodec` and `createGraphCodec`. */
export interface MaskDecoder {
  /** Rasters of 64 × 64 values in about −1 to 1, inside where positive, one per list of 16 codes. */
  decode(codes: readonly (readonly number[])[]): readonly Float32Array[] | Promise<readonly Float32Array[]>;
}

/** Turns mask codes into rasters and back. Holds about 20 MB, freed when nobody refers to it. */
export interface MaskCodec {
  /** What computes: WebAssembly, or JavaScript where that is not allowed. */
  readonly runtime: "wasm" | "javascript";
  /** False for a file with the decoder alone. */
  readonly canEncode: boolean;
  /** Rasters of 64 × 64 values in about −1 to 1, inside where positive, one per list of 16 codes. Throws `masks/codes`. */
  decode(codes: readonly (readonly number[])[]): Float32Array[];
  /** The 16 codes of each raster of 64 × 64 values in −1 to 1. Throws `masks/raster`, or `masks/encoder` where there is none. */
  encode(rasters: readonly Float32Array[]): number[][];
  /** The encoder's output before it is rounded to codes, [masks, 16, 512], for tests and training. */
  encodeFeatures(rasters: readonly Float32Array[]): Float32Array;
}

/** How to run a codec. */
export interface MaskCodecOptions {
  /** `auto` (default) takes WebAssembly where it may be compiled, else JavaScript: the same numbers, 15 times slower. */
  readonly runtime?: "auto" | "wasm" | "javascript";
}

// Bounds the memory of one call: rasters of 16 KB each.
const MAX_MASKS = 65_536;

/** A codec of the given arrays, by their official names. Throws `masks/codec` for missing, superfluous or misshapen ones. */
export function createMaskCodec(tensors: CodecTensors, options: MaskCodecOptions = {}): MaskCodec {
  const canEncode = checkCodec(tensors);
  const kernel = createKernel(options.runtime);
  // The layers are laid out at the first use: most callers need one direction only.
  let decoder: ReturnType<typeof createDecoder> | undefined;
  let encoder: ReturnType<typeof createEncoder> | undefined;
  const encode = (rasters: readonly Float32Array[]): Encoded => {
    if (!canEncode) throw noEncoder();
    encoder ??= createEncoder(kernel, tensors);
    return encoder(joinRasters(rasters));
  };
  return {
    runtime: kernel.kind,
    canEncode,
    decode: (codes) => {
      checkCodes(codes);
      decoder ??= createDecoder(kernel, tensors);
      const all = decoder(codes);
      return codes.map((_, mask) => all.slice(mask * RASTER_SIDE ** 2, (mask + 1) * RASTER_SIDE ** 2));
    },
    encode: (rasters) => encode(rasters).codes,
    encodeFeatures: (rasters) => encode(rasters).features,
  };
}

/** Throws `masks/codes` for what is no list of 16 codes each. */
export function checkCodes(codes: readonly (readonly number[])[]): void {
  checkCount(codes.length);
  for (const [mask, row] of codes.entries()) {
    const wrong = row.find((code) => !Number.isInteger(code) || code < 0 || code >= CODE_COUNT);
    if (row.length !== CODES_PER_MASK || wrong !== undefined) {
      const what = wrong === undefined ? `${row.length} codes` : `the code ${wrong}`;
      throw new PaliGemmaError(
        "masks/codes",
        `mask ${mask} has ${what}; a mask is ${CODES_PER_MASK} whole numbers from 0 to ${CODE_COUNT - 1}`,
      );
    }
  }
}

/** Rasters one after another, [masks, 64, 64]. Throws `masks/raster`. */
export function joinRasters(rasters: readonly Float32Array[]): Float32Array {
  checkCount(rasters.length);
  const size = RASTER_SIDE ** 2;
  const joined = new Float32Array(rasters.length * size);
  for (const [mask, raster] of rasters.entries()) {
    if (raster.length !== size || !raster.every(Number.isFinite)) {
      throw new PaliGemmaError(
        "masks/raster",
        `raster ${mask} has ${raster.length} values; it takes ${size} finite ones, ${RASTER_SIDE} rows of ${RASTER_SIDE}`,
      );
    }
    joined.set(raster, mask * size);
  }
  return joined;
}

/** The error of codecs with a decoder alone. */
export function noEncoder(): PaliGemmaError {
  return new PaliGemmaError(
    "masks/encoder",
    "this codec has a decoder only; load the whole vae-oid.npz to encode masks",
  );
}

function checkCount(count: number): void {
  if (count > MAX_MASKS)
    throw new PaliGemmaError("masks/count", `${count} masks in one call, at most ${MAX_MASKS}; call several times`);
}
