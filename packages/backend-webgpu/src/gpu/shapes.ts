import type { Feeds } from "@paligemma/backend";
import type { GraphModel, Port } from "@paligemma/graph";

/** Sizes of the named dimensions of a graph, as this run feeds it. */
export function namedSizes(model: GraphModel, feeds: Feeds): ReadonlyMap<string, number> {
  const sizes = new Map<string, number>();
  for (const { name, shape } of model.inputs) {
    shape.forEach((dimension, axis) => {
      if (typeof dimension === "string") sizes.set(dimension, feeds[name]!.shape[axis]!);
    });
  }
  return sizes;
}

/** The shape of an output where the fed sizes tell it. */
export function knownShape({ shape }: Port, sizes: ReadonlyMap<string, number>): readonly number[] | undefined {
  const known = shape.map((dimension) => (typeof dimension === "number" ? dimension : sizes.get(dimension)));
  return known.includes(undefined) ? undefined : (known as number[]);
}
