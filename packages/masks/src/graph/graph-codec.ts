import type { Backend, Session } from "@paligemma/backend";
import { ndArray } from "@paligemma/core";
import { memorySource, openSafetensors, type Checkpoint } from "@paligemma/weights";
import { checkCodes, joinRasters, noEncoder } from "../codec.ts";
import { CODES_PER_MASK, RASTER_SIDE, checkCodec, type CodecTensors } from "../codec-layout.ts";
import { writeSafetensors } from "../codec-files.ts";
import { maskDecoderGraph, maskEncoderGraph } from "./network.ts";

/** The mask codec on a backend. The caller disposes it; the backend stays the caller's. Calls may overlap. */
export interface GraphCodec extends AsyncDisposable {
  /** False for arrays of the decoder alone. */
  readonly canEncode: boolean;
  /** As `MaskCodec.decode`: a raster of 64 × 64 values per list of 16 codes. */
  decode(codes: readonly (readonly number[])[]): Promise<Float32Array[]>;
  /** As `MaskCodec.encode`: 16 codes per raster. */
  encode(rasters: readonly Float32Array[]): Promise<number[][]>;
  /** As `MaskCodec.encodeFeatures`: [masks, 16, 512]. */
  encodeFeatures(rasters: readonly Float32Array[]): Promise<Float32Array>;
  dispose(): Promise<void>;
}

/** Masks of one run: a batch of the decoder's largest layer holds 16 MB. */
const MASKS_AT_ONCE = 64;
const PIXELS = RASTER_SIDE ** 2;

/**
 * The codec of the given arrays (`LoadedMaskCodec.tensors`) as graphs on a backend. Each direction is compiled when it is
 * first needed. Throws `masks/codec` as `createMaskCodec` does.
 */
export function createGraphCodec(tensors: CodecTensors, backend: Backend): GraphCodec {
  const canEncode = checkCodec(tensors);
  const sessions = new Map<string, Promise<Session>>();
  let checkpoint: Promise<Checkpoint> | undefined;

  const session = (direction: "decode" | "encode"): Promise<Session> => {
    const known = sessions.get(direction);
    if (known) return known;
    checkpoint ??= openSafetensors(memorySource(writeSafetensors(tensors), "mask codec"));
    const graph = direction === "decode" ? maskDecoderGraph : maskEncoderGraph;
    const made = checkpoint.then((opened) => backend.compile(graph(backend.target, opened)));
    sessions.set(direction, made);
    made.catch(() => sessions.delete(direction)); // asked again, it is tried again
    return made;
  };

  async function encode(rasters: readonly Float32Array[], output: "codes" | "features"): Promise<ArrayLike<unknown>[]> {
    if (!canEncode) throw noEncoder();
    const joined = joinRasters(rasters);
    if (rasters.length === 0) return [];
    const opened = await session("encode");
    const parts: ArrayLike<unknown>[] = [];
    for (let start = 0; start < rasters.length; start += MASKS_AT_ONCE) {
      const data = joined.slice(start * PIXELS, (start + MASKS_AT_ONCE) * PIXELS);
      const feed = ndArray("float32", [data.length / PIXELS, RASTER_SIDE, RASTER_SIDE], data);
      parts.push((await opened.run({ rasters: feed }, { host: [output] })).host[output]!.data);
    }
    return parts;
  }

  const dispose = async (): Promise<void> => {
    const all = [...sessions.values()];
    sessions.clear();
    for (const each of await Promise.allSettled(all)) if (each.status === "fulfilled") await each.value.dispose();
  };
  return {
    canEncode,
    async decode(codes) {
      checkCodes(codes);
      if (codes.length === 0) return [];
      const opened = await session("decode");
      const rasters: Float32Array[] = [];
      for (let start = 0; start < codes.length; start += MASKS_AT_ONCE) {
        const batch = codes.slice(start, start + MASKS_AT_ONCE);
        const data = BigInt64Array.from(batch.flat(), BigInt);
        const feed = ndArray("int64", [batch.length, CODES_PER_MASK], data);
        const made = (await opened.run({ codes: feed }, { host: ["rasters"] })).host["rasters"]!.data as Float32Array;
        for (let mask = 0; mask < batch.length; mask++) rasters.push(made.slice(mask * PIXELS, (mask + 1) * PIXELS));
      }
      return rasters;
    },
    async encode(rasters) {
      const cells = (await encode(rasters, "codes")).flatMap((part) => Array.from(part, Number));
      return rasters.map((_, mask) => cells.slice(mask * CODES_PER_MASK, (mask + 1) * CODES_PER_MASK));
    },
    async encodeFeatures(rasters) {
      const parts = (await encode(rasters, "features")) as Float32Array[];
      const joined = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
      let at = 0;
      for (const part of parts) {
        joined.set(part, at);
        at += part.length;
      }
      return joined;
    },
    dispose,
    [Symbol.asyncDispose]: dispose,
  };
}
