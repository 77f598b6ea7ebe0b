/**
 * Largest sizes that a configuration may ask for. Each is far above every released model (in brackets), and low enough that
 * nothing built from an accepted configuration can exhaust a machine by its mere description.
 */
export const LIMITS = {
  /** Layers of either network [46]: a graph is built layer by layer. */
  layers: 512,
  /** Widths of hidden states and feed-forward layers [36,864]. */
  width: 262_144,
  /** Attention heads [32]. */
  heads: 1024,
  /** Width of one head [256]. */
  headDim: 4096,
  /** Rows of the token table, and so the largest token id plus one [257,216]. */
  vocabulary: 2_097_152,
  /** Positions of a sequence [8,192]. */
  positions: 16_777_216,
  /** Pixels per side of an image [896]. */
  imageSize: 16_384,
  /** Tokens of one image [4,096]: attention in the vision encoder takes the square of it. */
  imageTokens: 65_536,
  /** Colour channels of an image [3]. */
  channels: 64,
  /** Ids that end a text [2]. */
  endIds: 64,
} as const;
