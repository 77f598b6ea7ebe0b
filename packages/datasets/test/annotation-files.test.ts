import { openDataset } from "@paligemma/datasets/node";
import { outlineMask, type TrainingObject } from "@paligemma/datasets";
import { compressRle, maskIou, polygonsFromMask, rleFromMask, type Mask } from "@paligemma/masks";
import { toCoco, toVoc, toYolo, type AnnotatedImage, type Box } from "@paligemma/parsers";
import { describe, expect, it } from "vitest";
import { collect, folderOf, picture } from "./folders.ts";

const [WIDTH, HEIGHT] = [64, 48];

/** A ring: outline and hole. */
const ring: Mask = {
  width: WIDTH,
  height: HEIGHT,
  data: Uint8Array.from({ length: WIDTH * HEIGHT }, (_, i) => {
    const radius = Math.hypot((i % WIDTH) - 20, Math.floor(i / WIDTH) - 20);
    return radius < 15 && radius > 6 ? 1 : 0;
  }),
};
/** The same without the hole, which COCO polygons and YOLO cannot say. */
const disc: Mask = {
  ...ring,
  data: Uint8Array.from(ring.data, (_, i) => (Math.hypot((i % WIDTH) - 20, Math.floor(i / WIDTH) - 20) < 15 ? 1 : 0)),
};
const box: Box = { yMin: 6 / HEIGHT, xMin: 6 / WIDTH, yMax: 35 / HEIGHT, xMax: 35 / WIDTH };
const small: Box = { yMin: 0.5, xMin: 0.25, yMax: 0.75, xMax: 0.5 };
const polygons = polygonsFromMask(disc).map(({ outline }) => outline);
const image: AnnotatedImage = {
  fileName: "a.png",
  width: WIDTH,
  height: HEIGHT,
  detections: [
    { label: "disc", box, polygons },
    { label: "box & <co>", box: small },
  ],
};

async function objectsOf(files: Readonly<Record<string, string | Uint8Array>>): Promise<readonly TrainingObject[]> {
  const dataset = await openDataset(folderOf(files));
  const [reading] = await collect(dataset.records());
  if (reading === undefined || "bad" in reading) throw new Error(`not read back: ${JSON.stringify(reading)}`);
  const { content } = reading.record;
  return content.kind === "objects" ? content.objects : [];
}

function expectObjects(objects: readonly TrainingObject[], digits: number): void {
  expect(objects.map(({ label }) => label)).toEqual(["disc", "box & <co>"]);
  for (const [i, expected] of [box, small].entries())
    for (const side of ["yMin", "xMin", "yMax", "xMax"] as const)
      expect(objects[i]!.box[side]).toBeCloseTo(expected[side], digits);
}

const overlap = (object: TrainingObject | undefined, mask: Mask): number =>
  maskIou(outlineMask(object!.outline!, { width: WIDTH, height: HEIGHT }), mask);

describe("what @paligemma/parsers writes is read back", () => {
  it("from COCO, with outlines and with run lengths of either kind", async () => {
    const objects = await objectsOf({ "_annotations.coco.json": JSON.stringify(toCoco([image])) });
    expectObjects(objects, 6);
    expect(overlap(objects[0], disc)).toBe(1);
    for (const rle of [rleFromMask(ring), compressRle(rleFromMask(ring))]) {
      const coded = { ...image, detections: [{ label: "ring", box, rle }] };
      const [read] = await objectsOf({ "_annotations.coco.json": JSON.stringify(toCoco([coded as AnnotatedImage])) });
      expect(overlap(read, ring)).toBe(1);
    }
  });

  it("from YOLO, with outlines", async () => {
    const classes = ["box & <co>", "disc"];
    const objects = await objectsOf({
      "data.yaml": `train: images\nnames: ${JSON.stringify(classes)}\n`,
      "images/a.png": await picture(WIDTH, HEIGHT),
      "labels/a.txt": toYolo(image.detections, image, classes),
    });
    expectObjects(objects, 4);
    expect(overlap(objects[0], disc)).toBeGreaterThan(0.95);
  });

  it("from Pascal VOC, in whole pixels", async () => {
    expectObjects(await objectsOf({ "a.xml": toVoc(image), "a.png": await picture(WIDTH, HEIGHT) }), 6);
  });
});
