import { rowsOfPanels } from "@paligemma/backend";
import type { GemmaConfig } from "@paligemma/config";
import {
  buildGraph,
  cast,
  checkpointWeights,
  concat,
  FED_INPUT,
  FED_SCALES,
  fedWeights,
  gather,
  reshape,
  type GraphModel,
  type Port,
  type Target,
  type Weights,
  type Graph,
} from "@paligemma/graph";
import type { Checkpoint } from "@paligemma/weights";
import { insertImages, positionFirstCache, type DecoderGraphOptions } from "./decoder-graph.ts";
import { embedTokens, GEMMA_PREFIX, gemmaRotary, partOfScores, tokenScores } from "./ends.ts";
import { gemma } from "./network.ts";

// The decoder in parts, for many rows: what is before the layers, one graph for all layers, which is fed their weights, and the output
// layer, some rows of it at a time. They are fed as `gemmaGraph` is, and give what it gives.

/** Rows of all texts together, as the parts hand them to each other: [batch · tokens, hidden size]. */
const ROWS = "batch*tokens";
const GRID = ["batch", "tokens"] as const;

/** `input_ids`, those of images, and `position_ids` → `x` [batch · tokens, hidden size], and `cos` and `sin` of the positions. */
export function beginGraph(
  config: GemmaConfig,
  target: Target,
  checkpoint: Checkpoint,
  { images = false }: Pick<DecoderGraphOptions, "images">,
): GraphModel {
  return buildGraph("gemma, before the layers", target, (g) => {
    const ids = g.input("input_ids", "int64", GRID);
    const embedded = embedTokens(ids, checkpointWeights(g, checkpoint).at(GEMMA_PREFIX), config);
    const x = images ? insertImages(embedded, config, GRID) : embedded;
    const { cos, sin } = gemmaRotary(g.input("position_ids", "int64", GRID), config);
    return { x: cast(reshape(x, [ROWS, config.hiddenSize]), "float32"), cos, sin };
  });
}

/**
 * One layer: `x`, `position_ids`, `cos` and `sin`, `mask` and what the cache has of the layer, `past.0.key` and `past.0.value`, → `next`, what
 * comes of the rows `asked_rows` of `x`, [asked, hidden size], and `present.0.key` and `present.0.value` of all. Weights are inputs
 * (`fedWeights`), called as those of layer 0 below `language_model.model`.
 */
export function layerGraph(config: GemmaConfig, target: Target): GraphModel {
  // The mask that is fed is the one of the layer.
  const one: GemmaConfig = { ...config, numHiddenLayers: 1, layerTypes: ["full_attention"] };
  return buildGraph(
    "gemma, a layer",
    target,
    (g) => {
      const x = g.input("x", "float32", [ROWS, config.hiddenSize]);
      const positions = g.input("position_ids", "int64", GRID);
      const mask = g.input("mask", target.compute, ["batch", 1, "tokens", "total"]);
      const cache = positionFirstCache(g, one, "batch");
      const angles = [...GRID, config.headDim / 2];
      const rows = g.input("asked_rows", "int64", ["asked"]);
      const y = gemma(x, panelWeights(g), one, {
        asked: (some) => gather(some, rows),
        grid: GRID,
        positions,
        rotary: {
          cos: g.input("cos", target.compute, angles),
          sin: g.input("sin", target.compute, angles),
        },
        mask,
        slidingMask: mask,
        remember: cache.remember,
      });
      return { next: y, ...cache.outputs };
    },
    { many: [ROWS, "asked"] },
  );
}

/**
 * `hidden` [asked, hidden size] and `scored_rows` of it → `scores` [scored, tokens] of the tokens whose rows are fed, part after part, or
 * of all where none are.
 */
export function scoresGraph(
  config: GemmaConfig,
  target: Target,
  checkpoint: Checkpoint,
  { hosts, together }: { readonly hosts: readonly unknown[]; readonly together: number },
  { finalSoftcap = false }: Pick<DecoderGraphOptions, "finalSoftcap">,
): GraphModel {
  return buildGraph(
    "gemma, scores of a part",
    target,
    (g) => {
      const hidden = g.input("hidden", "float32", ["asked", config.hiddenSize]);
      const scored = gather(hidden, g.input("scored_rows", "int64", ["scored"]));
      const root = checkpointWeights(g, checkpoint);
      if (hosts.length === 0) return { scores: tokenScores(scored, root, config, finalSoftcap) };
      const shape = [together / hosts.length, config.hiddenSize] as const;
      const fed = panelWeights(g);
      const scores = hosts.map((_, i) =>
        partOfScores(scored, fed.quantized(headPart(i), shape)!, root, config, finalSoftcap),
      );
      return { scores: scores.length === 1 ? scores[0]! : concat(scores, 1) };
    },
    { many: hosts.length > 0 ? ["scored"] : [] },
  );
}

/** The input for a part of the output layer. */
export function headInput(part: number): string {
  return `${FED_INPUT}${headPart(part)}`;
}

function headPart(part: number): string {
  return `head.${part}`;
}

/** A weight that a layer is fed: the input, and the tensor's name with the layer left open. */
export interface FedWeight {
  readonly input: string;
  readonly nameIn: (layer: number) => string;
  readonly shape: readonly number[];
}

/** The matrices [out, in] and the vectors that a graph is fed. */
export function fedBy({ inputs }: GraphModel): {
  readonly matrices: readonly (FedWeight & { readonly shape: readonly [number, number] })[];
  readonly vectors: readonly FedWeight[];
} {
  const fed = inputs.filter(({ name }) => name.startsWith(FED_INPUT) && !name.endsWith(FED_SCALES));
  const weight = ({ name, shape }: Port): FedWeight => {
    const below = name.slice(FED_INPUT.length).replace(/^layers\.0\./, "");
    return { input: name, nameIn: (layer) => `${GEMMA_PREFIX}.layers.${layer}.${below}`, shape: shape.map(Number) };
  };
  return {
    matrices: fed
      .filter(({ dtype }) => dtype === "int8")
      .map((port) => {
        const [panels, width, rows] = port.shape as readonly [number, number, number];
        return { ...weight(port), shape: [panels * rows, width] as const };
      }),
    vectors: fed.filter(({ dtype }) => dtype !== "int8").map(weight),
  };
}

function panelWeights(g: Graph): Weights {
  // Whoever asks has checked that there are panels for every matrix.
  return fedWeights(g, (shape) => rowsOfPanels(shape) ?? shape[0]);
}
