import type { GraphModel } from "@paligemma/graph";

/** onnx.proto, TensorProto.DataType.FLOAT16 */
const FLOAT16 = 10;

/**
 * Names of the casts to float16, and of what reads their results: on a GPU without `shader-f16` the runtime would write
 * shaders for them that do not compile, so they go to the processor.
 */
export function halfCasts(model: GraphModel): readonly string[] {
  const halves = new Set<string>();
  const names: string[] = [];
  for (const node of model.nodes) {
    const to = node.attributes["to"];
    const toHalf = node.op === "Cast" && to !== undefined && "int" in to && to.int === FLOAT16;
    if (toHalf) node.outputs.forEach((output) => halves.add(output));
    if (toHalf || node.inputs.some((input) => halves.has(input))) names.push(node.name);
  }
  return names;
}
