import { CAP_HEIGHT, GLYPHS, GLYPH_GRID } from "./generated/glyphs.ts";
import { rectanglePath, transformPath, type Path, type PathStep } from "./path.ts";

interface Glyph {
  /** Distance to the next character, in em. */
  readonly advance: number;
  /** Outline in em, baseline at y = 0, y down. */
  readonly path: Path;
}

/** Height of a capital letter, in em. */
export const CAPITAL: number = CAP_HEIGHT / GLYPH_GRID;

const glyphs = new Map<string, Glyph>();
let lines: Map<string, string> | undefined;

/** True where every character has an embedded outline: Latin, Greek, Cyrillic, Vietnamese, common punctuation. */
export function isCovered(text: string): boolean {
  return Array.from(text.normalize("NFC")).every((character) => glyphLines().has(character) || isSilent(character));
}

/** Width of `text` in em when written with the embedded outlines. */
export function textWidth(text: string): number {
  return shape(text).reduce((width, glyph) => width + glyph.advance, 0);
}

/**
 * Outline of `text` with the baseline starting at (x, y), `size` pixels per em. Characters without an embedded outline
 * become frames that hold their code point in hexadecimal: never blank, and the same on every machine.
 */
export function textPath(text: string, x: number, y: number, size: number): Path {
  const path: PathStep[] = [];
  let pen = x;
  for (const glyph of shape(text)) {
    path.push(...transformPath(glyph.path, size, pen, y));
    pen += glyph.advance * size;
  }
  return path;
}

/** The longest beginning of `text` that fits into `width` em, with an ellipsis where something was cut. */
export function fitText(text: string, width: number, measure: (text: string) => number = textWidth): string {
  if (measure(text) <= width) return text;
  const characters = Array.from(text);
  let [low, high] = [0, characters.length];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (measure(`${characters.slice(0, middle).join("")}…`) <= width) low = middle;
    else high = middle - 1;
  }
  return low === 0 ? "" : `${characters.slice(0, low).join("").trimEnd()}…`;
}

function shape(text: string): Glyph[] {
  return Array.from(text.normalize("NFC"))
    .filter((character) => !isSilent(character))
    .map(glyphOf);
}

function glyphOf(character: string): Glyph {
  const known = glyphs.get(character);
  if (known !== undefined) return known;
  const line = glyphLines().get(character);
  if (line === undefined) return codeFrame(character);
  const glyph = parseGlyph(line);
  glyphs.set(character, glyph);
  return glyph;
}

function glyphLines(): Map<string, string> {
  lines ??= new Map(GLYPHS.split("\n").map((line) => [line.slice(0, 1), line.slice(1)]));
  return lines;
}

function parseGlyph(line: string): Glyph {
  const [advance = "0", ...steps] = line.split(/(?=[a-z])/);
  const path: PathStep[] = [];
  let [x, y, startX, startY] = [0, 0, 0, 0];
  for (const step of steps) {
    const [a = 0, b = 0, c = 0, d = 0] = (step.match(/-?\d+/g) ?? []).map((n) => Number(n) / GLYPH_GRID);
    if (step[0] === "z") {
      path.push(["Z"]);
      [x, y] = [startX, startY];
    } else if (step[0] === "q") {
      path.push(["Q", x + a, y + b, x + c, y + d]);
      [x, y] = [x + c, y + d];
    } else {
      [x, y] = [x + a, y + b];
      if (step[0] === "m") [startX, startY] = [x, y];
      path.push([step[0] === "m" ? "M" : "L", x, y]);
    }
  }
  return { advance: Number(advance) / GLYPH_GRID, path };
}

/** A frame of two rows of small hexadecimal digits. */
function codeFrame(character: string): Glyph {
  const digits = character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0");
  const perRow = Math.ceil(digits.length / 2);
  const [scale, gap, line] = [0.4, 0.07, 0.04];
  const digit = scale * textWidth("0");
  const width = perRow * digit + 2 * gap + 2 * line;
  const [top, height] = [-CAPITAL - 0.03, CAPITAL + 0.1];
  const outer = { x: 0.04, y: top, width, height };
  const inner = { x: outer.x + line, y: top + line, width: width - 2 * line, height: height - 2 * line };
  // The inner line runs the other way round, so the frame is hollow under the non-zero rule.
  const [left, right, bottom] = [inner.x, inner.x + inner.width, inner.y + inner.height];
  const hole: Path = [["M", left, inner.y], ["L", left, bottom], ["L", right, bottom], ["L", right, inner.y], ["Z"]];
  const path: PathStep[] = [...rectanglePath(outer), ...hole];
  for (const [row, text] of [digits.slice(0, digits.length - perRow), digits.slice(-perRow)].entries()) {
    path.push(...textPath(text, inner.x + gap, -CAPITAL / 2 - 0.02 + row * (height / 2 - 0.01), scale));
  }
  return { advance: width + 0.08, path };
}

/** Joiners, variation selectors, controls: part of a character, without a shape of their own. */
function isSilent(character: string): boolean {
  return /^[\p{Cc}\p{Default_Ignorable_Code_Point}\u2028\u2029]$/u.test(character);
}
