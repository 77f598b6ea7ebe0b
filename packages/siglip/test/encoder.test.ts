import { readFile } from "node:fs/promises";
import type { Backend } from "@paligemma/backend";
import { createNodeBackend } from "@paligemma/backend-node";
import { parseConfig, type SiglipConfig } from "@paligemma/config";
import { ndArray, zeros } from "@paligemma/core";
import { loadSiglip, type SiglipEncoder } from "@paligemma/siglip";
import { openSafetensors, type Checkpoint } from "@paligemma/weights";
import { fileSource } from "@paligemma/weights/node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TOLERANCES } from "../../../tooling/tolerances.ts";

const tiny = new URL("../../paligemma/test/fixtures/hf-tiny/pg1-tiny/", import.meta.url);

describe("SigLIP alone", () => {
  let backend: Backend;
  let encoder: SiglipEncoder;
  let config: SiglipConfig;
  let expected: Checkpoint;
  beforeAll(async () => {
    backend = await createNodeBackend();
    config = parseConfig(JSON.parse(await readFile(new URL("config.json", tiny), "utf8"))).vision;
    const checkpoint = await openSafetensors(await fileSource(new URL("model.safetensors", tiny)));
    expected = await openSafetensors(await fileSource(new URL("expected.safetensors", tiny)));
    encoder = await loadSiglip({ config, checkpoint, backend });
  });
  afterAll(async () => {
    await encoder.dispose();
    await backend.dispose();
  });

  it("gives the features that transformers gives", async () => {
    const pixels = Float32Array.from({ length: 2 * 3 * 28 * 28 }, (_, j) => Math.sin(j * 0.37) * 0.9);
    const features = await encoder.encode(ndArray("float32", [2, 3, 28, 28], pixels));
    const { data, shape } = await expected.read("vision.last_hidden_state");
    expect(features.shape).toEqual(shape);
    features.data.forEach((value, i) =>
      expect(Math.abs(value - (data[i] as number))).toBeLessThan(TOLERANCES["hf-tiny/logits"]),
    );
  });

  it("refuses pictures of another size than its own", async () => {
    await expect(encoder.encode(zeros("float32", [1, 3, 14, 14]))).rejects.toThrow(
      /siglip\/pixels: pixels are \[1, 3, 14, 14\].*\[images, 3, 28, 28\]/,
    );
  });
});
