"""Writes packages/drawing/src/generated/glyphs.ts: outlines of the characters that labels can show without any font.

    npm pack @fontsource/noto-sans@5.3.0 && tar xzf fontsource-noto-sans-5.3.0.tgz
    python tooling/drawing/glyphs.py package/files

Needs fonttools 4.66.1. Outlines are Noto Sans Medium (SIL Open Font License 1.1), quadratic, on a grid of 500 units per
em, y down. One line per character: the character, its advance, then the path in relative integers.
"""
import sys
from pathlib import Path

from fontTools.pens.recordingPen import DecomposingRecordingPen
from fontTools.ttLib import TTFont

GRID = 500
SUBSETS = ["latin", "latin-ext", "greek", "cyrillic", "vietnamese"]
RANGES = [
    (0x20, 0x7E), (0xA0, 0x17F), (0x1A0, 0x1A1), (0x1AF, 0x1B0), (0x218, 0x21B), (0x386, 0x386), (0x388, 0x3CE),
    (0x400, 0x45F), (0x490, 0x491), (0x1EA0, 0x1EF9), (0x2013, 0x2014), (0x2018, 0x201E), (0x2020, 0x2022), (0x2026, 0x2026),
    (0x2030, 0x2030), (0x2039, 0x203A), (0x20AC, 0x20AC), (0x2116, 0x2116), (0x2122, 0x2122), (0x2212, 0x2212), (0xFFFD, 0xFFFD),
]


def numbers(values):
    out = ""
    for v in values:
        out += str(v) if v < 0 or not out else " " + str(v)
    return out


def path(glyph, glyphs, scale):
    pen = DecomposingRecordingPen(glyphs)
    glyph.draw(pen)
    grid = lambda p: (round(p[0] * scale), round(-p[1] * scale))
    out, at, start = "", (0, 0), (0, 0)

    def relative(letter, points):
        nonlocal out, at
        deltas = [c for p in points for c in (p[0] - at[0], p[1] - at[1])]
        if letter == "l" and deltas == [0, 0]:
            return
        out += letter + numbers(deltas)
        at = points[-1]

    for operator, arguments in pen.value:
        if operator == "moveTo":
            relative("m", [grid(arguments[0])])
            start = at
        elif operator == "lineTo":
            relative("l", [grid(arguments[0])])
        elif operator == "qCurveTo":
            assert arguments[-1] is not None, "a contour without on-curve points"
            controls = list(arguments[:-1])
            for i, control in enumerate(controls):
                last = i == len(controls) - 1
                end = arguments[-1] if last else tuple((a + b) / 2 for a, b in zip(control, controls[i + 1]))
                relative("q", [grid(control), grid(end)])
        elif operator == "closePath":
            out, at = out + "z", start
        else:
            raise ValueError(operator)
    return out


def main(folder):
    fonts = [TTFont(Path(folder) / f"noto-sans-{s}-500-normal.woff") for s in SUBSETS]
    wanted = [c for low, high in RANGES for c in range(low, high + 1)]
    lines, missing = [], []
    for code in wanted:
        font = next((f for f in fonts if code in f.getBestCmap()), None)
        if font is None:
            missing.append(f"U+{code:04X}")
            continue
        name, scale, glyphs = font.getBestCmap()[code], GRID / font["head"].unitsPerEm, font.getGlyphSet()
        lines.append(f"{chr(code)}{round(glyphs[name].width * scale)}{path(glyphs[name], glyphs, scale)}")
    hhea = fonts[0]["OS/2"]
    text = "\n".join(lines).replace("\\", "\\\\").replace("`", "\\`").replace("${", "\\${")
    target = Path(__file__).parents[2] / "packages/drawing/src/generated/glyphs.ts"
    target.write_text(
        "// Written by tooling/drawing/glyphs.py from Noto Sans Medium, SIL Open Font License 1.1: see FONT-LICENSE.\n"
        f"/** Units per em of the outlines below. */\nexport const GLYPH_GRID: number = {GRID};\n"
        f"/** Height of a capital letter, in the same units. */\nexport const CAP_HEIGHT: number = {round(hhea.sCapHeight * GRID / 1000)};\n"
        "/** One line per character: the character, its advance, its outline in relative moves, lines and quadratic curves. */\n"
        f"export const GLYPHS: string = `{text}`;\n", encoding="utf-8")
    print(len(lines), "characters,", target.stat().st_size, "bytes; not in the font:", *missing)


main(sys.argv[1])
