import { readFileSync } from "node:fs";
import type { Backend } from "@paligemma/backend";
import { createNodeBackend } from "@paligemma/backend-node";
import { createGraphCodec } from "@paligemma/masks/graph";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { expectGraphCodec, expectManyMasks, type CodecOracle } from "./graph-codec-cases.ts";
import { randomCodec } from "./random-codec.ts";

const file = (name: string): Buffer => readFileSync(new URL(`fixtures/${name}`, import.meta.url));

describe("the codec as graphs on the CPU", () => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await createNodeBackend({ device: "cpu" });
  }, 60_000);
  afterAll(() => backend.dispose());

  const oracle = JSON.parse(file("codec.json").toString()) as CodecOracle;

  it("decodes and encodes as PyTorch and as TypeScript do", async () => {
    await expectGraphCodec(backend, oracle, new Uint8Array(file("codec.bin")));
  }, 120_000);

  it("takes more masks than fit in one run", async () => {
    await expectManyMasks(backend, oracle);
  }, 120_000);

  it("refuses what the plain codec refuses, and encodes only with an encoder", async () => {
    const half = new Map([...randomCodec()].filter(([name]) => !name.startsWith("encoder.")));
    await using codec = createGraphCodec(half, backend);
    expect(codec.canEncode).toBe(false);
    await expect(codec.encode([new Float32Array(4096)])).rejects.toThrow(/masks\/encoder/);
    await expect(codec.decode([[1, 2]])).rejects.toThrow(/masks\/codes: mask 0 has 2 codes/);
    half.delete("decoder.0.bias");
    expect(() => createGraphCodec(half, backend)).toThrow(/decoder\.0\.bias is missing/);
  }, 60_000);
});
