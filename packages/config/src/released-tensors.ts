import { presets, type PresetName } from "./presets.ts";
import type { GemmaConfig, PaliGemmaConfig, SiglipConfig } from "./types.ts";

type Shapes = Map<string, readonly number[]>;

/**
 * Every tensor that a released checkpoint of this configuration has: name → shape, in the released spelling. Linear weights
 * are [out, in]. Untied configurations have `language_model.lm_head.weight` as well.
 */
export function releasedTensors(config: PaliGemmaConfig): ReadonlyMap<string, readonly number[]> {
  const shapes: Shapes = new Map();
  addSiglip(shapes, "vision_tower.vision_model.", config.vision);
  addLinear(shapes, "multi_modal_projector.linear", config.projectionDim, config.vision.hiddenSize);
  addGemma(shapes, "language_model.", config.text);
  return shapes;
}

/** Numbers in all tensors of `releasedTensors`. */
export function parameterCount(config: PaliGemmaConfig): number {
  let count = 0;
  for (const shape of releasedTensors(config).values()) count += shape.reduce((product, n) => product * n, 1);
  return count;
}

/** The released size that has exactly these tensors (released names → shapes), such as those of a file without a `config.json`. */
export function presetOfTensors(shapes: ReadonlyMap<string, readonly number[]>): PresetName | undefined {
  const names = Object.keys(presets) as PresetName[];
  return names.find((name) => {
    const expected = releasedTensors(presets[name]);
    return (
      expected.size === shapes.size &&
      [...expected].every(([tensor, shape]) => shapes.get(tensor)?.join() === shape.join())
    );
  });
}

function addSiglip(shapes: Shapes, at: string, c: SiglipConfig): void {
  const width = c.hiddenSize;
  const patches = Math.floor(c.imageSize / c.patchSize) ** 2;
  shapes.set(`${at}embeddings.patch_embedding.weight`, [width, c.numChannels, c.patchSize, c.patchSize]);
  shapes.set(`${at}embeddings.patch_embedding.bias`, [width]);
  shapes.set(`${at}embeddings.position_embedding.weight`, [patches, width]);
  for (let i = 0; i < c.numHiddenLayers; i++) {
    const layer = `${at}encoder.layers.${i}.`;
    addLayerNorm(shapes, `${layer}layer_norm1`, width);
    for (const name of ["q_proj", "k_proj", "v_proj", "out_proj"])
      addLinear(shapes, `${layer}self_attn.${name}`, width, width);
    addLayerNorm(shapes, `${layer}layer_norm2`, width);
    addLinear(shapes, `${layer}mlp.fc1`, c.intermediateSize, width);
    addLinear(shapes, `${layer}mlp.fc2`, width, c.intermediateSize);
  }
  addLayerNorm(shapes, `${at}post_layernorm`, width);
}

function addGemma(shapes: Shapes, at: string, c: GemmaConfig): void {
  const width = c.hiddenSize;
  const norms =
    c.modelType === "gemma2"
      ? ["input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm"]
      : ["input_layernorm", "post_attention_layernorm"];
  shapes.set(`${at}model.embed_tokens.weight`, [c.vocabSize, width]);
  for (let i = 0; i < c.numHiddenLayers; i++) {
    const layer = `${at}model.layers.${i}.`;
    for (const name of norms) shapes.set(`${layer}${name}.weight`, [width]);
    shapes.set(`${layer}self_attn.q_proj.weight`, [c.numAttentionHeads * c.headDim, width]);
    shapes.set(`${layer}self_attn.k_proj.weight`, [c.numKeyValueHeads * c.headDim, width]);
    shapes.set(`${layer}self_attn.v_proj.weight`, [c.numKeyValueHeads * c.headDim, width]);
    shapes.set(`${layer}self_attn.o_proj.weight`, [width, c.numAttentionHeads * c.headDim]);
    shapes.set(`${layer}mlp.gate_proj.weight`, [c.intermediateSize, width]);
    shapes.set(`${layer}mlp.up_proj.weight`, [c.intermediateSize, width]);
    shapes.set(`${layer}mlp.down_proj.weight`, [width, c.intermediateSize]);
  }
  shapes.set(`${at}model.norm.weight`, [width]);
  if (!c.tieWordEmbeddings) shapes.set(`${at}lm_head.weight`, [c.vocabSize, width]);
}

function addLinear(shapes: Shapes, at: string, out: number, into: number): void {
  shapes.set(`${at}.weight`, [out, into]);
  shapes.set(`${at}.bias`, [out]);
}

function addLayerNorm(shapes: Shapes, at: string, width: number): void {
  shapes.set(`${at}.weight`, [width]);
  shapes.set(`${at}.bias`, [width]);
}
