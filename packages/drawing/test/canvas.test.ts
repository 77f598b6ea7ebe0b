import {
  drawOnCanvas,
  layoutDrawing,
  pathData,
  type CanvasLike,
  type DrawnObject,
  type PathStep,
  type Typeface,
} from "@paligemma/drawing";
import { describe, expect, it } from "vitest";

/** Writes down what is done to a canvas. */
function recorder(): { canvas: CanvasLike; calls: string[]; paths: string[] } {
  const calls: string[] = [];
  const paths: string[] = [];
  let path: PathStep[] = [];
  const done = (what: string): void => void (calls.push(what), paths.push(pathData(path)));
  const canvas: CanvasLike = {
    globalAlpha: 1,
    fillStyle: "",
    strokeStyle: "",
    lineWidth: 1,
    lineJoin: "miter",
    font: "",
    save: () => void calls.push("save"),
    restore: () => void calls.push("restore"),
    beginPath: () => void (path = []),
    closePath: () => void path.push(["Z"]),
    moveTo: (x, y) => void path.push(["M", x, y]),
    lineTo: (x, y) => void path.push(["L", x, y]),
    quadraticCurveTo: (cx, cy, x, y) => void path.push(["Q", cx, cy, x, y]),
    fill: (rule) => done(`fill ${rule} ${String(canvas.fillStyle)} ${canvas.globalAlpha}`),
    stroke: () => done(`stroke ${String(canvas.strokeStyle)} ${canvas.lineWidth}`),
    setLineDash: (segments) => void calls.push(`dash ${segments.join()}`),
    fillText: (text, _x, _y, width) => void calls.push(`text ${text} ${canvas.font} ${width}`),
  };
  return { canvas, calls, paths };
}

const box = { yMin: 0.1, xMin: 0.1, yMax: 0.9, xMax: 0.5 };

describe("drawOnCanvas", () => {
  it("draws the same marks as the drawing has, between save and restore", () => {
    const objects: DrawnObject[] = [
      { label: "cat", box, mask: { data: [1, 0, 0, 1], width: 2, height: 2, area: box } },
    ];
    const drawing = layoutDrawing(objects, { width: 200, height: 100 });
    const { canvas, calls, paths } = recorder();
    drawOnCanvas(canvas, drawing);
    expect([calls.at(0), calls.at(-1)]).toEqual(["save", "restore"]);
    expect(calls).toContain("fill evenodd #E69F00 0.45");
    expect(paths).toEqual(drawing.marks.map((mark) => (mark.kind === "path" ? pathData(mark.path) : "")));
  });

  it("leaves other scripts to the canvas when asked", () => {
    const { canvas, calls } = recorder();
    drawOnCanvas(
      canvas,
      layoutDrawing(
        [{ label: "猫", box }],
        { width: 200, height: 100 },
        { otherScripts: "system", fontSize: 20, measure: () => 1 },
      ),
    );
    expect(calls).toContain("text 猫 20px sans-serif 20");
  });

  it("takes outlines of a typeface for other scripts only", () => {
    const typeface: Typeface = { width: (text) => text.length, path: () => [["M", 0, 0], ["L", 1, -1], ["Z"]] };
    const drawing = layoutDrawing(
      [
        { label: "猫", box },
        { label: "cat", box },
      ],
      { width: 400, height: 300 },
      { typeface, fontSize: 20 },
    );
    const outlines = drawing.marks.filter(
      (mark) => mark.kind === "path" && mark.path.length === 3 && mark.fill !== undefined,
    );
    expect(outlines).toHaveLength(1);
    expect(drawing.labels.map(({ text, width }) => [text, width === 30])).toEqual([
      ["猫", true],
      ["cat", false],
    ]);
  });
});
