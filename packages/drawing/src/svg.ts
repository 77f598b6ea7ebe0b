import type { Drawing, PathMark, TextMark } from "./marks.ts";
import type { Path } from "./path.ts";

/** The drawing as an SVG document of the picture's size, transparent where nothing is drawn. */
export function toSvg(drawing: Drawing): string {
  const { width, height } = drawing;
  const marks = drawing.marks.map((mark) => (mark.kind === "path" ? pathElement(mark) : textElement(mark)));
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">\n${marks.join("\n")}\n</svg>\n`;
}

/** The `d` attribute of a path, to a hundredth of a pixel. */
export function pathData(path: Path): string {
  return path.map(([letter, ...numbers]) => letter + numbers.map(short).join(" ")).join("");
}

function pathElement(mark: PathMark): string {
  const attributes = [
    `d="${pathData(mark.path)}"`,
    `fill="${mark.fill ?? "none"}"`,
    ...(mark.fillRule ? [`fill-rule="${mark.fillRule}"`] : []),
    ...(mark.stroke
      ? [`stroke="${mark.stroke}" stroke-width="${short(mark.lineWidth ?? 1)}" stroke-linejoin="round"`]
      : []),
    ...(mark.dash ? [`stroke-dasharray="${mark.dash.map(short).join(" ")}"`] : []),
    ...(mark.opacity === undefined ? [] : [`opacity="${mark.opacity}"`]),
  ];
  return `<path ${attributes.join(" ")}/>`;
}

function textElement({ text, x, y, size, width, fill }: TextMark): string {
  const place = `x="${short(x)}" y="${short(y)}" font-size="${short(size)}" textLength="${short(width)}" lengthAdjust="spacingAndGlyphs"`;
  return `<text ${place} font-family="sans-serif" fill="${fill}">${escapeXml(text)}</text>`;
}

function short(value: number): string {
  return String(Math.round(value * 100) / 100);
}

/** XML forbids most control characters even as references: they are left out. */
function escapeXml(text: string): string {
  return text
    .replaceAll(/[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu, "")
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;");
}
