import { PaliGemmaError, nearest, sizeOf } from "@paligemma/core";

// The VQ-VAE of "All in Tokens" (https://arxiv.org/abs/2301.02229), retrained by the PaliGemma authors on OpenImages.
// Layout: the arrays of gs://big_vision/paligemma/vae-oid.npz, in PyTorch order (convolutions [out, in, height, width],
// transposed convolutions [in, out, height, width]).

/** Width and height of a coded mask. */
export const RASTER_SIDE = 64;
/** Codes of one mask: a grid of 4 × 4, row by row. */
export const CODES_PER_MASK = 16;
/** How many different codes there are. */
export const CODE_COUNT = 128;
/** SHA-256 of the official `vae-oid.npz`. Source: the Git LFS pointers of copies on the Hub. */
export const OFFICIAL_SHA256 = "5586010257b8536dddefab65e7755077f21d5672d5674dacf911f73ae95a4447";

/** A float32 array of the codec. */
export interface CodecTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** The codec's arrays by their official names. */
export type CodecTensors = ReadonlyMap<string, CodecTensor>;

type Shapes = Readonly<Record<string, readonly number[]>>;

function convolution(name: string, weight: readonly number[], outputs: number): Shapes {
  return { [`${name}.weight`]: weight, [`${name}.bias`]: [outputs] };
}

function residual(name: string): Shapes {
  return {
    ...convolution(`${name}.net.0`, [128, 128, 3, 3], 128),
    ...convolution(`${name}.net.2`, [128, 128, 3, 3], 128),
    ...convolution(`${name}.net.4`, [128, 128, 1, 1], 128),
  };
}

/** What decoding needs. */
export const DECODER_SHAPES: Shapes = {
  "_vq_vae._embedding": [CODE_COUNT, 512],
  ...convolution("decoder.0", [128, 512, 1, 1], 128),
  ...residual("decoder.2"),
  ...residual("decoder.3"),
  ...convolution("decoder.4", [128, 128, 4, 4], 128),
  ...convolution("decoder.6", [128, 64, 4, 4], 64),
  ...convolution("decoder.8", [64, 32, 4, 4], 32),
  ...convolution("decoder.10", [32, 16, 4, 4], 16),
  ...convolution("decoder.12", [1, 16, 1, 1], 1),
};

/** What encoding needs besides the codebook. */
export const ENCODER_SHAPES: Shapes = {
  ...convolution("encoder.0", [16, 1, 4, 4], 16),
  ...convolution("encoder.2", [32, 16, 4, 4], 32),
  ...convolution("encoder.4", [64, 32, 4, 4], 64),
  ...convolution("encoder.6", [128, 64, 4, 4], 128),
  ...residual("encoder.8"),
  ...residual("encoder.9"),
  ...convolution("encoder.10", [512, 128, 1, 1], 512),
};

/** Left over from training; may be absent. */
export const TRAINING_SHAPES: Shapes = {
  "_vq_vae._ema_cluster_size": [CODE_COUNT],
  "_vq_vae._ema_w": [CODE_COUNT, 512],
};

/** All 49 arrays of the official file. */
export const CODEC_SHAPES: Shapes = { ...TRAINING_SHAPES, ...DECODER_SHAPES, ...ENCODER_SHAPES };

/**
 * True where the arrays hold the encoder too; false for a decoder alone. Throws `masks/codec` naming every missing,
 * superfluous and misshapen array and every array with a value that is no finite number.
 */
export function checkCodec(tensors: CodecTensors): boolean {
  const hasEncoder = Object.keys(ENCODER_SHAPES).some((name) => tensors.has(name));
  const needed = { ...DECODER_SHAPES, ...(hasEncoder ? ENCODER_SHAPES : {}) };
  const problems: string[] = [];
  for (const name of Object.keys(needed)) if (!tensors.has(name)) problems.push(`${name} is missing`);
  for (const [name, { shape, data }] of tensors) {
    const expected = CODEC_SHAPES[name];
    if (expected === undefined) {
      const meant = nearest(name, Object.keys(CODEC_SHAPES));
      problems.push(`${name} is no array of the codec${meant === undefined ? "" : ` (${meant}?)`}`);
    } else if (shape.join() !== expected.join()) {
      problems.push(`${name} is [${shape.join(", ")}], the codec has [${expected.join(", ")}]`);
    } else if (data.length !== sizeOf(expected) || !data.every(Number.isFinite)) {
      problems.push(
        `${name} holds ${data.length} values, some of them not finite or too few for [${expected.join(", ")}]`,
      );
    }
  }
  if (problems.length === 0) return hasEncoder;
  throw new PaliGemmaError(
    "masks/codec",
    `${problems.slice(0, 60).join("; ")}. Is this the vae-oid.npz of PaliGemma, or a copy with its names?`,
  );
}
