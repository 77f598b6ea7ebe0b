import { sizeOf } from "@paligemma/core";
import type { GraphModel, Initializer, Node } from "@paligemma/graph";

/** What is done to a tensor's bytes while they are read: every byte XORed, or every number of four bytes written several times. */
export type Change = { readonly flip: number } | { readonly repeat: number };

/** A graph whose tensors are already what it makes of them alone. */
export interface Changed {
  readonly model: GraphModel;
  /** By name of the tensor that is left. */
  readonly changes: ReadonlyMap<string, Change>;
}

/** onnx.proto, TensorProto.DataType.UINT8 */
const UINT8 = 2;
/** Blocks of a row at most: those of 16 of a row of 65,536 numbers. */
const MAX_BLOCKS = 4096;

/**
 * Takes out of a graph how it cuts whole rows in 8 bits into blocks: signed bytes that are looked at as unsigned ones, flipped and
 * given another shape, and scales [rows, 1] that are stretched. Tensors that are streamed are inputs, of which the runtime would do
 * it in every run.
 */
export function changeWhileLoading(model: GraphModel): Changed {
  const users = (name: string): readonly Node[] => model.nodes.filter(({ inputs }) => inputs.includes(name));
  const onlyUser = ({ outputs }: Node): Node | undefined => {
    const [user, ...others] = users(outputs[0]!);
    return others.length === 0 ? user : undefined;
  };
  const constants = new Map(model.initializers.map((tensor) => [tensor.name, tensor.data?.data]));
  const numbers = (name: string | undefined): readonly number[] | undefined => {
    const data = constants.get(name ?? "");
    return data && Array.from(data, Number);
  };
  const changes = new Map<string, Change>();
  const done = new Set<Node>();

  /** What `nodes`, one after the other, make of a tensor. */
  function instead(tensor: Initializer, nodes: readonly Node[], change: Change): Initializer[] {
    const [name] = nodes.at(-1)!.outputs;
    for (const node of nodes) done.add(node);
    changes.set(name!, change);
    return [{ ...tensor, name: name!, ref: { ...tensor.ref! } }];
  }

  function flipped(tensor: Initializer, look: Node): readonly Initializer[] {
    const flip = toUnsigned(look) ? onlyUser(look) : undefined;
    const [bits, ...others] = (flip?.op === "BitwiseXor" && numbers(flip.inputs[1])) || [];
    const view = flip && onlyUser(flip);
    const shape = view?.op === "Reshape" ? numbers(view.inputs[1]) : undefined;
    if (bits === undefined || others.length > 0 || !shape || sizeOf(shape) !== sizeOf(tensor.shape)) return [];
    return instead({ ...tensor, dtype: "uint8", shape }, [look, flip!, view!], { flip: bits });
  }

  function stretched(tensor: Initializer, stretch: Node): readonly Initializer[] {
    const [rows, one, ...more] = tensor.shape;
    const shape = (stretch.op === "Expand" && numbers(stretch.inputs[1])) || [];
    const [, repeat = 0] = shape;
    if (one !== 1 || more.length > 0 || shape.length !== 2 || shape[0] !== rows) return [];
    if (!(repeat >= 1 && repeat <= MAX_BLOCKS)) return [];
    return instead({ ...tensor, shape }, [stretch], { repeat });
  }

  const initializers = model.initializers.flatMap((tensor): readonly Initializer[] => {
    if (!tensor.ref || (tensor.dtype !== "int8" && tensor.dtype !== "float32")) return [tensor];
    const change = tensor.dtype === "int8" ? flipped : stretched;
    const uses = users(tensor.name);
    const made = uses.flatMap((node) => change(tensor, node));
    return made.length > 0 && made.length === uses.length ? made : [tensor, ...made];
  });
  if (changes.size === 0) return { model, changes };
  return { model: { ...model, nodes: model.nodes.filter((node) => !done.has(node)), initializers }, changes };
}

function toUnsigned({ op, attributes }: Node): boolean {
  const to = attributes["to"];
  return op === "Cast" && to !== undefined && "int" in to && to.int === UINT8;
}

/** The bytes as the change makes them; others than those given. */
export function changed(bytes: Uint8Array, change: Change): Uint8Array {
  if ("flip" in change) return flippedBytes(bytes, change.flip);
  const made = new Uint8Array(bytes.length * change.repeat);
  for (let at = 0; at < bytes.length; at += 4)
    for (let i = 0; i < change.repeat; i++) made.set(bytes.subarray(at, at + 4), at * change.repeat + i * 4);
  return made;
}

function flippedBytes(bytes: Uint8Array, flip: number): Uint8Array {
  const made = bytes.slice();
  const words = new Uint32Array(made.buffer, 0, made.length >>> 2);
  for (let i = 0; i < words.length; i++) words[i]! ^= flip * 0x01010101;
  for (let i = words.length * 4; i < made.length; i++) made[i]! ^= flip;
  return made;
}
