/**
 * Seven colours that people with any common colour blindness can tell apart, in an order where neighbours differ most.
 * Source: Okabe and Ito, "Color Universal Design", https://jfly.uni-koeln.de/color/ (their black is left out: it
 * vanishes on dark pictures).
 */
export const PALETTE: readonly string[] = ["#E69F00", "#0072B2", "#009E73", "#CC79A7", "#F0E442", "#56B4E9", "#D55E00"];

/** Dash patterns, in line widths: after the seventh label the colours come again, told apart by their lines. */
export const DASHES: readonly (readonly number[])[] = [[], [4, 2], [1, 1.5], [6, 2, 1, 2]];

/** Black or white, whichever stands out more against `color` (`#rrggbb`), by WCAG contrast. */
export function textColorOn(color: string): "#000000" | "#FFFFFF" {
  const channel = (at: number): number => {
    const v = Number.parseInt(color.slice(at, at + 2), 16) / 255;
    return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  };
  const luminance = 0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5);
  // Contrast with black is (L + .05) / .05, with white 1.05 / (L + .05); equal at L = 0.179.
  return luminance > 0.179 ? "#000000" : "#FFFFFF";
}
