export { writeBundle, type Bundle, type BundleMatrix, type WriteBundleOptions } from "./write-bundle.ts";
