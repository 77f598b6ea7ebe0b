import { parseConfig, type PaliGemmaConfig } from "@paligemma/config";
import { PaliGemmaError, isPaliGemmaError } from "@paligemma/core";
import { loadMaskCodec, type MaskCodec } from "@paligemma/masks";
import { createProcessor, type ImageLike, type Processor } from "@paligemma/processor";
import type { ModelFiles } from "@paligemma/weights";

/** Largest JSON files that are read: released tokenizers have 34 MB, configurations a few kB. */
const MAX_JSON_BYTES = {
  "config.json": 2 ** 20,
  "preprocessor_config.json": 2 ** 20,
  "processor_config.json": 2 ** 20,
  "tokenizer_config.json": 2 ** 24,
  "tokenizer.json": 2 ** 27,
} as const;
type JsonFile = keyof typeof MAX_JSON_BYTES;

/** `config.json` of a model. Throws `paligemma/no-config` where there is none. */
export async function readConfig(files: ModelFiles, signal?: AbortSignal): Promise<PaliGemmaConfig> {
  const json = await readJson(files, "config.json", signal);
  if (json === undefined) {
    throw new PaliGemmaError(
      "paligemma/no-config",
      `${files.name} has no config.json among its ${files.paths.size} files. Is it the folder of a PaliGemma checkpoint?`,
    );
  }
  return parseConfig(json);
}

/** A processor, or why there is none: a checkpoint without a tokenizer still runs on token ids. */
export type MaybeProcessor<Source> = { readonly processor: Processor<Source> } | { readonly missing: PaliGemmaError };

/** The processor of a model's files. Without `preprocessor_config.json` the picture size is the one of `config.json`. */
export async function readProcessor<Source>(
  files: ModelFiles,
  config: PaliGemmaConfig,
  options: { readonly decodeImage?: (source: Source) => Promise<ImageLike>; readonly signal?: AbortSignal },
): Promise<MaybeProcessor<Source>> {
  const { decodeImage, signal } = options;
  const [tokenizerJson, tokenizerConfig, own, newer] = await Promise.all(
    (["tokenizer.json", "tokenizer_config.json", "preprocessor_config.json", "processor_config.json"] as const).map(
      (path) => readJson(files, path, signal),
    ),
  );
  const size = { height: config.vision.imageSize, width: config.vision.imageSize };
  try {
    const processor = createProcessor<Source>({
      tokenizer: { tokenizerJson, tokenizerConfig },
      preprocessor: own ?? newer ?? { size },
      imageSeqLength: config.numImageTokens,
      decodeImage,
    });
    checkFit(processor, config, files.name);
    return { processor };
  } catch (error) {
    if (isPaliGemmaError(error, "processor/tokenizer-missing")) return { missing: error };
    throw error;
  }
}

/** Names under which the mask codec may lie beside the weights. */
const CODEC_FILES = ["mask-codec.safetensors", "vae-oid.npz"] as const;

/** Loads the mask codec among a model's files at its first use. Throws `paligemma/no-codec` where there is none. */
export function maskCodecOf(files: ModelFiles): () => Promise<MaskCodec> {
  let codec: Promise<MaskCodec> | undefined;
  async function load(): Promise<MaskCodec> {
    const path = CODEC_FILES.find((name) => files.paths.has(name));
    if (path === undefined) {
      throw new PaliGemmaError(
        "paligemma/no-codec",
        `${files.name} has no mask codec, which turns the codes of segment answers into masks. Put vae-oid.npz (of the PaliGemma release, 8.5 MB) beside the weights, or load it with @paligemma/masks and pass { maskCodec }`,
      );
    }
    const source = await files.open(path);
    return await loadMaskCodec(await source.read(0, source.size), { sha256: null });
  }
  return () => (codec ??= load());
}

function checkFit({ config: own, tokenizer }: Processor, config: PaliGemmaConfig, name: string): void {
  const { imageSize } = config.vision;
  if (own.size.height !== imageSize || own.size.width !== imageSize) {
    throw new PaliGemmaError(
      "paligemma/mismatch",
      `${name}: preprocessor_config.json resizes to ${own.size.width} × ${own.size.height}, config.json takes ${imageSize} × ${imageSize}. The files belong to two checkpoints`,
    );
  }
  if (tokenizer.special.image !== config.imageTokenIndex) {
    throw new PaliGemmaError(
      "paligemma/mismatch",
      `${name}: <image> is token ${tokenizer.special.image} in tokenizer.json, ${config.imageTokenIndex} in config.json. The files belong to two checkpoints`,
    );
  }
}

async function readJson(files: ModelFiles, path: JsonFile, signal?: AbortSignal): Promise<unknown> {
  if (!files.paths.has(path)) return undefined;
  const source = await files.open(path, signal);
  const limit = MAX_JSON_BYTES[path];
  if (source.size > limit)
    throw new PaliGemmaError(
      "paligemma/json",
      `${source.name} has ${source.size} bytes, a ${path} has at most ${limit}`,
    );
  const bytes = await source.read(0, source.size, signal);
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)) as unknown;
  } catch (cause) {
    throw new PaliGemmaError("paligemma/json", `${source.name} is no JSON text. Download it again`, { cause });
  }
}
