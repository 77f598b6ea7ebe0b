/** Resampling kernels, named as Pillow names them. */
export type Resample = "nearest" | Filter;

/** Kernels that weigh several pixels. */
export type Filter = "lanczos" | "bilinear" | "bicubic" | "box" | "hamming";

/** Pillow's numbers of the kernels, which `preprocessor_config.json` stores as `resample`. */
export const RESAMPLE_CODES: readonly Resample[] = ["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"];

interface Kernel {
  /** The kernel is zero beyond this distance, in pixels of the smaller side. */
  readonly support: number;
  readonly weight: (distance: number) => number;
}

// Formulas of Pillow's src/libImaging/Resample.c, in its order of operations: the last bit of a weight counts.
export const KERNELS: Readonly<Record<Filter, Kernel>> = {
  box: { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  hamming: {
    support: 1,
    weight: (signed) => {
      const x = Math.abs(signed);
      if (x === 0) return 1;
      if (x >= 1) return 0;
      const angle = x * Math.PI;
      return (Math.sin(angle) / angle) * (0.54 + 0.46 * Math.cos(angle));
    },
  },
  bicubic: {
    support: 2,
    weight: (signed) => {
      const x = Math.abs(signed);
      if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
      if (x < 2) return (((x - 5) * x + 8) * x - 4) * -0.5;
      return 0;
    },
  },
  lanczos: { support: 3, weight: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

function sinc(x: number): number {
  if (x === 0) return 1;
  const angle = x * Math.PI;
  return Math.sin(angle) / angle;
}
