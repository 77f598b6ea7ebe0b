export {
  FEW_ROWS,
  buildGraph,
  type Attribute,
  type Graph,
  type GraphModel,
  type GraphOptions,
  type Initializer,
  type Node,
  type NodeCall,
  type Port,
} from "./graph.ts";
export { encodeOnnx, type EncodedModel, type ExternalLocation } from "./encode.ts";
export { formatShape, sameShape, type Dim, type Shape, type Value, type ValueType } from "./value.ts";
export { CPU, CPU_WITHOUT_PANELS, CUDA, WASM, WEBGPU, type FusedOperator, type Target } from "./target.ts";
export {
  ADAPTER_INPUT,
  FED_INPUT,
  FED_SCALES,
  checkpointWeights,
  declaredWeights,
  fedWeights,
  type AdapterSlots,
  type LowRank,
  type QuantizedMatrix,
  type Weights,
} from "./weights.ts";
export {
  accumulate,
  add,
  cast,
  div,
  geluTanh,
  isAccumulation,
  mul,
  relu,
  scalar,
  softmax,
  sub,
  tanh,
} from "./operators/elementwise.ts";
export { argMax, concat, gather, integers, reshape, split, transpose, where } from "./operators/shape.ts";
export { linear, linears, matMul, multiplyTransposed, patches } from "./operators/linear.ts";
export { perceptron, type PerceptronOptions } from "./operators/perceptron.ts";
export { convolution, transposedConvolution, type ConvolutionOptions } from "./operators/convolution.ts";
export { gatherQuantized, multiplyQuantized } from "./operators/quantized.ts";
export { UNSETTLED, bestByScreen, canScreen, type Screen } from "./operators/screen.ts";
export { choicesFor, multiplySome, multiplySomeQuantized, type Choices } from "./operators/some-rows.ts";
export { layerNorm, rmsNorm } from "./operators/norms.ts";
export {
  attention,
  rotaryAt,
  rotaryTables,
  rotate,
  type AttentionOptions,
  type RotaryTables,
} from "./operators/attention.ts";
export { ONNX_DTYPE } from "./operators/elementwise.ts";
