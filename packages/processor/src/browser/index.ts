export { decodeImage, type BrowserImageSource } from "./decode-image.ts";
export { MAX_ENCODED_BYTES, type DecodeImageOptions } from "../decode-options.ts";
