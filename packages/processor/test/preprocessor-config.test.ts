import {
  createProcessor,
  parsePreprocessorConfig,
  preprocessImages,
  preprocessorConfigToJson,
  processorConfigToJson,
} from "@paligemma/processor";
import { describe, expect, it } from "vitest";
import { readFixture, tokenizer } from "./files.ts";
import { pattern } from "./patterns.ts";

// As the released checkpoints have it.
const released = {
  do_convert_rgb: null,
  do_normalize: true,
  do_rescale: true,
  do_resize: true,
  image_mean: [0.5, 0.5, 0.5],
  image_processor_type: "SiglipImageProcessor",
  image_seq_length: 1024,
  image_std: [0.5, 0.5, 0.5],
  processor_class: "PaliGemmaProcessor",
  resample: 3,
  rescale_factor: 0.00392156862745098,
  size: { height: 448, width: 448 },
};

describe("preprocessor_config.json", () => {
  it("of a release", () => {
    expect(parsePreprocessorConfig(released)).toEqual({
      imageSeqLength: 1024,
      doConvertRgb: true,
      doResize: true,
      size: { height: 448, width: 448 },
      resample: "bicubic",
      doRescale: true,
      rescaleFactor: 1 / 255,
      doNormalize: true,
      imageMean: [0.5, 0.5, 0.5],
      imageStd: [0.5, 0.5, 0.5],
    });
  });

  it("as transformers 5 saves it equals what is written here", () => {
    const { saved } = readFixture("processor.json") as { saved: { preprocessor_config: Record<string, unknown> } };
    const config = parsePreprocessorConfig(saved.preprocessor_config);
    expect(preprocessorConfigToJson(config)).toMatchObject(saved.preprocessor_config);
    expect(
      parsePreprocessorConfig({ image_processor: saved.preprocessor_config, processor_class: "PaliGemmaProcessor" }),
    ).toEqual(config);
  });

  it("comes back from both files, through a processor too", () => {
    const config = parsePreprocessorConfig({
      ...released,
      resample: 1,
      image_mean: [0.1, 0.2, 0.3],
      do_normalize: false,
    });
    expect(parsePreprocessorConfig(preprocessorConfigToJson(config))).toEqual(config);
    expect(parsePreprocessorConfig(processorConfigToJson(config))).toEqual(config);
    const { preprocessorConfig, processorConfig } = createProcessor({ tokenizer, preprocessor: released }).toJSON();
    expect(createProcessor({ tokenizer, preprocessor: JSON.parse(JSON.stringify(preprocessorConfig)) }).config).toEqual(
      parsePreprocessorConfig(released),
    );
    expect(createProcessor({ tokenizer, preprocessor: JSON.parse(JSON.stringify(processorConfig)) }).config).toEqual(
      parsePreprocessorConfig(released),
    );
  });

  it("without image_seq_length takes the caller's", () => {
    expect(parsePreprocessorConfig({}, 256).imageSeqLength).toBe(256);
    expect(() => parsePreprocessorConfig({})).toThrow(/^processor\/config: image_seq_length .* is missing/);
  });

  it.each([
    ["no object", [], /array|object/],
    ["a resample that does not exist", { ...released, resample: 9 }, /resample .* is 9/],
    ["a size of one edge", { ...released, size: { shortest_edge: 224 } }, /size\.height .* is missing/],
    ["cropping", { ...released, do_center_crop: true }, /do_center_crop .* is true/],
    ["padding", { ...released, do_pad: true }, /do_pad/],
    ["a flag that is none", { ...released, do_resize: "yes" }, /do_resize .* is "yes"/],
    ["a mean of text", { ...released, image_mean: ["a", 1, 2] }, /image_mean/],
    ["a sequence of 2^40 tokens", { ...released, image_seq_length: 2 ** 40 }, /image_seq_length/],
  ])("%s is an error that names the field", (_name, json, message) => {
    expect(() => parsePreprocessorConfig(json)).toThrow(message);
    expect(() => parsePreprocessorConfig(json)).toThrow(/^processor\/config/);
  });
});

describe("preprocessImages", () => {
  const config = parsePreprocessorConfig({ ...released, size: { height: 6, width: 4 } });
  it("gives one array of all images", () => {
    const both = preprocessImages([pattern(9, 5, 3, "noise"), pattern(3, 3, 4, "waves")], config);
    expect(both.shape).toEqual([2, 3, 6, 4]);
    expect(preprocessImages([pattern(3, 3, 4, "waves")], config).data).toEqual(both.data.slice(72));
    expect(preprocessImages([], config).shape).toEqual([0, 3, 6, 4]);
  });
  it("without resizing wants equal sizes, without conversion equal channels", () => {
    expect(preprocessImages([pattern(9, 5, 3, "noise")], config, { doResize: false }).shape).toEqual([1, 3, 5, 9]);
    expect(() =>
      preprocessImages([pattern(9, 5, 3, "noise"), pattern(9, 6, 3, "noise")], config, { doResize: false }),
    ).toThrow(/^processor\/images: image 1 is 9 × 6/);
    expect(
      preprocessImages([pattern(9, 5, 1, "noise")], config, { doConvertRgb: false, imageMean: [0.5], imageStd: [0.5] })
        .shape,
    ).toEqual([1, 1, 6, 4]);
    expect(() => preprocessImages([pattern(9, 5, 1, "noise")], config, { doConvertRgb: false })).toThrow(
      /^processor\/option: mean has 3 numbers, the image has 1/,
    );
  });
  it("refuses more numbers than one array holds", () => {
    const one = pattern(1, 1, 3, "noise");
    const size = { height: 8192, width: 8192 };
    expect(() =>
      preprocessImages(
        Array.from({ length: 6 }, () => one),
        config,
        { size },
      ),
    ).toThrow(/^processor\/images: .*smaller batches/);
  });
});
