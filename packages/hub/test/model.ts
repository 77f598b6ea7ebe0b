import type { StandInRepository } from "./stand-in.ts";

/** Seeded bytes. */
export function bytes(length: number, seed: number): Uint8Array {
  let state = seed;
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return state >>> 24;
  });
}

/** A model of two shards with everything around it; "LFS" files are redirected. */
export const MODEL: StandInRepository = {
  branches: ["main", "bfloat16", "refs/pr/1"],
  files: {
    "README.md": new TextEncoder().encode("# a model"),
    "config.json": new TextEncoder().encode('{"model_type":"paligemma"}'),
    "tokenizer.json": bytes(5_000, 1),
    "model-00001-of-00002.safetensors": bytes(300_000, 2),
    "model-00002-of-00002.safetensors": bytes(200_001, 3),
    "model.safetensors.index.json": new TextEncoder().encode(
      JSON.stringify({ weight_map: { a: "model-00001-of-00002.safetensors", b: "model-00002-of-00002.safetensors" } }),
    ),
    "pytorch_model.bin": bytes(4_000, 4),
    "onnx/größe 1.onnx": bytes(2_000, 5),
    empty: new Uint8Array(0),
  },
};

export const NEEDED = [
  "config.json",
  "tokenizer.json",
  "model.safetensors.index.json",
  "model-00001-of-00002.safetensors",
  "model-00002-of-00002.safetensors",
];
