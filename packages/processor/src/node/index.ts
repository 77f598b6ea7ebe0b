export { decodeImage } from "./decode-image.ts";
export { createImagePool, type ImagePool, type ImagePoolOptions, type PreparedImage } from "./image-pool.ts";
export type { ImageSource } from "./read-source.ts";
export { MAX_ENCODED_BYTES, type DecodeImageOptions } from "../decode-options.ts";
