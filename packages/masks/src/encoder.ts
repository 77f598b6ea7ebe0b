import { CODES_PER_MASK, CODE_COUNT, RASTER_SIDE, type CodecTensors } from "./codec-layout.ts";
import { RELU, type Kernel } from "./kernel.ts";
import { MASKS_AT_ONCE, createLayerBuilder } from "./layers.ts";

const PIXELS = RASTER_SIDE * RASTER_SIDE;
const WIDTH = 512;

/** What the encoder sees in masks. */
export interface Encoded {
  /** Nearest code of each cell, [masks][16]. */
  readonly codes: number[][];
  /** The network's output before it is rounded to codes, [masks, 16, 512]. */
  readonly features: Float32Array;
}

/** A function from rasters, [masks, 64, 64] in −1 to 1, to codes. */
export function createEncoder(kernel: Kernel, tensors: CodecTensors): (rasters: Float32Array) => Encoded {
  const build = createLayerBuilder(kernel, tensors);
  const input = build.maps(RASTER_SIDE, 1);
  const [at32, at16, at8, cells] = [build.maps(32, 16), build.maps(16, 32), build.maps(8, 64), build.maps(4, 128)];
  const output = build.maps(4, WIDTH);
  const halving = { kernel: 4, stride: 2, padding: 1, mode: RELU };
  const layers = [
    build.convolution("encoder.0", input, at32, halving),
    build.convolution("encoder.2", at32, at16, halving),
    build.convolution("encoder.4", at16, at8, halving),
    build.convolution("encoder.6", at8, cells, halving),
    build.residual("encoder.8", cells),
    build.residual("encoder.9", cells),
    build.convolution("encoder.10", cells, output, { kernel: 1 }),
  ];
  const nearestCode = createCodebook(tensors.get("_vq_vae._embedding")!.data);

  return (rasters) => {
    const count = rasters.length / PIXELS;
    const features = new Float32Array(count * CODES_PER_MASK * WIDTH);
    for (let start = 0; start < count; start += MASKS_AT_ONCE) {
      const masks = Math.min(MASKS_AT_ONCE, count - start);
      kernel.floats().set(rasters.subarray(start * PIXELS, (start + masks) * PIXELS), input.address / 4);
      for (const layer of layers) layer(masks);
      const size = masks * CODES_PER_MASK * WIDTH;
      features.set(
        kernel.floats().subarray(output.address / 4, output.address / 4 + size),
        start * CODES_PER_MASK * WIDTH,
      );
    }
    const codes = Array.from({ length: count }, (_, mask) =>
      Array.from({ length: CODES_PER_MASK }, (__, cell) =>
        nearestCode(features, (mask * CODES_PER_MASK + cell) * WIDTH),
      ),
    );
    return { codes, features };
  };
}

/** The codebook row with the least squared distance to 512 features at `offset`; of equal ones the first. */
function createCodebook(book: Float32Array): (features: Float32Array, offset: number) => number {
  const lengths = Float64Array.from({ length: CODE_COUNT }, (_, code) =>
    book.subarray(code * WIDTH, (code + 1) * WIDTH).reduce((sum, v) => sum + v * v, 0),
  );
  return (features, offset) => {
    let best = 0;
    let least = Number.POSITIVE_INFINITY;
    for (let code = 0; code < CODE_COUNT; code++) {
      let product = 0;
      for (let i = 0; i < WIDTH; i++) product += features[offset + i]! * book[code * WIDTH + i]!;
      // The features' own length is the same for all codes.
      const distance = lengths[code]! - 2 * product;
      if (distance < least) [best, least] = [code, distance];
    }
    return best;
  };
}
