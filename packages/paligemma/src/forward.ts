import type { PaliGemmaConfig } from "@paligemma/config";
import { PaliGemmaError, type NdArray } from "@paligemma/core";
import { formatShape } from "@paligemma/graph";

/** What goes into the model, as `Processor.process` makes it. */
export interface ForwardInputs {
  /** [images, channels, size, size] in −1 … 1, in the order of their blocks of image tokens. */
  readonly pixelValues?: NdArray<"float32">;
  /** [batch, tokens] */
  readonly inputIds: NdArray<"int64">;
  /** [batch, tokens], 0 for padding. Default: no padding. */
  readonly attentionMask?: NdArray<"int64">;
  /** [batch, tokens], 0 for the prefix, 1 for the suffix. Default: 1 where there is a label, else 0. */
  readonly tokenTypeIds?: NdArray<"int64">;
  /** [batch, tokens], −100 for what is not taught. With them comes the loss. */
  readonly labels?: NdArray<"int64">;
}

/** What to hand out. */
export interface ForwardOptions {
  /**
   * Positions to give logits of: the last k of each row, or these. Default: all, which is 1 MB per position for the
   * released vocabulary.
   */
  readonly logitsToKeep?: number | readonly number[];
  readonly signal?: AbortSignal;
}

/** What came out. */
export interface ForwardOutputs {
  /** [batch, kept, vocabulary] */
  readonly logits: NdArray<"float32">;
  /** Mean cross-entropy in nats over all labels of the batch; only with labels. */
  readonly loss?: number;
}

/** How many pictures `pixels` are, and the shape and length of one. Throws `paligemma/pixels` where they are not the model's. */
export function checkPixels(
  pixels: NdArray<"float32">,
  { vision: { numChannels, imageSize } }: PaliGemmaConfig,
): { readonly images: number; readonly picture: readonly number[]; readonly size: number } {
  const [images = 0, ...picture] = pixels.shape;
  const size = numChannels * imageSize * imageSize;
  if (picture.join() === [numChannels, imageSize, imageSize].join() && images > 0) return { images, picture, size };
  throw new PaliGemmaError(
    "paligemma/pixels",
    `pixelValues are ${formatShape(pixels.shape)}, this checkpoint takes [images, ${numChannels}, ${imageSize}, ${imageSize}]; prepare pictures with its own processor`,
  );
}

/** Token types [batch, tokens] that labels imply: 1 where something is taught. */
export function typesOf(labels: NdArray<"int64">): NdArray<"int64"> {
  return { ...labels, data: labels.data.map((label) => (label === -100n ? 0n : 1n)) };
}

/** Rows of [batch · tokens] whose logits are handed out. */
export function keptRows(
  [batch = 0, tokens = 0]: readonly number[],
  keep: number | readonly number[],
): readonly number[] {
  const last = typeof keep === "number" && keep > 0 ? keep : tokens;
  const positions =
    typeof keep === "number"
      ? Array.from({ length: Math.min(last, tokens) }, (_, i) => tokens - Math.min(last, tokens) + i)
      : keep;
  const wrong = positions.find((p) => !Number.isInteger(p) || p < 0 || p >= tokens);
  if (wrong !== undefined || (typeof keep === "number" && (keep < 0 || !Number.isInteger(keep)))) {
    throw new PaliGemmaError(
      "paligemma/logits",
      `logitsToKeep ${String(wrong ?? keep)} is no position of a prompt of ${tokens} tokens`,
    );
  }
  return Array.from({ length: batch }, (_, b) => positions.map((p) => b * tokens + p)).flat();
}
