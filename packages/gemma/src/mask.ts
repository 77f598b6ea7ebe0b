import { fromFloat32, type NdArray } from "@paligemma/core";

/** Added to the score of a place that may not be seen. Finite, so that a row that sees nothing gives no NaN. */
const HIDDEN = { float32: -1e30, bfloat16: -1e30, float16: -6e4 } as const;

/** Who may see whom, for the tokens of one run. */
export interface MaskOptions {
  /** Per row, one entry per position from the first of the cache to the last of this run: 0 is padding. [batch][total] */
  readonly valid: readonly Uint8Array[];
  /** Per row, one entry per token of this run: 0 is prefix. Absent: all causal. [batch][tokens] */
  readonly types?: readonly Uint8Array[];
  readonly tokens: number;
  /** A token sees at most this many positions back, itself included. */
  readonly window?: number | null;
  readonly compute: "float32" | "float16" | "bfloat16";
}

/**
 * PaliGemma's attention mask [batch, 1, tokens, total]: 0 where token q may see position k, else a large negative number.
 *
 * q sees k if (k ≤ q, and within the window) or (both are prefix), and k is no padding. The prefix block is exempt from the
 * window. Types are given for the first run of a prompt only; later runs are causal. Source: transformers 5.18,
 * `create_masks_for_generate` of PaliGemma.
 */
export function prefixLmMask({ valid, types, tokens, window, compute }: MaskOptions): NdArray {
  const total = valid[0]?.length ?? 0;
  const past = total - tokens;
  const hidden = HIDDEN[compute];
  const data = new Float32Array(valid.length * tokens * total).fill(hidden);
  valid.forEach((row, b) => {
    const kinds = types?.[b];
    for (let t = 0; t < tokens; t++) {
      const q = past + t;
      const base = (b * tokens + t) * total;
      const first = window ? Math.max(0, q - window + 1) : 0;
      for (let k = first; k <= q; k++) if (row[k]) data[base + k] = 0;
      if (!kinds || kinds[t] !== 0) continue;
      for (let k = past; k < total; k++) if (row[k] && kinds[k - past] === 0) data[base + k] = 0;
    }
  });
  return fromFloat32({ dtype: "float32", shape: [valid.length, 1, tokens, total], data }, compute);
}

/** Masks of steps that follow each other over the same places of a cache. */
export interface StepMasksOptions {
  /** Per row, what the cache holds before the first step, 0 is padding. */
  readonly valid: readonly Uint8Array[];
  readonly steps: number;
  /** As in `MaskOptions`. */
  readonly window?: number | null;
  readonly compute: "float32" | "float16" | "bfloat16";
}

/**
 * Masks [steps · rows, 1, 1, places + 1], those of a step side by side, over a cache with places for what it holds and for a token of
 * every step but the last, and then the step's own token: a place that no step has filled yet is hidden.
 */
export function stepMasks({ valid, steps, window, compute }: StepMasksOptions): NdArray {
  const [rows, past] = [valid.length, valid[0]!.length];
  const total = past + steps;
  const data = new Float32Array(steps * rows * total).fill(HIDDEN[compute]);
  for (let step = 0; step < steps; step++) {
    const q = past + step;
    const first = window ? Math.max(0, q - window + 1) : 0;
    valid.forEach((seen, b) => {
      const row = data.subarray((step * rows + b) * total, (step * rows + b + 1) * total);
      for (let k = first; k < q; k++) if (k >= past || seen[k]) row[k] = 0;
      row[total - 1] = 0;
    });
  }
  return fromFloat32({ dtype: "float32", shape: [steps * rows, 1, 1, total], data }, compute);
}
