import { ndArray, PaliGemmaError, type NdArray } from "@paligemma/core";
import { checkImage, toRgb, type ImageLike } from "./image.ts";
import { byteTables, writePlanes } from "./normalize.ts";
import { withImageOptions, type ImageOptions, type PreprocessorConfig } from "./preprocessor-config.ts";
import { resize } from "./resize.ts";

/** The most numbers of one pixel array: 4 GiB of float32. */
const MAX_NUMBERS = 2 ** 30;

/**
 * Images as the vision tower takes them, float32 [images, channels, height, width]: RGB, resized to exactly `size`,
 * scaled and normalised as `config` and then `options` say. Without images the first dimension is 0.
 */
export function preprocessImages(
  images: readonly ImageLike[],
  config: PreprocessorConfig,
  options: ImageOptions = {},
): NdArray<"float32"> {
  const settings = withImageOptions(config, options);
  const first = images[0];
  const height = settings.doResize || !first ? settings.size.height : first.height;
  const width = settings.doResize || !first ? settings.size.width : first.width;
  const channels = settings.doConvertRgb || !first ? 3 : first.channels;
  const perImage = channels * height * width;
  if (images.length * perImage > MAX_NUMBERS) {
    throw new PaliGemmaError(
      "processor/images",
      `${images.length} images of ${width} × ${height} are ${images.length * perImage} numbers, more than the ${MAX_NUMBERS} of one array; use smaller batches`,
    );
  }
  const tables = byteTables(channels, {
    rescaleFactor: settings.doRescale ? settings.rescaleFactor : 1,
    mean: settings.doNormalize ? settings.imageMean : [0],
    std: settings.doNormalize ? settings.imageStd : [1],
  });
  const data = new Float32Array(images.length * perImage);
  images.forEach((image, index) => {
    const prepared = prepare(checkImage(image, `image ${index}`), settings);
    if (prepared.width !== width || prepared.height !== height || prepared.channels !== channels) {
      throw new PaliGemmaError(
        "processor/images",
        `image ${index} is ${prepared.width} × ${prepared.height} × ${prepared.channels}, image 0 is ${width} × ${height} × ${channels}; leave doResize and doConvertRgb on, or pass equal images`,
      );
    }
    writePlanes(prepared.data, tables, data, index * perImage);
  });
  return ndArray("float32", [images.length, channels, height, width], data);
}

function prepare(image: ImageLike, settings: PreprocessorConfig): ImageLike {
  const converted = settings.doConvertRgb ? toRgb(image) : image;
  return settings.doResize ? resize(converted, { ...settings.size, resample: settings.resample }) : converted;
}
