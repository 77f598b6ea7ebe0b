import type { Backend, CompileOptions } from "@paligemma/backend";
import type { SiglipConfig } from "@paligemma/config";
import { PaliGemmaError, type NdArray } from "@paligemma/core";
import {
  buildGraph,
  checkpointWeights,
  declaredWeights,
  formatShape,
  type GraphModel,
  type Target,
} from "@paligemma/graph";
import { canonicalNames, type Checkpoint } from "@paligemma/weights";
import { siglip } from "./network.ts";

/** Where the encoder's tensors stand in a checkpoint under its released names. */
export const SIGLIP_PREFIX = "vision_tower.vision_model";

/**
 * The encoder as a graph: `pixel_values` [images, channels, size, size] → `features` [images, patches, hidden]. Without a
 * checkpoint the weights are declared only: the graph then says which tensors it needs.
 */
export function siglipGraph(config: SiglipConfig, target: Target, checkpoint?: Checkpoint): GraphModel {
  return buildGraph("siglip", target, (g) => {
    const w = checkpoint ? checkpointWeights(g, checkpoint) : declaredWeights(g);
    const { numChannels, imageSize } = config;
    const pixels = g.input("pixel_values", "float32", ["images", numChannels, imageSize, imageSize]);
    return { features: siglip(pixels, w.at(SIGLIP_PREFIX), config) };
  });
}

/** SigLIP alone: pictures in, features out. The caller disposes it; the backend stays the caller's. */
export interface SiglipEncoder extends AsyncDisposable {
  readonly config: SiglipConfig;
  /**
   * Pixels [images, channels, size, size] in −1 … 1 → features [images, patches, hidden]. Throws `siglip/pixels` where the
   * size is not the model's (position vectors are not interpolated, as in PaliGemma).
   */
  encode(pixels: NdArray<"float32">, options?: { readonly signal?: AbortSignal }): Promise<NdArray<"float32">>;
  dispose(): Promise<void>;
}

/** What a `SiglipEncoder` is made from: any checkpoint with SigLIP's tensors, in any spelling, PaliGemma's included. */
export interface LoadSiglipOptions extends CompileOptions {
  readonly config: SiglipConfig;
  readonly checkpoint: Checkpoint;
  readonly backend: Backend;
}

/** Compiles the encoder on a backend. */
export async function loadSiglip({
  config,
  checkpoint,
  backend,
  ...compile
}: LoadSiglipOptions): Promise<SiglipEncoder> {
  const session = await backend.compile(siglipGraph(config, backend.target, canonicalNames(checkpoint)), compile);
  const { numChannels, imageSize } = config;
  return {
    config,
    async encode(pixels, options = {}) {
      const [images, ...rest] = pixels.shape;
      if (images === undefined || rest.join() !== [numChannels, imageSize, imageSize].join()) {
        throw new PaliGemmaError(
          "siglip/pixels",
          `pixels are ${formatShape(pixels.shape)}, the encoder takes [images, ${numChannels}, ${imageSize}, ${imageSize}]; resize the pictures first`,
        );
      }
      const { host } = await session.run({ pixel_values: pixels }, { host: ["features"], ...options });
      return host["features"] as NdArray<"float32">;
    },
    dispose: () => session.dispose(),
    [Symbol.asyncDispose]: () => session.dispose(),
  };
}
