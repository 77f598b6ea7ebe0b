/** Every tolerance of the project's tests, by what is compared; a test never carries its own number. */
export const TOLERANCES = {
  /** Logits of hf-tiny in float32 against transformers (eager attention): absolute. */
  "hf-tiny/logits": 2e-5,
  /** The same on WebGPU, whose shaders sum in another order: absolute. */
  "hf-tiny/logits, webgpu": 1e-4,
  /** The same in half precision; rounding the weights alone takes 3.8e-3, and transformers in float16 5.5e-3. */
  "hf-tiny/logits, float16": 5e-3,
  /** Loss of hf-tiny in float32: absolute. */
  "hf-tiny/loss": 1e-5,
  /** First-step logits of tiny-shapes in float32: absolute. */
  "tiny-shapes/logits": 1e-3,
  /** Overlap of the embedded model's masks with the truth, at least (issue 8). */
  "tiny-shapes/mask iou": 0.75,
  /** One operator in float32 against a float64 computation in the test: absolute. */
  "operator/float32": 1e-5,
  /** The same in float16, of whose inputs, and sums of convolutions, 11 bits are kept: relative, absolute below 1. */
  "operator/float16": 5e-3,
  /** Decoded AVIF 4:4:4 against Pillow (libheif against libavif): levels of 255. */
  "decode/avif-444": 2,
  /** Decoded AVIF 4:2:0 against Pillow, whose decoder smooths chroma: levels of 255, on saturated stripes. */
  "decode/avif-420": 120,
  /** Colours managed by libvips against ImageCms (both LittleCMS): levels of 255. */
  "decode/icc": 2,
  /** `sequences_scores` of beam search against transformers: relative, absolute below 1. */
  "generation/beam-score": 1e-5,
  /** Transformed scores against transformers, both in float32: relative, absolute below 1. */
  "generation/scores": 2e-6,
  /** Mask codec in float32 against PyTorch, values near 1: absolute. */
  "masks/codec": 1e-5,
  /** Share of a mask that may fall to the other side of its border, whose rasters differ by "masks/codec". */
  "masks/border": 0.01,
  /** Weights of hf-tiny with an adapter merged, in float32 against PEFT: absolute. */
  "adapters/merged": 1e-6,
  /** Scores against the official Python implementations, both in float64: absolute. */
  metrics: 1e-9,
  /** Share of captions whose words must be those of the official tokeniser. */
  "metrics/caption words": 0.99,
  /** What float32 itself rounds off in scales and sums of quantised numbers: relative. */
  "quantization/rounding": 1e-5,
  /** Gaussian weights against what 4 bits keep of them, any block size: relative, Frobenius. */
  "quantization/int4 weights": 0.13,
  /** The same in 8 bits. */
  "quantization/int8 weights": 0.01,
  /** Error of searched scales over the error of scales by the largest number. */
  "quantization/search": 0.97,
  /** Error of products where rounding knows what it is multiplied with, over the error where it does not. */
  "quantization/feedback": 0.9,
  /** The same as divergence of tiny-shapes' scores, in 4 bits. */
  "quantization/calibrated divergence": 0.85,
  /** A product with quantised weights, whose other operand the runtime rounds to 8 bits: relative, Frobenius. */
  "quantization/product": 0.02,
  /** Logits of a decoder of six layers in 4 bits, run layer by layer in bytes, against its weights in float32: relative, Frobenius. */
  "quantization/layerwise": 0.05,
  /** Right answers out of a hundred that tiny-shapes may lose (issue 5), and how far its scores may be from float32: mean nats. */
  "quantization/int8 points": 1,
  "quantization/mixed points": 3,
  "quantization/int4 points": 3,
  "quantization/int8 divergence": 0.005,
  "quantization/mixed divergence": 0.05,
  "quantization/int4 divergence": 0.05,
  /** The sum of an answer's token scores, in a batch and alone: float32 sums differ, and now and then a byte of what follows. */
  "quantization/batched scores": 1e-3,
  /** Share of tokens whose likeliest choice may change. */
  "quantization/int8 disagreement": 0.02,
  "quantization/mixed disagreement": 0.05,
  "quantization/int4 disagreement": 0.05,
  /** Drawings against their reference pictures, both blurred by 1.5 pixels: mean levels of 255. */
  "drawing/visible": 0.6,
  /** Colours of two labels as colour-blind eyes see them, at least: ΔE of 1976, of which 2.3 is just noticeable. */
  "drawing/colours apart": 8,
} as const;
