import { type Example, type ImageLike, type ProcessOptions } from "@paligemma/processor";
import { expect, it } from "vitest";
import { processor, readFixture } from "./files.ts";
import { pattern } from "./patterns.ts";
import { sha256 } from "./sha256.ts";

type Picture = [width: number, height: number, mode: string];
interface Call {
  name: string;
  images: (Picture | Picture[])[];
  texts: string[];
  options: Record<string, unknown>;
  input_ids: number[][];
  attention_mask: number[][];
  token_type_ids: number[][];
  labels: number[][];
  pixels: { shape: number[]; sha256: string; first: number[] };
}
const { cases }: { cases: Call[] } = readFixture("processor.json");

it.each(cases.map((call) => [call.name, call] as const))("equals Hugging Face's processor: %s", async (_name, call) => {
  const { suffix, ...rest } = call.options;
  const images = assign(call);
  const examples = call.texts.map((prompt, row): Example => ({
    prompt,
    images: images[row],
    ...(suffix ? { suffix: (suffix as string[])[row] } : {}),
  }));
  const inputs = await processor.process(examples, camelCased(rest));
  const rows = (array: { data: BigInt64Array; shape: readonly number[] }): number[][] => {
    const [batch = 0, tokens = 0] = array.shape;
    return Array.from({ length: batch }, (_, row) =>
      Array.from(array.data.subarray(row * tokens, (row + 1) * tokens), Number),
    );
  };
  expect(rows(inputs.inputIds)).toEqual(call.input_ids);
  expect(rows(inputs.attentionMask)).toEqual(call.attention_mask);
  expect(rows(inputs.tokenTypeIds)).toEqual(call.token_type_ids);
  // Hugging Face always returns labels, all −100 without a suffix; here they are absent then.
  if (suffix === undefined) expect(inputs.labels).toBeUndefined();
  else expect(rows(inputs.labels!)).toEqual(call.labels);
  expect(inputs.pixelValues.shape).toEqual(call.pixels.shape);
  expect(Array.from(inputs.pixelValues.data.subarray(0, 6))).toEqual(call.pixels.first);
  expect(sha256(inputs.pixelValues.data)).toBe(call.pixels.sha256);
  expect(inputs.imagesPerRow).toEqual(images.map((row) => row.length));
});

/** Images by row: nested as given, or as many as each text has markers, or one each. */
function assign(call: Call): ImageLike[][] {
  if (Array.isArray(call.images[0]?.[0])) return call.images.map((row) => (row as Picture[]).map(picture));
  const all = (call.images as Picture[]).map(picture);
  return call.texts.map((text) => all.splice(0, Math.max(1, text.split("<image>").length - 1)));
}

function picture([width, height, mode]: Picture): ImageLike {
  if (mode !== "CMYK") return pattern(width, height, mode === "L" ? 1 : mode === "RGBA" ? 4 : 3, "waves");
  // Pillow's conversion of CMYK is tested with the decoder; its result is what the processor is given.
  const inks = pattern(width, height, 4, "waves").data;
  const data = new Uint8Array(width * height * 3);
  for (let i = 0; i < width * height; i++) {
    const white = 255 - inks[i * 4 + 3]!;
    for (let k = 0; k < 3; k++) data[i * 3 + k] = Math.max(0, white - Math.round((inks[i * 4 + k]! * white) / 255));
  }
  return { data, width, height, channels: 3 };
}

function camelCased(options: Record<string, unknown>): ProcessOptions {
  const values: Record<string, string> = { max_length: "maxLength", only_second: "onlySecond" };
  const resamples = ["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"];
  const entries = Object.entries(options).map(([key, value]) => [
    key.replace(/_[a-z]/g, (match) => match[1]!.toUpperCase()),
    key === "resample" ? resamples[value as number] : typeof value === "string" ? (values[value] ?? value) : value,
  ]);
  return Object.fromEntries(entries) as ProcessOptions;
}
