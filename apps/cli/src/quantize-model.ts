import { parseConfig, releasedTensors } from "@paligemma/config";
import { PaliGemmaError, type OnProgress } from "@paligemma/core";
import { openFiles } from "@paligemma/hub/node";
import type { QuantizedDType, VisionFormat } from "@paligemma/quantization";
import { writeBundle, type BundleMatrix } from "@paligemma/quantization/node";
import { calibrateWith } from "./calibration.ts";
import { canonicalNames, matchTensors, openModel, type ModelFiles } from "@paligemma/weights";

/** What to make of a model. */
export interface Quantization {
  /** A folder, or a repository of the Hub. */
  readonly model: string;
  /** A folder that does not exist yet. */
  readonly out: string;
  readonly dtype: QuantizedDType;
  readonly blockSize?: number;
  readonly zeroPoints?: boolean;
  readonly vision: VisionFormat;
  /** Default: one per core. */
  readonly threads?: number;
  /** Pictures or training data to calibrate with. */
  readonly calibrate?: string;
  readonly calibrateLimit: number;
}

/** What was made. */
export interface Quantized {
  readonly out: string;
  readonly files: readonly string[];
  /** Of all tensors. */
  readonly bytes: number;
  readonly bytesBefore: number;
  readonly matrices: readonly BundleMatrix[];
}

const MAX_CONFIG_BYTES = 2 ** 20; // released ones have a few kB
const HEAD = "language_model.lm_head.weight";

/** Writes a quantised copy of a model. Weights that are not those of its `config.json` are refused before anything is written. */
export async function quantizeModel(
  { model, out, calibrate, calibrateLimit, ...how }: Quantization,
  options: { readonly signal: AbortSignal; readonly onProgress: OnProgress },
): Promise<Quantized> {
  const files = await openFiles(model, options);
  const config = parseConfig(await readConfig(files, options.signal));
  const checkpoint = canonicalNames(await openModel(files, { signal: options.signal }));
  matchTensors(checkpoint, releasedTensors(config), { optional: [HEAD] });
  const refs = [...checkpoint.tensors.values()];
  const moments =
    calibrate === undefined ? undefined : await calibrateWith(calibrate, files, { limit: calibrateLimit, ...options });
  const tied = config.text.tieWordEmbeddings;
  const bundle = await writeBundle(out, files, { ...how, tied, ...(moments && { moments }), ...options });
  return { out, ...bundle, bytesBefore: refs.reduce((sum, { start, end }) => sum + end - start, 0) };
}

async function readConfig(files: ModelFiles, signal: AbortSignal): Promise<unknown> {
  const source = await files.open("config.json", signal);
  if (source.size > MAX_CONFIG_BYTES)
    throw new PaliGemmaError("cli/config", `${source.name} has ${source.size} bytes; a config.json has a few thousand`);
  try {
    return JSON.parse(new TextDecoder().decode(await source.read(0, source.size, signal)));
  } catch (cause) {
    throw new PaliGemmaError("cli/config", `${source.name} is no JSON: ${(cause as Error).message}`, { cause });
  }
}
