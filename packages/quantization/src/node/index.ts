export { defaultCacheFolder, quantizedFiles, type QuantizedFilesOptions } from "./quantized-files.ts";
export { writeBundle, type Bundle, type BundleMatrix, type WriteBundleOptions } from "./write-bundle.ts";
