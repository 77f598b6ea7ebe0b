import { allocate, sizeOf, type NdArray } from "@paligemma/core";
import type { GraphModel, Initializer } from "@paligemma/graph";
import type { ByteSource } from "@paligemma/weights";
import type { LoadedWeight, WeightPlan } from "./plan.ts";
import { loadedAs, streamWeights, type StreamOptions } from "./stream.ts";

/** Reads tensors whole into memory, by name. */
export async function readWeights(
  weights: readonly LoadedWeight[],
  options: StreamOptions,
): Promise<Map<string, NdArray>> {
  const arrays = new Map<string, NdArray>();
  for (const { name, dtype, shape } of weights) {
    arrays.set(name, { dtype, shape, data: allocate(dtype, sizeOf(shape)) });
  }
  await streamWeights(
    weights,
    ({ name }, offset, bytes) => {
      const { data } = arrays.get(name)!;
      new Uint8Array(data.buffer, data.byteOffset, data.byteLength).set(bytes, offset);
    },
    options,
  );
  return arrays;
}

/**
 * Tensors that become constants of graphs: what was read for one is not read again for the next one of the same weights, unless
 * its memory was needed meanwhile.
 */
export class Constants {
  readonly #sources = new WeakMap<ByteSource, Map<string, WeakRef<NdArray>>>();

  /** The tensors, whole and by name. */
  async read(weights: readonly LoadedWeight[], options: StreamOptions): Promise<ReadonlyMap<string, NdArray>> {
    const arrays = new Map<string, NdArray>();
    const missing: LoadedWeight[] = [];
    for (const weight of weights) {
      const known = this.#of(weight).get(loadedAs(weight))?.deref();
      if (known) arrays.set(weight.name, { ...known, shape: weight.shape });
      else missing.push(weight);
    }
    const read = await readWeights(missing, options);
    for (const weight of missing) {
      const array = read.get(weight.name)!;
      this.#of(weight).set(loadedAs(weight), new WeakRef(array));
      arrays.set(weight.name, array);
    }
    return arrays;
  }

  #of({ ref }: LoadedWeight): Map<string, WeakRef<NdArray>> {
    const known = this.#sources.get(ref.source) ?? new Map<string, WeakRef<NdArray>>();
    this.#sources.set(ref.source, known);
    return known;
  }
}

/** The plan's graph as the runtime gets it: small tensors are constants, streamed ones are inputs. */
export function bindWeights(plan: WeightPlan, inline: ReadonlyMap<string, NdArray>): GraphModel {
  const { model, streamed } = plan;
  const asInputs = new Set(streamed.map(({ name }) => name));
  const initializers = model.initializers
    .filter(({ name }) => !asInputs.has(name))
    .map((initializer): Initializer => {
      const data = inline.get(initializer.name);
      return data ? { name: initializer.name, dtype: data.dtype, shape: data.shape, data } : initializer;
    });
  const inputs = streamed.map(({ name, dtype, shape }) => ({ name, dtype, shape }));
  return { ...model, inputs: [...model.inputs, ...inputs], initializers };
}
