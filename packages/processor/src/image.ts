import { PaliGemmaError } from "@paligemma/core";

/** Raw pixels: rows from the top, pixels from the left, channels together, one byte each ([height, width, channels]). */
export interface ImageLike {
  /** `height × width × channels` bytes. Never written to. */
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
  /** 1 grey, 2 grey and alpha, 3 red green blue, 4 red green blue alpha. */
  readonly channels: 1 | 2 | 3 | 4;
}

/** The longest edge of an image in pixels: offsets in every buffer of the resampler stay exact in 32 bits. */
export const MAX_EDGE = 1_000_000;

/** The most pixels of one image: where Pillow refuses as well (twice `Image.MAX_IMAGE_PIXELS`). */
export const MAX_PIXELS = 178_956_970;

/** `image` once its numbers fit together; throws `processor/image` otherwise. `name` says which image in the error. */
export function checkImage(image: ImageLike, name = "the image"): ImageLike {
  if (typeof image !== "object" || image === null || !("data" in image)) {
    throw new PaliGemmaError(
      "processor/image",
      `${name} is ${describe(image)}, not raw pixels { data, width, height, channels }. Decode files with decodeImage of @paligemma/processor/node or /browser, or pass decodeImage to createProcessor.`,
    );
  }
  const { data, width, height, channels } = image;
  for (const [key, value] of Object.entries({ width, height })) {
    if (!Number.isInteger(value) || value < 1 || value > MAX_EDGE) {
      throw new PaliGemmaError(
        "processor/image",
        `${name} has the ${key} ${value}; it must be a whole number from 1 to ${MAX_EDGE}`,
      );
    }
  }
  if (width * height > MAX_PIXELS) {
    throw new PaliGemmaError(
      "processor/image",
      `${name} has ${width} × ${height} pixels, more than the ${MAX_PIXELS} allowed; make it smaller first`,
    );
  }
  if (![1, 2, 3, 4].includes(channels)) {
    throw new PaliGemmaError(
      "processor/image",
      `${name} has ${channels} channels; 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA) are possible`,
    );
  }
  if (!(data instanceof Uint8Array)) {
    throw new PaliGemmaError(
      "processor/image",
      `${name} has data of type ${describe(data)}; bytes from 0 to 255 (Uint8Array) are needed`,
    );
  }
  if (data.length !== width * height * channels) {
    throw new PaliGemmaError(
      "processor/image",
      `${name} has ${data.length} bytes, ${width} × ${height} pixels of ${channels} channels need ${width * height * channels}`,
    );
  }
  return image;
}

/** The image with three channels: grey repeated, alpha dropped without compositing (as Pillow's `convert("RGB")` does). */
export function toRgb(image: ImageLike): ImageLike {
  const { data, width, height, channels } = image;
  if (channels === 3) return image;
  const pixels = width * height;
  const rgb = new Uint8Array(pixels * 3);
  const second = channels === 4 ? 1 : 0;
  const third = channels === 4 ? 2 : 0;
  for (let pixel = 0, from = 0, to = 0; pixel < pixels; pixel++, from += channels, to += 3) {
    rgb[to] = data[from]!;
    rgb[to + 1] = data[from + second]!;
    rgb[to + 2] = data[from + third]!;
  }
  return { data: rgb, width, height, channels: 3 };
}

function describe(value: unknown): string {
  if (value === null) return "null";
  if (typeof value === "string") return `the text ${JSON.stringify(value.slice(0, 60))}`;
  if (typeof value !== "object") return typeof value;
  return value.constructor?.name ?? "an object";
}
