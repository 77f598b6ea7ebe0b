import { requantizable, rowsOfPanels, type Backend } from "@paligemma/backend";
import type { GemmaConfig } from "@paligemma/config";
import { sameShape, type AdapterSlots, type GraphModel } from "@paligemma/graph";
import { findQuantized, type Checkpoint, type QuantizedTensor } from "@paligemma/weights";
import { areFed } from "./decoder-graph.ts";
import { headName, ownHead } from "./ends.ts";
import { fedBy, layerGraph, type FedWeight } from "./layer-graphs.ts";

/** Numbers of all layers from which on it is worth it: 2²⁴. A small model runs in the time that its parts take to be started. */
const LARGE_DECODER = 2 ** 24;

/** A matrix that a layer is fed, as it is stored for each layer. */
export interface LayerMatrix {
  readonly input: string;
  readonly shape: readonly [number, number];
  readonly stored: readonly QuantizedTensor[];
}

/** What `Layerwise` runs. */
export interface LayerPlan {
  readonly layer: GraphModel;
  readonly matrices: readonly LayerMatrix[];
  readonly vectors: readonly FedWeight[];
  /** The output layer. */
  readonly head: QuantizedTensor;
}

/**
 * How `Layerwise` runs a decoder, where it can and is worth it: matrices in 4 bits, or some of them in panels already, on a device with
 * panels.
 */
export function planLayers(
  config: GemmaConfig,
  { target, requantize }: Backend,
  checkpoint: Checkpoint,
  slots: AdapterSlots | undefined,
): LayerPlan | undefined {
  if (areFed(slots) || !requantize || target.compute !== "float32") return undefined;
  const { hiddenSize, intermediateSize, numHiddenLayers, vocabSize } = config;
  if (3 * hiddenSize * intermediateSize * numHiddenLayers < LARGE_DECODER) return undefined;
  const layer = layerGraph(config, target);
  const { matrices: fed, vectors } = fedBy(layer);
  const matrices: LayerMatrix[] = [];
  for (const { input, shape, nameIn } of fed) {
    const found = Array.from({ length: numHiddenLayers }, (_, i) => findQuantized(checkpoint, nameIn(i)));
    const stored = found.filter((matrix) => fits(matrix, shape));
    if (stored.length < numHiddenLayers || rowsOfPanels(shape) === undefined) return undefined;
    matrices.push({ input, shape, stored });
  }
  const head = headOf(config, checkpoint);
  if (!head || !(inPanels(head) || fits(head, [vocabSize, hiddenSize]))) return undefined;
  // What is in panels altogether needs none of this.
  return matrices.every(({ stored }) => stored.every(inPanels)) ? undefined : { layer, matrices, vectors, head };
}

/** The output layer, where it is quantised. */
function headOf(config: GemmaConfig, checkpoint: Checkpoint): QuantizedTensor | undefined {
  return findQuantized(checkpoint, headName(config, ownHead(checkpoint)));
}

/** True for a matrix of exactly this shape that can become panels. */
function fits(found: QuantizedTensor | undefined, shape: readonly [number, number]): found is QuantizedTensor {
  if (!found || !requantizable(found) || !sameShape(found.shape, shape)) return false;
  return !inPanels(found) || found.data.shape[2] === rowsOfPanels(shape);
}

/** True for a matrix that is multiplied with as it lies in its file. */
export function inPanels({ sums }: QuantizedTensor): boolean {
  return sums !== undefined;
}
