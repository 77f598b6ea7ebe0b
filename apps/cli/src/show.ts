import type { Result, ResultDetection } from "./ask-pictures.ts";

/** Prints a line for people to read, or for the next program. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Prints a JSON document. */
export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, 2));
}

/** Said after an answer that reached its greatest length. */
export const CUT_OFF = " … (cut off: see --max-new-tokens)";

/** An answer in words: the text, after the picture's name where there are several. */
export function showText({ picture, text, stoppedBy }: Result, several: boolean): string {
  const cut = stoppedBy === "length" ? CUT_OFF : "";
  return `${several && picture !== null ? `${picture}: ` : ""}${text}${cut}`;
}

/** An answer in boxes: how many, one line each in pixels, and what else the model said. */
export function showDetections(result: Result): string {
  const { picture, width, height, detections = [], rest = "", out } = result;
  const count = `${detections.length} ${detections.length === 1 ? "object" : "objects"}`;
  const column = Math.max(...detections.map(({ label }) => label.length), 0);
  return [
    `${count} in ${picture} (${width} × ${height})`,
    ...detections.map((detection) => `  ${boxLine(detection, column)}`),
    ...(rest === "" ? [] : [`  not a box: ${rest}`]),
    ...(result.stoppedBy === "length" ? [` ${CUT_OFF}`] : []),
    ...(out === undefined ? [] : [`  drawn in ${out}`]),
  ].join("\n");
}

function boxLine({ label, area, pixels: { xMin, yMin, xMax, yMax } }: ResultDetection, column: number): string {
  const [left, top, right, bottom] = [xMin, yMin, xMax, yMax].map((v) => String(Math.round(v)).padStart(4));
  const inside = area === undefined ? "" : `  ${area} pixels`;
  return `${label.padEnd(column)}  x ${left} to ${right}  y ${top} to ${bottom}${inside}`;
}
