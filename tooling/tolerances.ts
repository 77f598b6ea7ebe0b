/** Every tolerance of the project's tests, by what is compared; a test never carries its own number. */
export const TOLERANCES = {
  /** Logits of hf-tiny in float32 against transformers (eager attention): absolute. */
  "hf-tiny/logits": 2e-5,
  /** Loss of hf-tiny in float32: absolute. */
  "hf-tiny/loss": 1e-5,
  /** First-step logits of tiny-shapes in float32: absolute. */
  "tiny-shapes/logits": 1e-3,
  /** One operator in float32 against a float64 computation in the test: absolute. */
  "operator/float32": 1e-5,
} as const;
