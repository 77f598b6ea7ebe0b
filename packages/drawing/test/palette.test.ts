import { layoutDrawing } from "@paligemma/drawing";
import { describe, expect, it } from "vitest";
import { TOLERANCES } from "../../../tooling/tolerances.ts";

type Triple = readonly [number, number, number];

// What eyes see that lack one kind of cone, in linear RGB: Machado, Oliveira and Fernandes 2009, severity 1,
// https://www.inf.ufrgs.br/~oliveira/pubs_files/CVD_Simulation/CVD_Simulation.html
const EYES: Readonly<Record<string, readonly [Triple, Triple, Triple]>> = {
  "all cones": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
  "no red cones": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
  "no green cones": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
  "no blue cones": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}; // prettier-ignore

const dot = (row: Triple, [a, b, c]: Triple): number => row[0] * a + row[1] * b + row[2] * c;

function linear(color: string): Triple {
  return [1, 3, 5].map((at) => {
    const v = Number.parseInt(color.slice(at, at + 2), 16) / 255;
    return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  }) as unknown as Triple;
}

/** CIE L*a*b* of linear sRGB, D65. */
function lab(rgb: Triple): Triple {
  const [x, y, z] = [
    dot([0.4124564, 0.3575761, 0.1804375], rgb) / 0.95047,
    dot([0.2126729, 0.7151522, 0.072175], rgb),
    dot([0.0193339, 0.119192, 0.9503041], rgb) / 1.08883,
  ].map((t) => (Math.max(t, 0) > 216 / 24_389 ? Math.cbrt(t) : (Math.max(t, 0) * 24_389) / 27 / 116 + 16 / 116)) as [
    number,
    number,
    number,
  ];
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
}

/** The colours that seven labels get. */
function colours(): readonly string[] {
  const labels = ["a", "b", "c", "d", "e", "f", "g"];
  const box = { yMin: 0.2, xMin: 0.2, yMax: 0.6, xMax: 0.6 };
  const { marks } = layoutDrawing(
    labels.map((label) => ({ label, box })),
    { width: 400, height: 300 },
    { labels: false },
  );
  const found = JSON.stringify(marks).match(/#[\dA-F]{6}/gi) ?? [];
  return [...new Set(found.map((colour) => colour.toUpperCase()))].filter((c) => c !== "#000000" && c !== "#FFFFFF");
}

describe("the colours of seven labels", () => {
  it.each(Object.keys(EYES))("can be told apart with %s", (eyes) => {
    const seen = colours().map((colour) => {
      const rgb = linear(colour);
      return lab(EYES[eyes]!.map((row) => Math.min(1, Math.max(0, dot(row, rgb)))) as unknown as Triple);
    });
    expect(seen).toHaveLength(7);
    const distances = seen.flatMap((a, i) =>
      seen.slice(i + 1).map((b) => Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2])),
    );
    expect(Math.min(...distances)).toBeGreaterThan(TOLERANCES["drawing/colours apart"]);
  });
});
