import type { Path, Rectangle } from "./path.ts";

/** One stroke or surface; pixels of the picture. */
export interface PathMark {
  readonly kind: "path";
  readonly path: Path;
  readonly fill?: string;
  readonly fillRule?: "nonzero" | "evenodd";
  readonly stroke?: string;
  readonly lineWidth?: number;
  readonly dash?: readonly number[];
  /** 0 to 1, default 1. */
  readonly opacity?: number;
}

/** A text for the viewer's own fonts, `width` pixels wide, its baseline starting at (x, y). */
export interface TextMark {
  readonly kind: "text";
  readonly text: string;
  readonly x: number;
  readonly y: number;
  readonly size: number;
  readonly width: number;
  readonly fill: string;
}

/** A label and the rectangle it takes. */
export interface PlacedLabel extends Rectangle {
  /** Number of the object. */
  readonly object: number;
  /** What is shown; long labels end in an ellipsis. */
  readonly text: string;
}

/** A finished drawing: marks from back to front over a picture of `width` × `height` pixels. */
export interface Drawing {
  readonly width: number;
  readonly height: number;
  readonly marks: readonly (PathMark | TextMark)[];
  /** Where each object's label lies, for those that have one and found a place. */
  readonly labels: readonly PlacedLabel[];
  /** Objects whose label found no free place. */
  readonly unplaced: readonly number[];
}
