export { writeExport, type Export, type WriteExportOptions } from "./write-export.ts";
