import { CODEC_SHAPES, type CodecTensor, type CodecTensors } from "@paligemma/masks";

/** The weights of tooling/oracles/mask_codec.py, made from the arrays' names by the same rule. */
export function randomCodec(): CodecTensors {
  return new Map(Object.entries(CODEC_SHAPES).map(([name, shape]) => [name, randomTensor(name, shape)]));
}

function randomTensor(name: string, shape: readonly number[]): CodecTensor {
  const data = new Float32Array(shape.reduce((a, b) => a * b, 1));
  const scale = scaleOf(name, shape);
  let state = hashName(name);
  for (let i = 0; i < data.length; i++) {
    state = (state + 0x6d2b_79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    data[i] = ((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * 2 - 1) * scale;
  }
  return { shape, data };
}

function hashName(name: string): number {
  return Array.from(new TextEncoder().encode(name)).reduce(
    (h, byte) => Math.imul(h ^ byte, 0x0100_0193) >>> 0,
    0x811c_9dc5,
  );
}

function scaleOf(name: string, shape: readonly number[]): number {
  if (name.startsWith("_vq_vae")) return 1;
  if (name.endsWith(".bias")) return 0.1;
  const [outputs = 1, inputs = 1, height = 1, width = 1] = shape;
  const isTransposed = name.startsWith("decoder.") && height === 4;
  return Math.sqrt(4 / (isTransposed ? outputs * 4 : inputs * height * width));
}
