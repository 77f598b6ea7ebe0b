import type { ImageLike } from "@paligemma/processor";

/** The formulas of tooling/oracles/processor_resize.py. */
export type Formula = "noise" | "waves" | "checks";

export function pattern(width: number, height: number, channels: ImageLike["channels"], formula: Formula): ImageLike {
  const data = new Uint8Array(width * height * channels);
  for (let i = 0; i < data.length; i++) {
    if (formula === "noise") {
      data[i] = Math.imul(i, 2_654_435_761) >>> 13;
      continue;
    }
    const k = i % channels;
    const c = Math.floor(i / channels) % width;
    const r = Math.floor(i / channels / width);
    data[i] =
      formula === "waves"
        ? 37 * r + 101 * c + 59 * k + 7 * r * c
        : ((Math.floor(r / 2) + Math.floor(c / 3) + k) % 2) * 255;
  }
  return { data, width, height, channels };
}
