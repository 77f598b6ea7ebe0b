import { sizeOf } from "@paligemma/core";
import type { GraphModel, Initializer, Node } from "@paligemma/graph";

/**
 * What is done to a tensor's bytes while they are read: every panel [in, rows] turned into rows [rows, in] and every byte XORed, or
 * every number of four bytes written several times.
 */
export type Change = { readonly panel: Panel; readonly flip: number } | { readonly repeat: number };

/** Rows side by side: [in, rows]. */
export interface Panel {
  readonly width: number;
  readonly rows: number;
}

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
 * Takes out of a graph how it cuts whole rows in 8 bits into blocks: panels of signed bytes that are turned, looked at as unsigned
 * ones, flipped and given another shape, and scales [rows, 1] that are stretched. Tensors that are streamed are inputs, of which the runtime would do
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
  function instead(tensor: Initializer, nodes: readonly Node[], change: Change): Initializer {
    const [name] = nodes.at(-1)!.outputs;
    for (const node of nodes) done.add(node);
    changes.set(name!, change);
    return { ...tensor, name: name!, ref: { ...tensor.ref! } };
  }

  function turned(tensor: Initializer, turn: Node): readonly Initializer[] {
    const [, width, rows] = tensor.shape;
    const look = turnsPanels(turn) ? onlyUser(turn) : undefined;
    const flip = look && toUnsigned(look) ? onlyUser(look) : undefined;
    const [bits, ...others] = (flip?.op === "BitwiseXor" && numbers(flip.inputs[1])) || [];
    if (!flip || bits === undefined || others.length > 0) return [];
    const views = users(flip.outputs[0]!).map((node) => {
      const shape = node.op === "Reshape" ? numbers(node.inputs[1]) : undefined;
      return shape && sizeOf(shape) === sizeOf(tensor.shape) ? { node, shape } : undefined;
    });
    if (views.length === 0 || views.includes(undefined)) return [];
    const change: Change = { panel: { width: width!, rows: rows! }, flip: bits };
    return views.map((view) =>
      instead({ ...tensor, dtype: "uint8", shape: view!.shape }, [turn, look!, flip, view!.node], change),
    );
  }

  function stretched(tensor: Initializer, stretch: Node): readonly Initializer[] {
    const [rows, one, ...more] = tensor.shape;
    const shape = (stretch.op === "Expand" && numbers(stretch.inputs[1])) || [];
    const [, repeat = 0] = shape;
    if (one !== 1 || more.length > 0 || shape.length !== 2 || shape[0] !== rows) return [];
    if (!(repeat >= 1 && repeat <= MAX_BLOCKS)) return [];
    return [instead({ ...tensor, shape }, [stretch], { repeat })];
  }

  const initializers = model.initializers.flatMap((tensor): readonly Initializer[] => {
    if (!tensor.ref || (tensor.dtype !== "int8" && tensor.dtype !== "float32")) return [tensor];
    const change = tensor.dtype === "int8" ? turned : stretched;
    const made = users(tensor.name).map((node) => change(tensor, node));
    const usedAsItLies = made.length === 0 || made.some(({ length }) => length === 0);
    return usedAsItLies ? [tensor, ...made.flat()] : made.flat();
  });
  if (changes.size === 0) return { model, changes };
  return { model: { ...model, nodes: model.nodes.filter((node) => !done.has(node)), initializers }, changes };
}

/** True for [panels, in, rows] → [panels, rows, in]. */
function turnsPanels({ op, attributes }: Node): boolean {
  const order = attributes["perm"];
  return op === "Transpose" && order !== undefined && "ints" in order && order.ints.join() === "0,2,1";
}

function toUnsigned({ op, attributes }: Node): boolean {
  const to = attributes["to"];
  return op === "Cast" && to !== undefined && "int" in to && to.int === UINT8;
}

/** Bytes of a tensor that a change takes together: they are never cut. */
export function togetherBytes(change: Change | undefined): number {
  return change && "panel" in change ? change.panel.width * change.panel.rows : 1;
}

/** The bytes as the change makes them; others than those given. */
export function changed(bytes: Uint8Array, change: Change): Uint8Array {
  if ("panel" in change) return turnedPanels(bytes, change.panel, change.flip);
  const made = new Uint8Array(bytes.length * change.repeat);
  for (let at = 0; at < bytes.length; at += 4)
    for (let i = 0; i < change.repeat; i++) made.set(bytes.subarray(at, at + 4), at * change.repeat + i * 4);
  return made;
}

function turnedPanels(bytes: Uint8Array, { width, rows }: Panel, flip: number): Uint8Array {
  const made = new Uint8Array(bytes.length);
  for (let panel = 0; panel < bytes.length; panel += width * rows)
    for (let r = 0; r < rows; r++) {
      const row = panel + r * width;
      for (let k = 0, from = panel + r; k < width; k++, from += rows) made[row + k] = bytes[from]! ^ flip;
    }
  return made;
}
