import { PaliGemmaError, unknownKeys } from "@paligemma/core";
import {
  canonicalNames,
  castTensor,
  findQuantized,
  panelRows,
  type Checkpoint,
  type QuantizedFormat,
  type TensorRef,
} from "@paligemma/weights";
import { momentCount } from "./feedback.ts";
import { BLOCK_SIZES, quantizeMatrix, type OnFitted } from "./matrix.ts";

/** What a decoder's matrices become. "mixed" has the gated perceptron in 4 bits, which are most of the numbers, and the rest in 8. */
export type QuantizedDType = "int8" | "int4" | "mixed";

/** All of them. */
export const QUANTIZED_DTYPES: readonly QuantizedDType[] = ["int8", "int4", "mixed"];

/** What SigLIP and the projector of a quantised checkpoint can be. */
export type VisionFormat = "float32" | "keep" | "int8" | "int4";

/** All of them. */
export const VISION_FORMATS: readonly VisionFormat[] = ["float32", "keep", "int8", "int4"];

/** What they are when nothing is said. */
export const DEFAULT_VISION: VisionFormat = "float32";

/** How to quantise a checkpoint. */
export interface QuantizeOptions {
  readonly dtype: QuantizedDType;
  /**
   * Numbers that share a scale: 16, 32, 64, 128 or 256. Default 64 for 4 bits; in 8 bits a whole row, which is ready to be
   * multiplied with as it lies in the file, and 128 where there are zero points. A matrix whose rows would be filled up by more than an
   * eighth takes half of it, until they fit.
   */
  readonly blockSize?: number;
  /** Give each block a zero point of its own: larger and slower, for weights that lie to one side of 0. Default false. */
  readonly zeroPoints?: boolean;
  /**
   * What SigLIP and the projector become. Default "float32": the same numbers as a processor computes with them, there at once when the
   * bundle is loaded. "keep" leaves half precision as it is: half the bytes, which every load has to convert.
   */
  readonly vision?: VisionFormat;
  /** The output layer is the token table, and a copy of it is left out. Default true, as in every released checkpoint. */
  readonly tied?: boolean;
  /**
   * Second moments E[x xᵀ] of what the columns of matrices are multiplied with, by the matrix's released name, as `calibrate` of
   * `paligemma` measures them: [⌈in / 128⌉, 128, 128], for 128 columns at a time. Rounding then keeps products right, not
   * weights. Matrices without, and the token table that is looked up as well, are rounded each number for itself.
   */
  readonly moments?: ReadonlyMap<string, Float32Array>;
}

/** One matrix of a quantised checkpoint. */
export interface QuantizedMatrix {
  /** Released spelling of its name. */
  readonly name: string;
  /** [out, in] */
  readonly shape: readonly number[];
  readonly bits: 4 | 8;
  readonly blockSize: number;
  readonly zeroPoints: boolean;
}

/** A checkpoint to be written; nothing was read yet. */
export interface QuantizedCheckpoint {
  /** All tensors: matrices in their parts, everything else with the numbers that it had, in float32. */
  readonly tensors: readonly TensorRef[];
  readonly matrices: readonly QuantizedMatrix[];
}

const KNOWN = [
  "dtype",
  "blockSize",
  "zeroPoints",
  "vision",
  "tied",
  "moments",
] as const satisfies readonly (keyof QuantizeOptions)[];
const DEFAULT_BLOCK = { 4: 64, 8: 128 } as const;
/** Share of a row that may be padding. */
const MOST_PADDING = 1 / 8;

const HEAD = "language_model.lm_head.weight";
const TABLE = "language_model.model.embed_tokens.weight";
const ATTENTION = /^language_model\.model\.layers\.\d+\.self_attn\.[qkvo]_proj\.weight$/;
const PERCEPTRON = /^language_model\.model\.layers\.\d+\.mlp\.(?:gate|up|down)_proj\.weight$/;
const VISION =
  /^(?:vision_tower\.vision_model\.encoder\.layers\.\d+\.(?:self_attn\.(?:[qkv]|out)_proj|mlp\.fc[12])|multi_modal_projector\.linear)\.weight$/;

/** All that SigLIP and the projector have, vectors included. */
const OF_VISION = /^(?:vision_tower|multi_modal_projector)\./;

/** What becomes of one tensor of a checkpoint. */
export interface PlannedTensor {
  /** Under its released name; in the format that it is written in where it is not quantised. */
  readonly ref: TensorRef;
  /** As the checkpoint has it, where that is another. */
  readonly from?: TensorRef;
  /** Absent where it stays as it is. */
  readonly format?: QuantizedFormat;
  readonly moments?: Float32Array;
}

