export { PORTABLE, exportGraphs } from "./export-graphs.ts";
export { PARTS, SUFFIXES, dataPath, partPath, type ExportDType, type Part } from "./layout.ts";
export {
  exportedDTypes,
  looksLikeExport,
  openExport,
  type OpenExportOptions,
  type OpenedExport,
} from "./read/open-export.ts";
export { readOnnx, type ReadOnnxOptions } from "./read/read-onnx.ts";
