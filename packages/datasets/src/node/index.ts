export type { Dataset, DatasetFormat, OpenDatasetOptions } from "./dataset.ts";
export { openDataset } from "./open-dataset.ts";
export { checkImage, type CheckedImage } from "./check-image.ts";
export { validateDataset, type ValidateOptions, type ValidationSummary } from "./validate-dataset.ts";
export { prepare, type PrepareSummary } from "./prepare.ts";
export type { PrepareOptions } from "./prepare-options.ts";
export type { PixelDtype } from "./shard-writer.ts";
