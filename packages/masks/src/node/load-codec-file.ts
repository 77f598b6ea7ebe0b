import { readFile } from "node:fs/promises";
import { PaliGemmaError } from "@paligemma/core";
import { loadMaskCodec, type LoadMaskCodecOptions, type LoadedMaskCodec } from "../load-codec.ts";

/** The mask codec in a local `.npz` or `.safetensors` file; see `loadMaskCodec`. Throws `masks/source`. */
export async function loadMaskCodecFile(path: string, options: LoadMaskCodecOptions = {}): Promise<LoadedMaskCodec> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path, options.signal ? { signal: options.signal } : {});
  } catch (cause) {
    options.signal?.throwIfAborted();
    throw new PaliGemmaError(
      "masks/source",
      `${path} cannot be read; it should be PaliGemma's vae-oid.npz or a safetensors copy of it`,
      { cause },
    );
  }
  return loadMaskCodec(bytes, options);
}
