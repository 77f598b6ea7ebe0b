import { PaliGemmaError, bytesFor, sizeOf } from "@paligemma/core";
import type { Attribute, GraphModel, Initializer, Node, Port, Target } from "@paligemma/graph";
import type { ByteSource } from "@paligemma/weights";
import { TENSOR, TensorHead, dtypeOf, tensorData, text, varints } from "./tensor.ts";
import { Walker, fieldsOf, type Field } from "./wire.ts";

// Field numbers of onnx.proto.
const MODEL = { graph: 7, opset: 8, functions: 25 } as const;
const GRAPH = { node: 1, initializer: 5, input: 11, output: 12, sparse: 15 } as const;
const NODE = { input: 1, output: 2, name: 3, op: 4, attribute: 5, domain: 7 } as const;
const ATTRIBUTE = { name: 1, float: 2, int: 3, string: 4, ints: 8, type: 20 } as const;
const KIND = { float: 1, int: 2, string: 3, ints: 7 } as const;

/** Tensors up to this size are constants of the graph: shapes and indices, which a runtime wants to see when it compiles. */
const CONSTANT_BYTES = 65_536;
/** Operators of one graph: the largest released decoder takes some ten thousand when every step is an operator of its own. */
const MAX_NODES = 1_000_000;

/** How to read a model. */
export interface ReadOnnxOptions {
  /** Of the backend that will run it. */
  readonly target: Target;
  /** Opens a file of weights by the location that the model gives, relative to the model. */
  readonly open: (location: string) => Promise<ByteSource>;
  readonly signal?: AbortSignal;
}

/**
 * An ONNX file as a graph that any backend compiles. Weights stay where they lie, in this file or beside it: the graph points
 * at byte ranges. Throws `onnx/format`, `onnx/dtype` and `onnx/operator` for what is no model, or one that is not read.
 */
export async function readOnnx(name: string, source: ByteSource, options: ReadOnnxOptions): Promise<GraphModel> {
  const walker = new Walker(source, options.signal);
  const [inputs, outputs]: [Port[], Port[]] = [[], []];
  const nodes: Node[] = [];
  const initializers: Initializer[] = [];
  let opset = 0;
  let found = false;
  for await (const field of walker.fields(0, source.size)) {
    if (field.number === MODEL.functions) throw refused(source, "functions of its own");
    if (field.number === MODEL.opset) {
      const { domain, version } = opsetOf(await walker.bytes(field.start, field.end), source.name);
      if (domain === "" || domain === "ai.onnx") opset = version;
    }
    if (field.number === MODEL.graph) await readGraph(field);
  }
  if (!found || opset === 0 || nodes.length === 0)
    throw new PaliGemmaError(
      "onnx/format",
      `${source.name} is no ONNX model: it has no graph. Download or export it again`,
    );
  const given = new Set(initializers.map((tensor) => tensor.name));
  return {
    name,
    target: options.target,
    opset,
    inputs: inputs.filter((port) => !given.has(port.name)),
    outputs,
    nodes,
    initializers,
  };

  async function readGraph({ start, end }: Field): Promise<void> {
    found = true;
    for await (const field of walker.fields(start, end)) {
      if (field.number === GRAPH.initializer) initializers.push(await initializer(walker, field, source, options.open));
      if (field.number === GRAPH.sparse) throw refused(source, "sparse tensors");
      if (field.number !== GRAPH.node && field.number !== GRAPH.input && field.number !== GRAPH.output) continue;
      const bytes = await walker.bytes(field.start, field.end);
      if (field.number === GRAPH.node) nodes.push(nodeOf(bytes, source));
      else (field.number === GRAPH.input ? inputs : outputs).push(portOf(bytes, source.name));
      if (nodes.length > MAX_NODES) throw refused(source, `more than ${MAX_NODES} operators`);
    }
  }
}

function refused({ name }: ByteSource, what: string): PaliGemmaError {
  return new PaliGemmaError("onnx/operator", `${name} has ${what}, which is not read; export the model without`);
}

function opsetOf(bytes: Uint8Array, name: string): { readonly domain: string; readonly version: number } {
  let [domain, version] = ["", 0];
  for (const { number, value, start, end } of fieldsOf(bytes, name)) {
    if (number === 1) domain = text(bytes.subarray(start, end));
    if (number === 2) version = Number(value);
  }
  return { domain, version };
}

async function initializer(
  walker: Walker,
  { start, end }: Field,
  source: ByteSource,
  open: ReadOnnxOptions["open"],
): Promise<Initializer> {
  const head = new TensorHead();
  const lists = new Map<number, Uint8Array>();
  let raw: { readonly start: number; readonly end: number } | undefined;
  for await (const field of walker.fields(start, end)) {
    const big = field.end - field.start > CONSTANT_BYTES;
    if (field.number === TENSOR.raw && big) raw = field;
    else {
      const bytes = await walker.bytes(field.start, field.end);
      const taken = head.take(field, () => bytes, source.name);
      // A list may come as one range or, number by number, as several fields.
      if (!taken)
        lists.set(field.number, field.start === field.end ? appended(lists.get(field.number), field) : bytes.slice());
    }
  }
  const { name, dtype, shape, external } = head;
  const needed = bytesFor(dtype, sizeOf(shape));
  if (external.size > 0) {
    const location = external.get("location") ?? "";
    const file = await open(location);
    const from = Number(external.get("offset") ?? 0);
    const to = from + Number(external.get("length") ?? needed);
    if (!(from >= 0 && to <= file.size && to - from === needed))
      throw new PaliGemmaError(
        "onnx/format",
        `${name} of ${source.name} is said to be bytes [${from}, ${to}) of ${file.name}, which has ${file.size}; ${dtype} [${shape.join(", ")}] takes ${needed}`,
      );
    const ref = { name, dtype, shape, source: file, start: from, end: to };
    if (needed > CONSTANT_BYTES) return { name, dtype, shape, ref };
    return {
      name,
      dtype,
      shape,
      data: tensorData(head, new Map([[TENSOR.raw, await file.read(from, to)]]), source.name),
    };
  }
  if (!raw) return { name, dtype, shape, data: tensorData(head, lists, source.name) };
  if (raw.end - raw.start !== needed)
    throw new PaliGemmaError(
      "onnx/format",
      `${name} of ${source.name} has ${raw.end - raw.start} bytes, ${dtype} [${shape.join(", ")}] takes ${needed}`,
    );
  return { name, dtype, shape, ref: { name, dtype, shape, source, start: raw.start, end: raw.end } };
}

