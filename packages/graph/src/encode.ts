import { create, fromBinary, toBinary, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { PaliGemmaError, bitsOf, type DType } from "@paligemma/core";
import type { TensorRef } from "@paligemma/weights";
import {
  AttributeProtoSchema,
  ModelProtoSchema,
  TypeProtoSchema,
  ValueInfoProtoSchema,
  type TensorProtoSchema,
} from "./generated/onnx-pb.ts";
import type { Attribute, GraphModel, Initializer, Port } from "./graph.ts";
import { ONNX_DTYPE } from "./operators/elementwise.ts";

/** ai.onnx opset 23 has Attention, RMSNormalization and RotaryEmbedding; CUDA kernels of 24 are not all there yet. */
const OPSET = 23n;
const IR_VERSION = 10n;
const EXTERNAL = 1;
/** onnx.proto, AttributeProto.AttributeType */
const ATTRIBUTE_TYPE = { float: 1, int: 2, string: 3, ints: 7 } as const;
/** A protobuf message must stay under 2 GiB; what is bigger belongs into external data. */
const MAX_INLINE_BYTES = 2 ** 30;

/** Where a runtime finds the bytes of an external tensor. */
export interface ExternalLocation {
  /** A path as the runtime wants it, or the key under which the bytes are handed in. */
  readonly location: string;
  readonly offset: number;
  readonly length: number;
}

/** An ONNX model and the byte ranges that it refers to. */
export interface EncodedModel {
  readonly bytes: Uint8Array;
  readonly external: readonly TensorRef[];
}

/**
 * The graph in ONNX's wire format. External tensors are referred to through `locate`; throws `graph/unbound` where a tensor
 * was only declared and has no bytes.
 */
export function encodeOnnx(model: GraphModel, locate: (ref: TensorRef) => ExternalLocation): EncodedModel {
  const external: TensorRef[] = [];
  let inline = 0;

  function tensor(initializer: Initializer): MessageInitShape<typeof TensorProtoSchema> {
    const { name, dtype, shape, data, ref } = initializer;
    const base = { name, dataType: ONNX_DTYPE[dtype], dims: shape.map(BigInt) };
    if (data) {
      inline += data.data.byteLength;
      return { ...base, rawData: new Uint8Array(data.data.buffer, data.data.byteOffset, data.data.byteLength) };
    }
    if (!ref)
      throw new PaliGemmaError(
        "graph/unbound",
        `${name} of the graph ${model.name} was declared without bytes; bind a checkpoint before compiling`,
      );
    external.push(ref);
    const { location, offset, length } = locate(ref);
    const entries = { location, offset: String(offset), length: String(length) };
    return {
      ...base,
      dataLocation: EXTERNAL,
      externalData: Object.entries(entries).map(([key, value]) => ({ key, value })),
    };
  }

  const port = portEncoder();
  const graph = {
    name: model.name,
    node: model.nodes.map((node) => ({
      opType: node.op,
      domain: node.domain,
      name: node.name,
      input: [...node.inputs],
      output: [...node.outputs],
      attribute: Object.entries(node.attributes).map(([name, value]) => attribute(name, value)),
    })),
    initializer: model.initializers.map(tensor),
    input: model.inputs.map(port),
    output: model.outputs.map(port),
    valueInfo: (model.values ?? []).map(port),
  };
  if (inline > MAX_INLINE_BYTES) {
    throw new PaliGemmaError(
      "graph/inline",
      `the graph ${model.name} carries ${inline} bytes of constants, the limit is ${MAX_INLINE_BYTES}; keep big tensors in a checkpoint`,
    );
  }
  const message = create(ModelProtoSchema, {
    irVersion: IR_VERSION,
    producerName: "paligemma.ts",
    graph,
    opsetImport: [
      { domain: "", version: model.opset === undefined ? OPSET : BigInt(model.opset) },
      { domain: "com.microsoft", version: 1n },
    ],
  });
  return { bytes: toBinary(ModelProtoSchema, message), external };
}

/**
 * Encodes what goes in, comes out or is made on the way. A graph has a thousand such values and a few types, and a type is four messages or
 * more: each is encoded once, and goes into the others as bytes.
 */
function portEncoder(): (port: Port) => MessageShape<typeof ValueInfoProtoSchema> {
  const types = new Map<string, Uint8Array>();
  return ({ name, dtype, shape }) => {
    if (bitsOf(dtype) === 4)
      throw new PaliGemmaError("graph/dtype", `${name} is ${dtype}, which cannot cross the border of a graph`);
    const key = JSON.stringify([dtype, shape]);
    const data = types.get(key) ?? encodedType(dtype, shape);
    types.set(key, data);
    const message = create(ValueInfoProtoSchema, { name });
    message.$unknown = [{ no: ValueInfoProtoSchema.field.type.number, wireType: WireType.LengthDelimited, data }];
    return message;
  };
}

/** A type with its length before it, as it stands in a message. */
function encodedType(dtype: DType, shape: Port["shape"]): Uint8Array {
  const dim = shape.map((d) => ({
    value:
      typeof d === "number" ? { case: "dimValue" as const, value: BigInt(d) } : { case: "dimParam" as const, value: d },
  }));
  const tensorType = { elemType: ONNX_DTYPE[dtype], shape: { dim } };
  const type = create(TypeProtoSchema, { value: { case: "tensorType", value: tensorType } });
  return new BinaryWriter().bytes(toBinary(TypeProtoSchema, type)).finish();
}

function attribute(name: string, value: Attribute): MessageInitShape<typeof AttributeProtoSchema> {
  if ("int" in value) return { name, type: ATTRIBUTE_TYPE.int, i: BigInt(value.int) };
  if ("float" in value) return { name, type: ATTRIBUTE_TYPE.float, f: value.float };
  if ("string" in value)
    return { name, type: ATTRIBUTE_TYPE.string, s: Uint8Array.from(value.string, (c) => c.charCodeAt(0)) };
  if ("encoded" in value) return fromBinary(AttributeProtoSchema, value.encoded);
  return { name, type: ATTRIBUTE_TYPE.ints, ints: value.ints.map(BigInt) };
}
