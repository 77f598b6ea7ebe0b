import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { emptyMask, loadMaskCodec, maskFromRle, maskIou, unionByLabel, unionMasks } from "@paligemma/masks";
import { createGraphCodec } from "@paligemma/masks/graph";
import { folder } from "@paligemma/tiny-shapes";
import type { Segments } from "paligemma";
import { loadPaliGemma } from "paligemma/node";
import { describe, expect, it } from "vitest";
import type { Scene } from "../score.ts";
import { openEmbedded, picture } from "./embedded.ts";
import { TOLERANCES } from "../../tolerances.ts";

const SHAPES = ["circle", "square", "triangle", "star"];

const { backend, model, scenes: every } = await openEmbedded();
const scenes = every.filter(({ things }) => new Set(things.map(({ shape }) => shape)).size > 1).slice(0, 12);

/** Mean overlap of what is there with what was found, over the labels that are there. */
function meanIou(scene: Scene, { items }: Segments): number {
  const found = unionByLabel(items);
  const there = SHAPES.filter((shape) => scene.things.some((thing) => thing.shape === shape));
  const ious = there.map((label) => {
    const masks = scene.things
      .filter(({ shape }) => shape === label)
      .map(({ mask }) => maskFromRle({ size: [scene.height, scene.width], counts: [...mask] }));
    return maskIou(unionMasks(masks), found.get(label) ?? emptyMask(scene.width, scene.height));
  });
  return ious.reduce((a, b) => a + b, 0) / ious.length;
}

describe("segment with several labels in one call", { timeout: 120_000 }, () => {
  it("finds what each of them alone would find, in their order", async () => {
    const ious: number[] = [];
    for (const scene of scenes) {
      const all = await model.segment(picture(scene), SHAPES);
      ious.push(meanIou(scene, all));
      const order = all.items.map(({ label }) => SHAPES.indexOf(label));
      expect(order).toEqual(order.toSorted((a, b) => a - b));
    }
    expect(ious.reduce((a, b) => a + b, 0) / ious.length).toBeGreaterThanOrEqual(TOLERANCES["tiny-shapes/mask iou"]);
    const [scene] = scenes;
    const all = await model.segment(picture(scene!), [...SHAPES, " star "]);
    const alone = await Promise.all(SHAPES.map((label) => model.segment(picture(scene!), [label])));
    expect(all.items.map(({ label, codes }) => [label, codes])).toEqual(
      alone.flatMap(({ items }) => items.map(({ label, codes }) => [label, codes])),
    );
    expect(all.text).toBe(alone.flatMap(({ text }) => (text === "" ? [] : [text])).join(" ; "));
    const spans = all.items.map(({ span }) => span.start);
    expect(spans).toEqual(spans.toSorted((a, b) => a - b));
  });

  it("asks in one prompt where told to", async () => {
    const { text } = await model.segment(picture(scenes[0]!), SHAPES, { together: true, constrained: false });
    const prompt = `segment ${SHAPES.join(" ; ")}`;
    expect(text).toBe((await model.generate({ image: picture(scenes[0]!), prompt })).text);
    const wrong = { together: 1 as unknown as boolean };
    await expect(model.segment(picture(scenes[0]!), SHAPES, wrong)).rejects.toThrow(/paligemma\/option.*together is 1/);
  });

  it("decodes masks on the backend where told to, to the same masks", async () => {
    const bytes = new Uint8Array(await readFile(new URL("mask-codec.safetensors", folder)));
    const { tensors } = await loadMaskCodec(bytes, { sha256: null });
    await using maskCodec = createGraphCodec(tensors, backend);
    await using other = await loadPaliGemma(fileURLToPath(folder), { backend, maskCodec });
    const labels = SHAPES.slice(0, 2);
    const [ours, theirs] = [
      await model.segment(picture(scenes[0]!), labels),
      await other.segment(picture(scenes[0]!), labels),
    ];
    expect(theirs.items.map(({ box }) => box)).toEqual(ours.items.map(({ box }) => box));
    for (const [i, { mask }] of theirs.items.entries())
      expect(maskIou(mask, ours.items[i]!.mask)).toBeGreaterThan(1 - TOLERANCES["masks/border"]);
  });
});
