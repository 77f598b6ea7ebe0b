import type { Drawing } from "./marks.ts";
import type { Path } from "./path.ts";

/** What drawing needs of a canvas: `CanvasRenderingContext2D` and its offscreen form have it all. */
export interface CanvasLike {
  globalAlpha: number;
  fillStyle: unknown;
  strokeStyle: unknown;
  lineWidth: number;
  lineJoin: string;
  font: string;
  save(): void;
  restore(): void;
  beginPath(): void;
  closePath(): void;
  moveTo(x: number, y: number): void;
  lineTo(x: number, y: number): void;
  quadraticCurveTo(controlX: number, controlY: number, x: number, y: number): void;
  fill(rule?: "nonzero" | "evenodd"): void;
  stroke(): void;
  setLineDash(segments: number[]): void;
  fillText(text: string, x: number, y: number, maxWidth?: number): void;
}

/** Draws over what the canvas already shows; one unit of the canvas is one pixel of the picture. */
export function drawOnCanvas(canvas: CanvasLike, drawing: Drawing): void {
  canvas.save();
  canvas.lineJoin = "round";
  for (const mark of drawing.marks) {
    if (mark.kind === "text") {
      canvas.globalAlpha = 1;
      canvas.fillStyle = mark.fill;
      canvas.font = `${mark.size}px sans-serif`;
      canvas.fillText(mark.text, mark.x, mark.y, mark.width);
      continue;
    }
    canvas.globalAlpha = mark.opacity ?? 1;
    trace(canvas, mark.path);
    if (mark.fill !== undefined) {
      canvas.fillStyle = mark.fill;
      canvas.fill(mark.fillRule ?? "nonzero");
    }
    if (mark.stroke !== undefined) {
      canvas.strokeStyle = mark.stroke;
      canvas.lineWidth = mark.lineWidth ?? 1;
      canvas.setLineDash([...(mark.dash ?? [])]);
      canvas.stroke();
    }
  }
  canvas.restore();
}

function trace(canvas: CanvasLike, path: Path): void {
  canvas.beginPath();
  for (const step of path) {
    if (step[0] === "M") canvas.moveTo(step[1], step[2]);
    else if (step[0] === "L") canvas.lineTo(step[1], step[2]);
    else if (step[0] === "Q") canvas.quadraticCurveTo(step[1], step[2], step[3], step[4]);
    else canvas.closePath();
  }
}
