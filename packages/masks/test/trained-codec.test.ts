import { readFileSync } from "node:fs";
import { decodeSegments, encodeSegments, loadMaskCodec, maskIou, type Mask } from "@paligemma/masks";
import { expect, it } from "vitest";

const SIDE = 160;

/** A disc, a square or a triangle somewhere in the image, as the embedded codec was trained on. */
function shape(n: number): Mask {
  const [centreX, centreY, size] = [50 + ((n * 37) % 60), 50 + ((n * 53) % 60), 18 + ((n * 7) % 26)];
  const inside = (x: number, y: number): boolean => {
    if (n % 3 === 0) return Math.hypot(x, y) < size;
    if (n % 3 === 1) return Math.max(Math.abs(x), Math.abs(y)) < size;
    return y < size && y > -size && Math.abs(x) < (y + size) / 2;
  };
  const data = Uint8Array.from({ length: SIDE * SIDE }, (_, i) =>
    inside((i % SIDE) - centreX, Math.floor(i / SIDE) - centreY) ? 1 : 0,
  );
  return { width: SIDE, height: SIDE, data };
}

it("keeps masks of a trained codec through encoding and decoding", async () => {
  const codec = await loadMaskCodec(
    new Uint8Array(readFileSync(new URL("../../tiny-shapes/model/mask-codec.safetensors", import.meta.url))),
    { sha256: null },
  );
  const objects = Array.from({ length: 30 }, (_, n) => ({ label: String(n), mask: shape(n) }));
  const decoded = decodeSegments(codec, encodeSegments(codec, objects), { width: SIDE, height: SIDE });
  const ious = decoded.map(({ mask }, n) => maskIou(mask, shape(n)));
  expect(ious.reduce((a, b) => a + b, 0) / ious.length).toBeGreaterThan(0.95);
}, 120_000);
