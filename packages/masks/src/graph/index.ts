export { createGraphCodec, type GraphCodec } from "./graph-codec.ts";
export { maskDecoder, maskDecoderGraph, maskEncoder, maskEncoderGraph } from "./network.ts";
