import type { PathMark, TextMark } from "./marks.ts";
import { transformPath, type Path } from "./path.ts";
import { fitText, isCovered, textPath, textWidth } from "./typeface.ts";

/** Outlines of whole texts, such as a font library with its shaping gives. */
export interface Typeface {
  /** Width in em. */
  width(text: string): number;
  /** Outline in em, y down, the baseline starting at (0, 0). */
  path(text: string): Path;
}

/** How labels beyond the embedded outlines are written; see `LayoutOptions`. */
export interface WritingOptions {
  readonly otherScripts?: "codes" | "system";
  readonly measure?: (text: string) => number;
  readonly typeface?: Typeface;
}

/** A text that fits, and how to draw it. */
export interface Writing {
  /** What is shown: the text, or its beginning and an ellipsis; empty where not even that fits. */
  readonly shown: string;
  /** Pixels. */
  readonly width: number;
  /** The mark, the baseline starting at (x, y). */
  readonly mark: (x: number, y: number, fill: string) => PathMark | TextMark;
}

/** A text in at most `room` pixels, `size` pixels per em. */
export function writing(text: string, size: number, room: number, options: WritingOptions): Writing {
  const { typeface, otherScripts, measure = estimateWidth } = options;
  if (!isCovered(text) && typeface !== undefined) {
    const shown = fitText(text, room / size, (part) => typeface.width(part));
    const path = (x: number, y: number): Path => transformPath(typeface.path(shown), size, x, y);
    return {
      shown,
      width: typeface.width(shown) * size,
      mark: (x, y, fill) => ({ kind: "path", path: path(x, y), fill }),
    };
  }
  if (!isCovered(text) && otherScripts === "system") {
    const shown = fitText(text, room / size, measure);
    const width = measure(shown) * size;
    return { shown, width, mark: (x, y, fill) => ({ kind: "text", text: shown, x, y, size, width, fill }) };
  }
  const shown = fitText(text, room / size);
  return {
    shown,
    width: textWidth(shown) * size,
    mark: (x, y, fill) => ({ kind: "path", path: textPath(shown, x, y, size), fill }),
  };
}

/** Full-width characters take an em, others a little over half of one. */
function estimateWidth(text: string): number {
  return Array.from(text).reduce((width, character) => width + (character >= "\u1100" ? 1 : 0.6), 0);
}
