import type { CodecTensor, CodecTensors } from "./codec-layout.ts";
import { RELU, RESIDUAL, type Convolution, type Kernel } from "./kernel.ts";

/** How many masks go through the network at once: enough to use weights while they are in the cache, little memory. */
export const MASKS_AT_ONCE = 8;

/** Square channel-last feature maps of `MASKS_AT_ONCE` masks in the kernel's memory: [mask, y, x, channel]. */
export interface Maps {
  readonly address: number;
  readonly side: number;
  readonly channels: number;
}

/** Runs over the first `masks` masks of its maps. */
export type Layer = (masks: number) => void;

/** Where one output pixel is, and which input pixels it sums, tap by tap. */
type Reach = (
  y: number,
  x: number,
) => { readonly to: readonly [number, number]; readonly from: readonly (readonly [number, number])[] };

/** Builds layers in a kernel's memory, from a codec's arrays by name. */
export interface LayerBuilder {
  maps(side: number, channels: number): Maps;
  /** Convolution [out, in, k, k] with a stride and `padding` pixels of zeros on each side. */
  convolution(
    name: string,
    from: Maps,
    to: Maps,
    options: { readonly kernel: number; readonly stride?: number; readonly padding?: number; readonly mode?: number },
  ): Layer;
  /** Transposed convolution [in, out, 4, 4], stride 2, padding 1, then ReLU: each parity of the output is a 2 × 2 convolution. */
  upsampling(name: string, from: Maps, to: Maps): Layer;
  /** 3 × 3, ReLU, 3 × 3, ReLU, 1 × 1, plus the input; in place, no ReLU after the sum. */
  residual(name: string, maps: Maps): Layer;
}

/** A builder on `kernel`. The arrays are copied. */
export function createLayerBuilder(kernel: Kernel, tensors: CodecTensors): LayerBuilder {
  const zeros = kernel.allocate(512 * 4); // as many channels as any layer has

  const maps = (side: number, channels: number): Maps => ({
    address: kernel.allocate(MASKS_AT_ONCE * side * side * channels * 4),
    side,
    channels,
  });

  const layer = (
    from: Maps,
    to: Maps,
    side: number,
    reach: Reach,
    weight: WeightAt,
    bias: CodecTensor,
    mode: number,
  ): Layer => {
    const taps = reach(0, 0).from.length;
    const c: Convolution = {
      taps,
      channels: from.channels,
      outputs: to.channels,
      ...tables(kernel, from, to, side, taps, reach, zeros),
      weights: packWeights(kernel, taps, from.channels, to.channels, bias.data.length, weight),
      bias: store(kernel, bias.data, to.channels),
      mode,
    };
    return (masks) => kernel.convolve(c, masks * side * side);
  };

  const convolution: LayerBuilder["convolution"] = (
    name,
    from,
    to,
    { kernel: size, stride = 1, padding = 0, mode = 0 },
  ) => {
    const weight = tensors.get(`${name}.weight`)!.data;
    const offsets = Array.from(
      { length: size * size },
      (_, tap) => [Math.floor(tap / size) - padding, (tap % size) - padding] as const,
    );
    const reach: Reach = (y, x) => ({
      to: [y, x],
      from: offsets.map(([dy, dx]) => [y * stride + dy, x * stride + dx]),
    });
    const at: WeightAt = (output, tap, channel) => weight[(output * from.channels + channel) * size * size + tap]!;
    return layer(from, to, to.side, reach, at, tensors.get(`${name}.bias`)!, mode);
  };

  const upsampling: LayerBuilder["upsampling"] = (name, from, to) => {
    const weight = tensors.get(`${name}.weight`)!.data;
    const phases = [0, 1, 2, 3].map((phase) => {
      const [py, px] = [phase >> 1, phase & 1];
      const taps = PHASES[py]!.flatMap((vertical) => PHASES[px]!.map((horizontal) => [vertical, horizontal] as const));
      const reach: Reach = (y, x) => ({
        to: [2 * y + py, 2 * x + px],
        from: taps.map(([v, h]) => [y + v.offset, x + h.offset]),
      });
      const at: WeightAt = (output, tap, channel) => {
        const [v, h] = taps[tap]!;
        return weight[((channel * to.channels + output) * 4 + v.kernel) * 4 + h.kernel]!;
      };
      return layer(from, to, from.side, reach, at, tensors.get(`${name}.bias`)!, RELU);
    });
    return (masks) => phases.forEach((run) => run(masks));
  };

  const residual: LayerBuilder["residual"] = (name, x) => {
    const [first, second] = [maps(x.side, x.channels), maps(x.side, x.channels)];
    const steps = [
      convolution(`${name}.net.0`, x, first, { kernel: 3, padding: 1, mode: RELU }),
      convolution(`${name}.net.2`, first, second, { kernel: 3, padding: 1, mode: RELU }),
      convolution(`${name}.net.4`, second, x, { kernel: 1, mode: RESIDUAL }),
    ];
    return (masks) => steps.forEach((run) => run(masks));
  };

  return { maps, convolution, upsampling, residual };
}

// output = 2 · input − 1 + kernel: even outputs use kernel rows 1 and 3, odd ones 2 and 0.
const PHASES = [
  [{ offset: 0, kernel: 1 }, { offset: -1, kernel: 3 }],
  [{ offset: 0, kernel: 2 }, { offset: 1, kernel: 0 }],
] as const; // prettier-ignore

type WeightAt = (output: number, tap: number, channel: number) => number;

function packWeights(
  kernel: Kernel,
  taps: number,
  channels: number,
  padded: number,
  outputs: number,
  weight: WeightAt,
): number {
  const packed = new Float32Array(padded * taps * channels);
  for (let block = 0, i = 0; block < padded; block += 8) {
    for (let tap = 0; tap < taps; tap++) {
      for (let channel = 0; channel < channels; channel++) {
        for (let n = block; n < block + 8; n++, i++) if (n < outputs) packed[i] = weight(n, tap, channel);
      }
    }
  }
  return store(kernel, packed, packed.length);
}

function store(kernel: Kernel, data: Float32Array, count: number): number {
  const address = kernel.allocate(count * 4);
  kernel.floats().set(data, address / 4);
  return address;
}

function tables(
  kernel: Kernel,
  from: Maps,
  to: Maps,
  side: number,
  taps: number,
  reach: Reach,
  zeros: number,
): { rows: number; outs: number } {
  const pixels = MASKS_AT_ONCE * side * side;
  const [rows, outs] = [new Int32Array(pixels * taps), new Int32Array(pixels)];
  const pixel = (maps: Maps, mask: number, y: number, x: number): number =>
    maps.address + (mask * maps.side * maps.side + y * maps.side + x) * maps.channels * 4;
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const { to: target, from: sources } = reach(y, x);
      for (let mask = 0, p = y * side + x; mask < MASKS_AT_ONCE; mask++, p += side * side) {
        outs[p] = pixel(to, mask, ...target);
        for (const [tap, [sy, sx]] of sources.entries()) {
          const inside = sy >= 0 && sx >= 0 && sy < from.side && sx < from.side;
          rows[p * taps + tap] = inside ? pixel(from, mask, sy, sx) : zeros;
        }
      }
    }
  }
  const [rowsAt, outsAt] = [kernel.allocate(rows.byteLength), kernel.allocate(outs.byteLength)];
  kernel.integers().set(rows, rowsAt / 4);
  kernel.integers().set(outs, outsAt / 4);
  return { rows: rowsAt, outs: outsAt };
}
