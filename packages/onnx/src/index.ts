export { PORTABLE, exportGraphs } from "./export-graphs.ts";
export { PARTS, SUFFIXES, dataPath, partPath, type ExportDType, type Part } from "./layout.ts";
