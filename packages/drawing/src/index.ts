export { PaliGemmaError } from "./errors.ts";
export { drawOnCanvas, type CanvasLike } from "./canvas.ts";
export { contourPath, type MaskGrid } from "./contour.ts";
export {
  layoutDrawing,
  type Drawing,
  type DrawnBox,
  type DrawnObject,
  type LayoutOptions,
  type PathMark,
  type TextMark,
} from "./layout.ts";
export { PALETTE, textColorOn } from "./palette.ts";
export type { Path, PathStep, Rectangle } from "./path.ts";
export { isCovered } from "./typeface.ts";
export { pathData, toSvg } from "./svg.ts";
