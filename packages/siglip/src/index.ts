export { siglip } from "./network.ts";
export { SIGLIP_PREFIX, loadSiglip, siglipGraph, type LoadSiglipOptions, type SiglipEncoder } from "./encoder.ts";
