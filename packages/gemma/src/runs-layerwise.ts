import { requantizable, rowsOfPanels, type Backend } from "@paligemma/backend";
import type { GemmaConfig } from "@paligemma/config";
import { sameShape, type AdapterSlots } from "@paligemma/graph";
import { findQuantized, type Checkpoint, type QuantizedTensor } from "@paligemma/weights";
import { HEAD, headName } from "./ends.ts";
import { fedBy, layerGraph } from "./layer-graphs.ts";

/** Numbers of all layers from which on it is worth it: 2²⁴. A small model runs in the time that its parts take to be started. */
const LARGE_DECODER = 2 ** 24;

/**
 * True where `Layerwise` can run the decoder and is worth it: its matrices in 4 bits, or some of them in panels already, on a device with
 * panels.
 */
export function runsLayerwise(
  config: GemmaConfig,
  { target, requantize }: Backend,
  checkpoint: Checkpoint,
  slots: AdapterSlots | undefined,
): boolean {
  const fed = slots !== undefined && slots.whole.size + slots.lowRank.size > 0;
  if (fed || !requantize || target.compute !== "float32") return false;
  const { hiddenSize, intermediateSize, numHiddenLayers } = config;
  if (3 * hiddenSize * intermediateSize * numHiddenLayers < LARGE_DECODER) return false;
  const { matrices } = fedBy(layerGraph(config, target, true));
  const layers = Array.from({ length: numHiddenLayers }, (_, layer) => layer);
  const found = layers.flatMap((layer) =>
    matrices.map(({ nameIn, shape }) => ({ shape, matrix: findQuantized(checkpoint, nameIn(layer)) })),
  );
  const head = headOf(config, checkpoint);
  return (
    matrices.every(({ shape }) => rowsOfPanels(shape) !== undefined) &&
    (inPanels(head) || fits(head, [config.vocabSize, hiddenSize])) &&
    found.every(({ matrix, shape }) => fits(matrix, shape)) &&
    found.some(({ matrix }) => !inPanels(matrix))
  );
}

/** The output layer, where it is quantised. */
export function headOf(config: GemmaConfig, checkpoint: Checkpoint): QuantizedTensor | undefined {
  const own = `${HEAD}.weight`;
  const hasOwn = checkpoint.tensors.has(own) || findQuantized(checkpoint, own) !== undefined;
  return findQuantized(checkpoint, headName(config, hasOwn));
}

/** True for a matrix of exactly this shape that can become panels. */
function fits(found: QuantizedTensor | undefined, shape: readonly [number, number]): boolean {
  if (!found || !requantizable(found) || !sameShape(found.shape, shape)) return false;
  return !inPanels(found) || found.data.shape[2] === rowsOfPanels(shape);
}

/** True for a matrix that is multiplied with as it lies in its file. */
export function inPanels(found: QuantizedTensor | undefined): boolean {
  return found?.bits === 8 && found.sums !== undefined;
}