/** An unpacked number, kept as if it were packed: four bytes for floats, a varint for everything else. */
function appended(before: Uint8Array = new Uint8Array(0), { number, value }: Field): Uint8Array {
  const fixed = number === TENSOR.floats ? 4 : number === TENSOR.doubles ? 8 : 0;
  const more = Array.from({ length: fixed }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
  if (fixed > 0) return Uint8Array.from([...before, ...more]);
  let rest = value;
  while (rest > 0x7fn) {
    more.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  return Uint8Array.from([...before, ...more, Number(rest)]);
}

function nodeOf(bytes: Uint8Array, source: ByteSource): Node {
  const [inputs, outputs]: [string[], string[]] = [[], []];
  const attributes: Record<string, Attribute> = {};
  let [op, name, domain] = ["", "", ""];
  for (const { number, start, end } of fieldsOf(bytes, source.name)) {
    const part = bytes.subarray(start, end);
    if (number === NODE.input) inputs.push(text(part));
    else if (number === NODE.output) outputs.push(text(part));
    else if (number === NODE.name) name = text(part);
    else if (number === NODE.op) op = text(part);
    else if (number === NODE.domain) domain = text(part);
    else if (number === NODE.attribute) {
      const [key, value] = attributeOf(part, source.name);
      attributes[key] = value;
    }
  }
  if (domain === "ai.onnx") domain = "";
  if (domain !== "" && domain !== "com.microsoft") throw refused(source, `the operator ${op} of ${domain}`);
  return { op, domain, name: name || `${outputs[0]}.node`, inputs, outputs, attributes };
}

/** Attributes of kinds that graphs of ours have are decoded, others kept as they stand. */
function attributeOf(bytes: Uint8Array, file: string): readonly [string, Attribute] {
  let [name, kind, float, int, string] = ["", 0, 0, 0, ""];
  const ints: number[] = [];
  for (const { number, value, start, end } of fieldsOf(bytes, file)) {
    const part = bytes.subarray(start, end);
    if (number === ATTRIBUTE.name) name = text(part);
    else if (number === ATTRIBUTE.type) kind = Number(value);
    else if (number === ATTRIBUTE.float) float = new Float32Array(Uint32Array.of(Number(value)).buffer)[0]!;
    else if (number === ATTRIBUTE.int) int = Number(BigInt.asIntN(64, value));
    else if (number === ATTRIBUTE.string) string = String.fromCharCode(...part.subarray(0, 1024));
    else if (number === ATTRIBUTE.ints)
      ints.push(...(start === end ? [Number(BigInt.asIntN(64, value))] : varints(part).map(Number)));
  }
  const exact = [int, ...ints].every((n) => Number.isSafeInteger(n)) && string.length < 1024;
  if (kind === KIND.float) return [name, { float }];
  if (kind === KIND.int && exact) return [name, { int }];
  if (kind === KIND.string && exact) return [name, { string }];
  if (kind === KIND.ints && exact) return [name, { ints }];
  return [name, { encoded: bytes.slice() }];
}

function portOf(bytes: Uint8Array, file: string): Port {
  let name = "";
  let type: Uint8Array = new Uint8Array(0);
  for (const { number, start, end } of fieldsOf(bytes, file)) {
    if (number === 1) name = text(bytes.subarray(start, end));
    if (number === 2) type = bytes.subarray(start, end);
  }
  const inner = (message: Uint8Array, wanted: number): Uint8Array[] =>
    [...fieldsOf(message, file)].filter((f) => f.number === wanted).map((f) => message.subarray(f.start, f.end));
  const [tensor] = inner(type, 1);
  if (!tensor)
    throw new PaliGemmaError(
      "onnx/operator",
      `${name} of ${file} is no tensor; inputs and outputs of a PaliGemma export are`,
    );
  const number = [...fieldsOf(tensor, file)].find((f) => f.number === 1)?.value ?? 0n;
  const dims = inner(tensor, 2).flatMap((shape) => inner(shape, 1));
  // Names of sizes are made anew: files of others give one name to different sizes.
  const shape = dims.map((dim, axis) => {
    const size = [...fieldsOf(dim, file)].find((f) => f.number === 1)?.value;
    return size === undefined || size <= 0n ? `${name}.${axis}` : Number(size);
  });
  return { name, dtype: dtypeOf(Number(number), `${name} of ${file}`), shape };
}
