import { dropRepeats, suppressOverlaps, trailingRepeats, type Detection } from "@paligemma/parsers";
import { describe, expect, it } from "vitest";

const at = (label: string, xMin: number, xMax: number, score?: number): Detection => ({
  label,
  box: { yMin: 0, xMin, yMax: 1, xMax },
  ...(score !== undefined && { score }),
});

describe("dropRepeats", () => {
  it("keeps the first of equal detections", () => {
    const [a, b, c] = [at("cat", 0, 0.5), at("dog", 0, 0.5), { ...at("cat", 0, 0.5), codes: [1] }];
    expect(dropRepeats([a, b, a, c, c])).toEqual({ kept: [a, b, c], dropped: [a, c] });
  });
});

describe("suppressOverlaps", () => {
  const near = [at("cat", 0, 0.5), at("cat", 0, 0.52), at("dog", 0, 0.5), at("cat", 0.5, 1)];
  it("keeps the earlier of two boxes of one label", () => {
    expect(suppressOverlaps(near).kept).toEqual([near[0], near[2], near[3]]);
  });
  it("keeps the better score, in the given order", () => {
    const scored = [at("cat", 0, 0.5, 0.2), at("cat", 0, 0.52, 0.9), at("cat", 0.6, 1, 0.1)];
    expect(suppressOverlaps(scored)).toEqual({ kept: [scored[1], scored[2]], dropped: [scored[0]] });
  });
  it("compares across labels when asked, and never drops boxes that are inside out", () => {
    expect(suppressOverlaps(near, { perLabel: false }).kept).toEqual([near[0], near[3]]);
    expect(suppressOverlaps([at("cat", 1, 0), at("cat", 1, 0)]).dropped).toEqual([]);
  });
  it("refuses an impossible share", () => {
    expect(() => suppressOverlaps(near, { iou: 70 })).toThrow(/parsers\/option: iou is 70/);
    expect(() => suppressOverlaps(near, { threshold: 1 } as never)).toThrow(/parsers\/option/);
  });
});

describe("trailingRepeats", () => {
  it("counts a loop", () => {
    const [a, b] = [at("cat", 0, 0.5), at("cat", 0, 0.6)];
    expect([[], [a], [a, b], [b, a, a, a]].map(trailingRepeats)).toEqual([0, 1, 1, 3]);
  });
});
