import { CODES_PER_MASK, CODE_COUNT, RASTER_SIDE, type CodecTensors } from "./codec-layout.ts";
import { type Kernel } from "./kernel.ts";
import { MASKS_AT_ONCE, createLayerBuilder } from "./layers.ts";

const PIXELS = RASTER_SIDE * RASTER_SIDE;

/** A function from codes, [masks, 16], to rasters, [masks, 64, 64], in about −1 to 1. */
export function createDecoder(
  kernel: Kernel,
  tensors: CodecTensors,
): (codes: readonly (readonly number[])[]) => Float32Array {
  const build = createLayerBuilder(kernel, tensors);
  const cells = build.maps(4, 128);
  const [at8, at16, at32, at64] = [build.maps(8, 128), build.maps(16, 64), build.maps(32, 32), build.maps(64, 16)];
  const output = build.maps(RASTER_SIDE, 8); // one channel is used; the kernel works in eights
  const layers = [
    build.residual("decoder.2", cells),
    build.residual("decoder.3", cells),
    build.upsampling("decoder.4", cells, at8),
    build.upsampling("decoder.6", at8, at16),
    build.upsampling("decoder.8", at16, at32),
    build.upsampling("decoder.10", at32, at64),
    build.convolution("decoder.12", at64, output, { kernel: 1 }),
  ];
  const firstRows = embedCodes(tensors);

  return (codes) => {
    const rasters = new Float32Array(codes.length * PIXELS);
    for (let start = 0; start < codes.length; start += MASKS_AT_ONCE) {
      const batch = codes.slice(start, start + MASKS_AT_ONCE);
      const input = kernel.floats().subarray(cells.address / 4);
      for (const [mask, row] of batch.entries()) {
        for (const [cell, code] of row.entries())
          input.set(firstRows.subarray(code * 128, code * 128 + 128), (mask * CODES_PER_MASK + cell) * 128);
      }
      for (const layer of layers) layer(batch.length);
      const floats = kernel.floats();
      for (let i = 0; i < batch.length * PIXELS; i++) rasters[start * PIXELS + i] = floats[output.address / 4 + i * 8]!;
    }
    return rasters;
  };
}

/** The first layer sees nothing but codebook rows, so its 128 possible outputs are a table: ReLU(row · weight + bias), [128, 128]. */
function embedCodes(tensors: CodecTensors): Float32Array {
  const book = tensors.get("_vq_vae._embedding")!.data;
  const weight = tensors.get("decoder.0.weight")!.data;
  const bias = tensors.get("decoder.0.bias")!.data;
  const rows = new Float32Array(CODE_COUNT * 128);
  for (let code = 0; code < CODE_COUNT; code++) {
    for (let output = 0; output < 128; output++) {
      let sum = bias[output]!;
      for (let i = 0; i < 512; i++) sum += book[code * 512 + i]! * weight[output * 512 + i]!;
      rows[code * 128 + output] = Math.max(sum, 0);
    }
  }
  return rows;
}
