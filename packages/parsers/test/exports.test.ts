import {
  toCoco,
  toCocoResults,
  toLabelMe,
  toLabelStudio,
  toVoc,
  toYolo,
  type AnnotatedImage,
} from "@paligemma/parsers";
import { describe, expect, it } from "vitest";

const box = { yMin: 0.25, xMin: 0.1, yMax: 0.75, xMax: 0.6 };
const image: AnnotatedImage = {
  fileName: "a&b.jpg",
  width: 200,
  height: 100,
  detections: [
    { label: "cat", box },
    {
      label: "dog <2>",
      box,
      score: 0.5,
      polygons: [
        [20, 25, 120, 25, 120, 75],
        [0, 0, 10, 0, 10, 10],
      ],
    },
    { label: "cat", box: { yMin: 0.5, xMin: 0.5, yMax: 0.5, xMax: 0.2 } },
    { label: "cat", box, rle: { size: [100, 200], counts: [5, 7, 19_988] } },
  ],
};

describe("toCoco", () => {
  it("writes annotations in pixels and leaves out empty boxes", () => {
    const coco = toCoco([image]);
    expect(coco.images).toEqual([{ id: 1, file_name: "a&b.jpg", width: 200, height: 100 }]);
    expect(coco.categories).toEqual([
      { id: 1, name: "cat" },
      { id: 2, name: "dog <2>" },
    ]);
    expect(coco.annotations.map(({ id, category_id, bbox, area }) => ({ id, category_id, bbox, area }))).toEqual([
      { id: 1, category_id: 1, bbox: [20, 25, 100, 50], area: 5000 },
      { id: 2, category_id: 2, bbox: [20, 25, 100, 50], area: 2550 },
      { id: 3, category_id: 1, bbox: [20, 25, 100, 50], area: 7 },
    ]);
    expect(coco.annotations.at(2)?.segmentation).toEqual({ size: [100, 200], counts: [5, 7, 19_988] });
  });

  it("writes results with a stand-in for missing scores", () => {
    expect(
      toCocoResults([image], ["dog <2>", "cat"], 0.9).map(({ image_id, category_id, score }) => [
        image_id,
        category_id,
        score,
      ]),
    ).toEqual([
      [1, 2, 0.9],
      [1, 1, 0.5],
      [1, 2, 0.9],
    ]);
    expect(() => toCocoResults([image], ["cat"])).toThrow(/parsers\/category: the label "dog <2>"/);
  });
});

describe("toYolo", () => {
  it("writes centres and outlines as fractions", () => {
    expect(toYolo(image.detections, image, ["cat", "dog <2>"])).toBe(
      "0 0.35 0.5 0.5 0.5\n1 0.1 0.25 0.6 0.25 0.6 0.75\n1 0 0 0.05 0 0.05 0.1\n0 0.35 0.5 0.5 0.5\n",
    );
  });
});

describe("toVoc", () => {
  it("counts pixels from one and escapes names", () => {
    const xml = toVoc(image);
    expect(xml).toContain("<filename>a&amp;b.jpg</filename>");
    expect(xml).toContain("<name>dog &lt;2&gt;</name>");
    expect(xml.match(/<xmin>21<\/xmin>\s*<ymin>26<\/ymin>\s*<xmax>120<\/xmax>\s*<ymax>75<\/ymax>/g)).toHaveLength(3);
  });
});

describe("toLabelMe", () => {
  it("writes rectangles and grouped polygons", () => {
    const { shapes, imagePath, imageWidth } = toLabelMe(image);
    expect([imagePath, imageWidth]).toEqual(["a&b.jpg", 200]);
    expect(shapes.map(({ shape_type, group_id, points }) => [shape_type, group_id, points.length])).toEqual([
      ["rectangle", null, 2],
      ["polygon", 1, 3],
      ["polygon", 1, 3],
      ["rectangle", null, 2],
    ]);
    expect(shapes.at(0)?.points).toEqual([
      [20, 25],
      [120, 75],
    ]);
  });
});

describe("toLabelStudio", () => {
  it("writes predictions in percent", () => {
    const { data, predictions } = toLabelStudio(image, { fromName: "tag" });
    expect(data.image).toBe("a&b.jpg");
    expect(predictions[0]).toMatchObject({ model_version: "paligemma", score: 0.5 });
    expect(predictions.at(0)?.result).toHaveLength(4);
    expect(predictions.at(0)?.result[0]).toMatchObject({
      type: "rectanglelabels",
      from_name: "tag",
      value: { x: 10, y: 25, width: 50, height: 50, rectanglelabels: ["cat"] },
    });
    expect(predictions.at(0)?.result[1]).toMatchObject({
      type: "polygonlabels",
      score: 0.5,
      value: {
        points: [
          [10, 25],
          [60, 25],
          [60, 75],
        ],
        polygonlabels: ["dog <2>"],
      },
    });
  });
});
