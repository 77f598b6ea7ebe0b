import { expect, it } from "vitest";
import { randomTensors } from "../checkpoints/random-tensors.ts";

const shapes = new Map([
  ["language_model.model.embed_tokens.weight", [300, 32]],
  ["language_model.model.norm.weight", [32]],
  ["vision_tower.vision_model.post_layernorm.weight", [32]],
  ["multi_modal_projector.linear.weight", [3000, 400]],
]);

it("gives the same numbers for a seed, of a scale a network bears, however they are read", async () => {
  const refs = randomTensors(shapes, "float32", 1);
  const again = randomTensors(shapes, "float32", 1);
  const statistics = new Map<string, readonly [mean: number, deviation: number]>();
  for (const [i, { name, source, end }] of refs.entries()) {
    const bytes = await source.read(0, end);
    expect(Buffer.compare(await again[i].source.read(0, end), bytes)).toBe(0);
    expect(await source.read(40, 80)).toEqual(bytes.slice(40, 80));
    const values = new Float32Array(bytes.buffer);
    const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
    statistics.set(name, [mean, Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / values.length)]);
  }
  // Within a fifth of what is meant; 32 numbers spread widely.
  const [, projector] = statistics.get("multi_modal_projector.linear.weight")!;
  expect(projector * 20).toBeGreaterThan(0.99);
  expect(projector * 20).toBeLessThan(1.01);
  expect(Math.round(statistics.get("vision_tower.vision_model.post_layernorm.weight")![0])).toBe(1);
  expect(Math.round(statistics.get("language_model.model.norm.weight")![0])).toBe(0);
});
