/** A tensor of big_vision and the released tensors it holds. */
export interface LayoutRow {
  /** Name in the npz, below `params/`. */
  readonly npz: string;
  /** Released name; "{i}" is the layer where the npz stacks the layers along its first axis. */
  readonly released: string;
  /**
   * Axes of the npz (without the stacked one) → axes of the released tensor: "N D H -> (N H) D" moves axes and joins those in
   * brackets. "_" is an axis of length 1, "@0" and "@1" are the two halves of an axis of length 2.
   */
  readonly axes: string;
  readonly stacked?: "vision" | "text";
  /** Only in one of the two decoders. */
  readonly only?: "gemma" | "gemma2";
}

const VISION = "vision_tower.vision_model";
const BLOCK = "img/Transformer/encoderblock";
const ENCODER = `${VISION}.encoder.layers.{i}`;
const ATTENTION = "MultiHeadDotProductAttention_0";
const DECODER = "language_model.model.layers.{i}";

function layerNorm(npz: string, released: string): readonly LayoutRow[] {
  const stacked = released.includes("{i}") ? ({ stacked: "vision" } as const) : {};
  return [
    { npz: `${npz}/scale`, released: `${released}.weight`, axes: "D -> D", ...stacked },
    { npz: `${npz}/bias`, released: `${released}.bias`, axes: "D -> D", ...stacked },
  ];
}

function attention(npz: string, released: string): readonly LayoutRow[] {
  return [
    {
      npz: `${BLOCK}/${ATTENTION}/${npz}/kernel`,
      released: `${ENCODER}.self_attn.${released}.weight`,
      axes: "D N H -> (N H) D",
      stacked: "vision",
    },
    {
      npz: `${BLOCK}/${ATTENTION}/${npz}/bias`,
      released: `${ENCODER}.self_attn.${released}.bias`,
      axes: "N H -> (N H)",
      stacked: "vision",
    },
  ];
}

function norm(npz: string, released: string, only?: "gemma" | "gemma2"): LayoutRow {
  return {
    npz: `llm/layers/${npz}/scale`,
    released: `${DECODER}.${released}.weight`,
    axes: "D -> D",
    stacked: "text",
    ...(only ? { only } : {}),
  };
}

/**
 * Where every tensor of a PaliGemma lies in big_vision's checkpoints, as the released conversion scripts have it. Axes: D width,
 * N heads, K heads of keys and values, H width of a head, F width of the feed-forward layer, P patches, V tokens; h w c of a patch.
 *
 * A trap: in Gemma 1 `post_attention_layernorm` is the norm before the feed-forward layer; in Gemma 2 it is what it says.
 */
