import type { PaliGemmaConfig } from "@paligemma/config";
import {
  buildGraph,
  checkpointWeights,
  declaredWeights,
  linear,
  reshape,
  type AdapterSlots,
  type GraphModel,
  type Target,
  type Value,
  type Weights,
} from "@paligemma/graph";
import { SIGLIP_PREFIX, siglip } from "@paligemma/siglip";
import type { Checkpoint } from "@paligemma/weights";

/** Where the projector's tensors stand in a checkpoint under its released names. */
export const PROJECTOR_PREFIX = "multi_modal_projector";

/**
 * From pictures to rows of the decoder: SigLIP, then one linear layer. pixels [images, channels, size, size] →
 * [images, patches, hidden]. The rows are not scaled; text embeddings are.
 */
export function imageFeatures(pixels: Value, root: Weights, c: PaliGemmaConfig): Value {
  const features = siglip(pixels, root.at(SIGLIP_PREFIX), c.vision);
  return linear(features, root.at(PROJECTOR_PREFIX, "linear"), c.text.hiddenSize, { bias: true });
}

/** The same as a graph: `pixel_values` → `image_features` [images · patches, hidden]. */
export function visionGraph(
  config: PaliGemmaConfig,
  target: Target,
  checkpoint?: Checkpoint,
  slots?: AdapterSlots,
): GraphModel {
  return buildGraph("vision", target, (g) => {
    const root = checkpoint ? checkpointWeights(g, checkpoint, slots) : declaredWeights(g);
    const { numChannels, imageSize } = config.vision;
    const pixels = g.input("pixel_values", "float32", ["images", numChannels, imageSize, imageSize]);
    return { image_features: reshape(imageFeatures(pixels, root, config), ["images*patches", config.text.hiddenSize]) };
  });
}