/** What becomes of the tensors of a checkpoint, in its order. Throws as `quantizeCheckpoint` does. */
export function planCheckpoint(checkpoint: Checkpoint, options: QuantizeOptions): readonly PlannedTensor[] {
  checkOptions(options);
  const { tied = true, zeroPoints = false, vision = DEFAULT_VISION, moments } = options;
  const named = canonicalNames(checkpoint);
  const planned = [...named.tensors.values()]
    .filter(({ name }) => !(tied && name === HEAD))
    .map((ref): PlannedTensor => {
      const bits = bitsFor(ref.name, options);
      if (bits === undefined) {
        const half = ref.dtype === "bfloat16" || ref.dtype === "float16";
        const isCast = half && (vision !== "keep" || !OF_VISION.test(ref.name));
        return isCast ? { ref: castTensor(ref, "float32"), from: ref } : { ref };
      }
      const own = ref.name === TABLE ? undefined : moments?.get(ref.name);
      if (own) checkMoments(ref, own);
      return {
        ref,
        format: { bits, blockSize: blockSizeFor(ref, bits, options), zeroPoints },
        ...(own && { moments: own }),
      };
    });
  if (planned.some(({ format }) => format)) return planned;
  throw new PaliGemmaError(
    "quantization/nothing",
    findQuantized(named, TABLE)
      ? "the checkpoint is quantised already; start from the one it was made from"
      : `none of ${named.tensors.size} tensors is a matrix of PaliGemma, such as ${TABLE}; is it a checkpoint of another model?`,
  );
}

/** The matrices among planned tensors. */
export function plannedMatrices(planned: readonly PlannedTensor[]): readonly QuantizedMatrix[] {
  return planned.flatMap(({ ref: { name, shape }, format }) => (format ? [{ name, shape, ...format }] : []));
}

/**
 * The tensors of a checkpoint under released names, its matrices in 4 or 8 bits, computed while they are read. Norms, biases
 * and whatever else is no matrix of a linear layer keep their numbers, in float32: hundreds of small tensors in half precision take longer to
 * be converted than a model takes to load. Throws `quantization/option`, and
 * `quantization/nothing` where no matrix has a name of PaliGemma or all are quantised already.
 */
export function quantizeCheckpoint(
  checkpoint: Checkpoint,
  options: QuantizeOptions,
  onFitted?: OnFitted,
): QuantizedCheckpoint {
  const planned = planCheckpoint(checkpoint, options);
  const tensors = planned.flatMap(({ ref, format, moments }) =>
    format ? quantizeMatrix(ref, format, { ...(onFitted && { onFitted }), ...(moments && { moments }) }) : [ref],
  );
  return { tensors, matrices: plannedMatrices(planned) };
}

function checkMoments({ name, shape }: TensorRef, moments: Float32Array): void {
  const needed = momentCount(shape[1] ?? 0);
  if (moments.length === needed && moments.every((x) => Number.isFinite(x))) return;
  throw new PaliGemmaError(
    "quantization/option",
    `moments of ${name} are ${moments.length} numbers; needed are ${needed}, all finite`,
  );
}

function bitsFor(name: string, { dtype, vision }: QuantizeOptions): QuantizedFormat["bits"] | undefined {
  if (VISION.test(name)) return vision === "int4" ? 4 : vision === "int8" ? 8 : undefined;
  if (PERCEPTRON.test(name)) return dtype === "int8" ? 8 : 4;
  if (ATTENTION.test(name) || name === TABLE || name === HEAD) return dtype === "int4" ? 4 : 8;
  return undefined;
}

function blockSizeFor({ shape }: TensorRef, bits: 4 | 8, options: QuantizeOptions): number {
  const width = shape[1] ?? 0;
  const { blockSize, zeroPoints } = options;
  const whole = { bits, blockSize: width, zeroPoints: zeroPoints ?? false };
  if (blockSize === undefined && panelRows(whole, [shape[0] ?? 0, width]) !== undefined) return width;
  let size = options.blockSize ?? DEFAULT_BLOCK[bits];
  while (size > BLOCK_SIZES[0]! && (Math.ceil(width / size) * size) / width - 1 > MOST_PADDING) size /= 2;
  return size;
}

/** Throws `quantization/option`, listing every option that is unknown or cannot be meant. */
export function checkOptions(options: QuantizeOptions): void {
  const { dtype, blockSize, zeroPoints, vision, tied, moments } = options;
  const among = (name: string, value: unknown, allowed: readonly unknown[]): string[] =>
    allowed.includes(value) ? [] : [`${name} is ${JSON.stringify(value)}, it may be ${allowed.join(", ")}`];
  const faults = [
    ...unknownKeys(options, KNOWN).map(
      ({ key, meant }) => `${key} is no option${meant ? `; is ${meant} meant?` : ` (${KNOWN.join(", ")})`}`,
    ),
    ...among("dtype", dtype, QUANTIZED_DTYPES),
    ...among("blockSize", blockSize, [undefined, ...BLOCK_SIZES]),
    ...among("zeroPoints", zeroPoints, [undefined, true, false]),
    ...among("vision", vision, [undefined, ...VISION_FORMATS]),
    ...among("tied", tied, [undefined, true, false]),
    ...(moments === undefined || moments instanceof Map ? [] : ["moments must be a Map of Float32Array by matrix"]),
  ];
  if (faults.length > 0) throw new PaliGemmaError("quantization/option", faults.join("; "));
}