export const LAYOUT: readonly LayoutRow[] = [
  { npz: "img/embedding/kernel", released: `${VISION}.embeddings.patch_embedding.weight`, axes: "h w c D -> D c h w" },
  { npz: "img/embedding/bias", released: `${VISION}.embeddings.patch_embedding.bias`, axes: "D -> D" },
  { npz: "img/pos_embedding", released: `${VISION}.embeddings.position_embedding.weight`, axes: "_ P D -> P D" },
  ...layerNorm(`${BLOCK}/LayerNorm_0`, `${ENCODER}.layer_norm1`),
  ...attention("query", "q_proj"),
  ...attention("key", "k_proj"),
  ...attention("value", "v_proj"),
  {
    npz: `${BLOCK}/${ATTENTION}/out/kernel`,
    released: `${ENCODER}.self_attn.out_proj.weight`,
    axes: "N H D -> D (N H)",
    stacked: "vision",
  },
  {
    npz: `${BLOCK}/${ATTENTION}/out/bias`,
    released: `${ENCODER}.self_attn.out_proj.bias`,
    axes: "D -> D",
    stacked: "vision",
  },
  ...layerNorm(`${BLOCK}/LayerNorm_1`, `${ENCODER}.layer_norm2`),
  {
    npz: `${BLOCK}/MlpBlock_0/Dense_0/kernel`,
    released: `${ENCODER}.mlp.fc1.weight`,
    axes: "D F -> F D",
    stacked: "vision",
  },
  { npz: `${BLOCK}/MlpBlock_0/Dense_0/bias`, released: `${ENCODER}.mlp.fc1.bias`, axes: "F -> F", stacked: "vision" },
  {
    npz: `${BLOCK}/MlpBlock_0/Dense_1/kernel`,
    released: `${ENCODER}.mlp.fc2.weight`,
    axes: "F D -> D F",
    stacked: "vision",
  },
  { npz: `${BLOCK}/MlpBlock_0/Dense_1/bias`, released: `${ENCODER}.mlp.fc2.bias`, axes: "D -> D", stacked: "vision" },
  ...layerNorm("img/Transformer/encoder_norm", `${VISION}.post_layernorm`),
  { npz: "img/head/kernel", released: "multi_modal_projector.linear.weight", axes: "D O -> O D" },
  { npz: "img/head/bias", released: "multi_modal_projector.linear.bias", axes: "O -> O" },
  { npz: "llm/embedder/input_embedding", released: "language_model.model.embed_tokens.weight", axes: "V D -> V D" },
  norm("pre_attention_norm", "input_layernorm"),
  {
    npz: "llm/layers/attn/q_einsum/w",
    released: `${DECODER}.self_attn.q_proj.weight`,
    axes: "N D H -> (N H) D",
    stacked: "text",
  },
  {
    npz: "llm/layers/attn/kv_einsum/w",
    released: `${DECODER}.self_attn.k_proj.weight`,
    axes: "@0 K D H -> (K H) D",
    stacked: "text",
  },
  {
    npz: "llm/layers/attn/kv_einsum/w",
    released: `${DECODER}.self_attn.v_proj.weight`,
    axes: "@1 K D H -> (K H) D",
    stacked: "text",
  },
  {
    npz: "llm/layers/attn/attn_vec_einsum/w",
    released: `${DECODER}.self_attn.o_proj.weight`,
    axes: "N H D -> D (N H)",
    stacked: "text",
  },
  norm("pre_ffw_norm", "post_attention_layernorm", "gemma"),
  norm("post_attention_norm", "post_attention_layernorm", "gemma2"),
  norm("pre_ffw_norm", "pre_feedforward_layernorm", "gemma2"),
  norm("post_ffw_norm", "post_feedforward_layernorm", "gemma2"),
  {
    npz: "llm/layers/mlp/gating_einsum",
    released: `${DECODER}.mlp.gate_proj.weight`,
    axes: "@0 D F -> F D",
    stacked: "text",
  },
  {
    npz: "llm/layers/mlp/gating_einsum",
    released: `${DECODER}.mlp.up_proj.weight`,
    axes: "@1 D F -> F D",
    stacked: "text",
  },
  { npz: "llm/layers/mlp/linear", released: `${DECODER}.mlp.down_proj.weight`, axes: "F D -> D F", stacked: "text" },
  { npz: "llm/final_norm/scale", released: "language_model.model.norm.weight", axes: "D -> D" },
];

/** `axes` taken apart. */
export interface Axes {
  /** Axes of the npz that have more than one place: letters, in their order. */
  readonly npz: readonly string[];
  /** Axes of the released tensor, each a letter or several that are joined. */
  readonly released: readonly (readonly string[])[];
  /** Which half of the first axis, where that has two. */
  readonly half: 0 | 1 | undefined;
  /** Whether the first axis has length 1. */
  readonly single: boolean;
}

/** Reads "N D H -> (N H) D". */
export function parseAxes(axes: string): Axes {
  const [left = "", right = ""] = axes.split(" -> ");
  const first = left.split(" ")[0]!;
  return {
    npz: left.split(" ").filter((letter) => !/^[_@]/.test(letter)),
    released: [...right.matchAll(/\(([^)]*)\)|(\S+)/g)].map(([, joined, one]) => (joined ?? one!).split(" ")),
    half: first === "@0" ? 0 : first === "@1" ? 1 : undefined,
    single: first === "_",
  };
}
