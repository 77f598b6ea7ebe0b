import { quantizeCheckpoint } from "@paligemma/quantization";
import { canonicalNames, memorySource, openModel, safetensorsBytes, type ModelFiles } from "@paligemma/weights";

const WEIGHTS = "model.safetensors";
/** The smallest: the rows of tiny-shapes, of 72, 144 and 432 numbers, are filled best by it. */
const BLOCK_SIZE = 16;

/** Files of a model with its matrices in 4 or 8 bits, in memory. */
export async function packedFiles(files: ModelFiles, dtype: "int8" | "int4"): Promise<ModelFiles> {
  const { tensors } = quantizeCheckpoint(canonicalNames(await openModel(files)), { dtype, blockSize: BLOCK_SIZE });
  const weights = memorySource(await safetensorsBytes(tensors), WEIGHTS);
  return {
    ...files,
    open: (path, ...rest) => (path === WEIGHTS ? Promise.resolve(weights) : files.open(path, ...rest)),
  };
}
