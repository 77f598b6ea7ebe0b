import { allocate, sizeOf, type NdArray } from "@paligemma/core";
import type { GraphModel, Initializer } from "@paligemma/graph";
import type { LoadedWeight, WeightPlan } from "./plan.ts";
import { streamWeights, type StreamOptions } from "./stream.ts";

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
