import { bytesFor, fromFloat32, sizeOf, toFloat32, type DType, type NdArray } from "@paligemma/core";
import type { GraphModel, Initializer, Node, Target } from "@paligemma/graph";
import type { TensorRef } from "@paligemma/weights";
import { changeWhileLoading, type Change } from "./changes.ts";
import { splitTables } from "./split.ts";

/** A tensor of a checkpoint and the format that the graph gets it in. */
export interface LoadedWeight {
  readonly name: string;
  readonly ref: TensorRef;
  readonly dtype: DType;
  /** As the graph looks at it; the same bytes may be looked at in several ways. */
  readonly shape: readonly number[];
  readonly change?: Change;
}

/** How a graph's weights get to the device. */
export interface WeightPlan {
  /** The graph without casts that are done while loading, its external tensors still in place, in their new format. */
  readonly model: GraphModel;
  /** Tensors that become constants of the graph: the runtime folds what is computed from them alone. */
  readonly inline: readonly LoadedWeight[];
  /** Tensors that are streamed to the device. */
  readonly streamed: readonly LoadedWeight[];
}

/** onnx.proto, TensorProto.DataType: the formats that weights are converted to. */
const FORMATS = new Map<number, DType>([
  [1, "float32"],
  [10, "float16"],
]);

/** Formats that a conversion while loading can start from. */
const CONVERTIBLE: ReadonlySet<DType> = new Set<DType>(["float32", "float16", "bfloat16"]);

/**
 * Decides for every tensor of a checkpoint in which format it is loaded and where to. A tensor that the graph only uses cast
 * to one format is loaded in that format; one in a format that the target cannot hold is loaded in its arithmetic format. So
 * are constants of the graph. Tensors of at most `inlineBytes` become constants; tables of more than `maxBytes` are cut into parts.
 */
export function planWeights(
  given: GraphModel,
  target: Target,
  inlineBytes: number,
  maxBytes: number = Infinity,
): WeightPlan {
  const { model, changes } = changeWhileLoading(given);
  const uses = usesOf(model);
  const renamed = new Map<string, string>();
  const dropped = new Set<Node>();
  const weights: LoadedWeight[] = [];
  const initializers: Initializer[] = [];

  for (const initializer of model.initializers) {
    const { name, ref, data, shape } = initializer;
    const users = uses.get(name) ?? [];
    const change = changes.get(name);
    const dtype = change ? initializer.dtype : loadedFormat(initializer.dtype, users, target);
    if (ref) weights.push({ name, ref, dtype, shape, ...(change && { change }) });
    initializers.push({ name, shape, dtype, ...(ref && { ref }), ...(data && { data: inFormat(data, dtype) }) });
    for (const user of users) {
      if (castTarget(user) !== dtype) continue;
      renamed.set(user.outputs[0]!, name);
      dropped.add(user);
    }
  }

  const nodes = model.nodes
    .filter((node) => !dropped.has(node))
    .map((node) =>
      node.inputs.some((input) => renamed.has(input))
        ? { ...node, inputs: node.inputs.map((input) => renamed.get(input) ?? input) }
        : node,
    );
  const isInline = ({ shape, dtype }: LoadedWeight): boolean => bytesFor(dtype, sizeOf(shape)) <= inlineBytes;
  // Other formats change what nodes make: the types that were told before do not hold any more.
  const split = splitTables({ ...model, nodes, initializers, values: [] }, weights, maxBytes);
  return {
    model: split.model,
    inline: split.weights.filter(isInline),
    streamed: split.weights.filter((weight) => !isInline(weight)),
  };
}

function loadedFormat(stored: DType, users: readonly Node[], target: Target): DType {
  if (!CONVERTIBLE.has(stored)) return stored;
  const casts = new Set(users.map(castTarget));
  const [only] = casts;
  if (casts.size === 1 && only) return only;
  return target.stored.has(stored) ? stored : target.compute;
}

function inFormat(array: NdArray, dtype: DType): NdArray {
  if (array.dtype === dtype) return array;
  const wide = toFloat32(array);
  return dtype === "float32" ? wide : fromFloat32(wide, dtype as "float16");
}

/** The format that a Cast node makes, if it is one that weights are converted to. */
function castTarget(node: Node): DType | undefined {
  const to = node.attributes["to"];
  return node.op === "Cast" && to && "int" in to ? FORMATS.get(to.int) : undefined;
}

function usesOf(model: GraphModel): Map<string, Node[]> {
  const uses = new Map<string, Node[]>();
  for (const node of model.nodes) {
    for (const input of node.inputs) {
      const known = uses.get(input);
      if (known) known.push(node);
      else uses.set(input, [node]);
    }
  }
  return uses;
}
