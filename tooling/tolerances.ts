/** Every tolerance of the project's tests, by what is compared; a test never carries its own number. */
export const TOLERANCES = {
  /** Logits of hf-tiny in float32 against transformers (eager attention): absolute. */
  "hf-tiny/logits": 2e-5,
  /** The same on WebGPU, whose shaders sum in another order: absolute. */
  "hf-tiny/logits, webgpu": 1e-4,
  /** Loss of hf-tiny in float32: absolute. */
  "hf-tiny/loss": 1e-5,
  /** First-step logits of tiny-shapes in float32: absolute. */
  "tiny-shapes/logits": 1e-3,
  /** One operator in float32 against a float64 computation in the test: absolute. */
  "operator/float32": 1e-5,
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
  /** Weights of hf-tiny with an adapter merged, in float32 against PEFT: absolute. */
  "adapters/merged": 1e-6,
  /** Scores against the official Python implementations, both in float64: absolute. */
  metrics: 1e-9,
} as const;
