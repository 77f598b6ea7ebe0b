import { allocate, sizeOf, type NdArray } from "@paligemma/core";
import type { GraphModel, Initializer } from "@paligemma/graph";
import type { ByteSource } from "@paligemma/weights";
import type { LoadedWeight, WeightPlan } from "./plan.ts";
import { loadedAs, streamWeights, type Sink, type StreamOptions } from "./stream.ts";

/** Reads tensors whole into memory, by name. */
export async function readWeights(
  weights: readonly LoadedWeight[],
  options: StreamOptions,
): Promise<Map<string, NdArray>> {
  const arrays = new Map<string, NdArray>();
  for (const { name, dtype, shape } of weights) {
    arrays.set(name, { dtype, shape, data: allocate(dtype, sizeOf(shape)) });
  }
  await streamWeights(weights, putInto(arrays), options);
  return arrays;
}

function putInto(arrays: ReadonlyMap<string, NdArray>): Sink {
  return ({ name }, offset, bytes) => {
    const { data } = arrays.get(name)!;
    new Uint8Array(data.buffer, data.byteOffset, data.byteLength).set(bytes, offset);
  };
}

/** Constants of one graph, on their way into memory. */
export interface ConstantsRead {
  /** Whole, by name, once what is missing was streamed to `put`. */
  readonly arrays: ReadonlyMap<string, NdArray>;
  readonly missing: readonly LoadedWeight[];
  readonly put: Sink;
}

/** Tensors that become constants of graphs: what was read for one is not read again for others while that one holds it. */
export class Constants {
  readonly #sources = new WeakMap<ByteSource, Map<string, WeakRef<NdArray["data"]>>>();

  /** Those of `weights` that are known already, and places for the others. */
  begin(weights: readonly LoadedWeight[]): ConstantsRead {
    const arrays = new Map<string, NdArray>();
    const missing: LoadedWeight[] = [];
    for (const weight of weights) {
      const { name, dtype, shape } = weight;
      const known = this.#of(weight).get(loadedAs(weight))?.deref();
      if (!known) missing.push(weight);
      arrays.set(name, { dtype, shape, data: known ?? allocate(dtype, sizeOf(shape)) });
    }
    return { arrays, missing, put: putInto(arrays) };
  }

  /** Remembers what was read. */
  keep({ arrays, missing }: ConstantsRead): void {
    for (const weight of missing) this.#of(weight).set(loadedAs(weight), new WeakRef(arrays.get(weight.name)!.data));
  }

  #of({ ref }: LoadedWeight): Map<string, WeakRef<NdArray["data"]>> {
    const known = this.#sources.get(ref.source) ?? new Map<string, WeakRef<NdArray["data"]>>();
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
