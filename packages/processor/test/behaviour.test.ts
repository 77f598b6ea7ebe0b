import { createProcessor, IGNORED_LABEL, type Example, type ProcessOptions } from "@paligemma/processor";
import { describe, expect, it } from "vitest";
import { processor, tokenizer } from "./files.ts";
import { pattern } from "./patterns.ts";

const image = pattern(10, 8, 3, "waves");
const other = pattern(7, 9, 1, "noise");
const [I, BOS, EOS, NL, PAD] = [1658, 2, 1, 261, 0];
const ids = (text: string): number[] => tokenizer.encode(text);

async function rows(example: Example | Example[], options?: ProcessOptions): Promise<number[][]> {
  const { inputIds } = await processor.process(example, options);
  const [batch = 0, tokens = 0] = inputIds.shape;
  return Array.from({ length: batch }, (_, row) =>
    Array.from(inputIds.data.subarray(row * tokens, (row + 1) * tokens), Number),
  );
}

// Rows of the table of transformers 5.18's behaviour; where it has a bug, 4.57 is followed.
describe("prompts", () => {
  it("image and text", async () => {
    expect(await rows({ image, prompt: "red star" })).toEqual([[I, I, I, I, BOS, ...ids("red star\n")]]);
  });
  it("a marker in front changes nothing", async () => {
    expect(await rows({ image, prompt: "<image>red" })).toEqual(await rows({ image, prompt: "red" }));
  });
  it("an empty prompt, and none (transformers 5 fails: KeyError)", async () => {
    expect(await rows({ image, prompt: "" })).toEqual([[I, I, I, I, BOS, NL]]);
    expect(await rows({ image })).toEqual([[I, I, I, I, BOS, NL]]);
  });
  it("no image (both versions refuse): the text alone", async () => {
    const inputs = await processor.process({ prompt: "red" });
    expect(Array.from(inputs.inputIds.data, Number)).toEqual([BOS, ...ids("red\n")]);
    expect(inputs.pixelValues.shape).toEqual([0, 3, 28, 28]);
    expect(inputs.imagesPerRow).toEqual([0]);
  });
  it("two images", async () => {
    const expected = [[...Array.from({ length: 8 }, () => I), BOS, ...ids("red\n")]];
    expect(await rows({ images: [image, other], prompt: "red" })).toEqual(expected);
    expect(await rows({ images: [image, other], prompt: "<image><image>red" })).toEqual(expected);
  });
  it("a marker in the middle", async () => {
    expect(await rows({ image, prompt: "red <image> star" })).toEqual([
      [...ids("red "), I, I, I, I, BOS, ...ids(" star\n")],
    ]);
  });
  it("markers in some rows only (transformers 5 puts <bos> at character 6 of the others)", async () => {
    const batch = await rows([{ image, prompt: "<image>abcdefgh" }, { prompt: "abcdefgh" }]);
    expect(batch[1]!.filter((id) => id !== PAD)).toEqual([BOS, ...ids("abcdefgh\n")]);
    expect(
      (
        await rows([
          { image, prompt: "<image>red" },
          { image: other, prompt: "red" },
        ])
      )[1],
    ).toEqual([I, I, I, I, BOS, ...ids("red\n")]);
  });
  it("as many images as markers, or an error", async () => {
    await expect(rows({ image, prompt: "<image><image>red" })).rejects.toThrow(
      /^processor\/images: example 0 has 2 <image> .* 1 images/,
    );
    await expect(rows({ images: [image, other], prompt: "<image>red" })).rejects.toThrow(/^processor\/images/);
    await expect(rows({ prompt: "<image>red" })).rejects.toThrow(/^processor\/images/);
  });
  it("a <bos> of the user's is kept beside the processor's", async () => {
    expect(await rows({ image, prompt: "<bos>red" })).toEqual([[I, I, I, I, BOS, BOS, ...ids("red\n")]]);
  });
  it("a newline at the end of the prompt joins the processor's, or not", async () => {
    expect(await rows({ image, prompt: "red\n" })).toEqual([[I, I, I, I, BOS, ...ids("red"), tokenizer.idOf("\n\n")]]);
    expect(await rows({ image, prompt: "red\n" }, { newlineSeparately: true })).toEqual([
      [I, I, I, I, BOS, ...ids("red"), NL, NL],
    ]);
    expect(await rows({ image, prompt: "red" }, { newlineSeparately: true })).toEqual(
      await rows({ image, prompt: "red" }),
    );
  });
  it("location and segmentation literals are one token each", async () => {
    expect(await rows({ image, prompt: "<loc0000><seg127>" })).toEqual([[I, I, I, I, BOS, 506, 1657, NL]]);
  });
});

describe("batches", () => {
  const batch = [
    { image, prompt: "red star" },
    { image: other, prompt: "a" },
  ];
  it("pad on the left, or on the right", async () => {
    const short = [I, I, I, I, BOS, ...ids("a\n")];
    const pads = ids("red star\n").length - ids("a\n").length;
    expect((await rows(batch))[1]).toEqual([...Array.from({ length: pads }, () => PAD), ...short]);
    expect((await rows(batch, { paddingSide: "right" }))[1]).toEqual([
      ...short,
      ...Array.from({ length: pads }, () => PAD),
    ]);
  });
  it("mask pads out, with type 0 and no label", async () => {
    const inputs = await processor.process(
      batch.map((example, row) => ({ ...example, suffix: row === 0 ? "no" : "" })),
    );
    const tokens = inputs.inputIds.shape[1]!;
    for (let i = 0; i < inputs.inputIds.data.length; i++) {
      const padded = inputs.attentionMask.data[i] === 0n;
      if (padded)
        expect([inputs.inputIds.data[i], inputs.tokenTypeIds.data[i], inputs.labels!.data[i]]).toEqual([
          0n,
          0n,
          BigInt(IGNORED_LABEL),
        ]);
      else if (inputs.tokenTypeIds.data[i] === 1n) expect(inputs.labels!.data[i]).toBe(inputs.inputIds.data[i]);
      else expect(inputs.labels!.data[i]).toBe(-100n);
    }
    expect(inputs.inputIds.data[2 * tokens - 1]).toBe(BigInt(EOS));
  });
  it("row i is the request alone, but for its pads", async () => {
    const together = await processor.process(batch);
    const size = 3 * 28 * 28;
    for (const [row, example] of batch.entries()) {
      const alone = await processor.process(example);
      expect(together.pixelValues.data.subarray(row * size, (row + 1) * size)).toEqual(alone.pixelValues.data);
      expect((await rows(batch))[row]!.slice(-alone.inputIds.shape[1]!)).toEqual(
        Array.from(alone.inputIds.data, Number),
      );
    }
  });
  it("of unequal rows without padding is an error", async () => {
    await expect(rows(batch, { padding: false })).rejects.toThrow(/^processor\/padding/);
    expect(await rows([batch[1]!, batch[1]!], { padding: false })).toHaveLength(2);
  });
  it("of examples with and without suffix is an error", async () => {
    await expect(
      rows([
        { image, prompt: "a", suffix: "b" },
        { image, prompt: "a" },
      ]),
    ).rejects.toThrow(/^processor\/suffix: 1 of 2/);
    await expect(rows({ image, prompt: "a", suffix: "<image>" })).rejects.toThrow(/^processor\/suffix/);
  });
  it("of none is an error", async () => {
    await expect(rows([])).rejects.toThrow(/^processor\/example/);
  });
});

describe("truncation never cuts the image tokens or the newline", () => {
  const example = { image, prompt: "red star", suffix: "a blue square" };
  const prompt = 4 + 1 + ids("red star\n").length;
  it("a row that is too long is an error without it", async () => {
    await expect(rows(example, { maxLength: prompt + 1 })).rejects.toThrow(/^processor\/truncation: .*maxLength is/);
  });
  it("onlySecond cuts the suffix, down to one token", async () => {
    const [row] = await rows(example, { maxLength: prompt + 1, truncation: "onlySecond" });
    expect(row).toEqual([I, I, I, I, BOS, ...ids("red star\n"), ids("a blue square")[0]]);
    await expect(rows(example, { maxLength: prompt, truncation: "onlySecond" })).rejects.toThrow(
      /^processor\/truncation: .*newline/,
    );
  });
  it("nothing cuts a prompt", async () => {
    for (const truncation of [true, "longestFirst", "onlyFirst", "onlySecond"] as const) {
      for (const maxLength of [1, 3, 6, prompt - 1]) {
        await expect(rows({ image, prompt: "red star" }, { maxLength, truncation })).rejects.toThrow(
          /^processor\/truncation/,
        );
        await expect(rows(example, { maxLength, truncation })).rejects.toThrow(/^processor\/truncation/);
      }
    }
  });
  it("a row that fits is left as it is", async () => {
    expect(await rows(example, { maxLength: 100, truncation: true })).toEqual(await rows(example));
  });
});

describe("options", () => {
  const call = (options: object): Promise<unknown> =>
    processor.process({ image, prompt: "a" }, options as ProcessOptions);
  it.each([
    ["an unknown one, with the nearest name", { maxLenght: 9 }, /maxLenght \(did you mean maxLength\?\)/],
    ["one that Hugging Face has", { returnTensors: "pt" }, /returnTensors \(arrays are always returned\)/],
    ["suffix beside the examples", { suffix: "b" }, /field of each example/],
    ["a padding that does not exist", { padding: "max_length" }, /padding is "max_length"/],
    ["padding to nothing", { padding: "maxLength" }, /needs maxLength/],
    ["truncation to nothing", { truncation: true }, /needs maxLength/],
    ["multiples without padding", { padding: false, padToMultipleOf: 8 }, /needs padding/],
    ["a maxLength that is no multiple", { truncation: true, maxLength: 30, padToMultipleOf: 8 }, /no multiple/],
    ["a negative length", { maxLength: -1 }, /maxLength is -1/],
    ["an endless length", { padding: "maxLength", maxLength: 1e9 }, /maxLength is 1000000000/],
    ["a kernel that does not exist", { resample: "cubic" }, /resample of the options is "cubic"/],
    ["a size of one number", { size: 224 }, /size of the options is 224/],
    ["an endless size", { size: { height: 1e6, width: 28 } }, /size\.height/],
    ["a std of zero", { imageStd: [0.5, 0, 0.5] }, /imageStd/],
    ["two means for three channels", { imageMean: [0.5, 0.5] }, /imageMean/],
    ["a scale that is no number", { rescaleFactor: Number.NaN }, /rescaleFactor/],
    ["a side that does not exist", { paddingSide: "top" }, /paddingSide is "top"/],
  ])("%s", async (_name, options, message) => {
    await expect(call(options)).rejects.toThrow(message);
    await expect(call(options)).rejects.toThrow(/^processor\/option/);
  });

  it("undefined is as if absent", async () => {
    expect(
      await processor.process({ image, prompt: "a" }, { maxLength: undefined, size: undefined, padding: undefined }),
    ).toEqual(await processor.process({ image, prompt: "a" }));
  });

  it("an abort ends with its reason", async () => {
    const reason = new Error("enough");
    await expect(processor.process({ image, prompt: "a" }, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });
});

describe("examples that are none", () => {
  it.each([
    ["both image and images", { image, images: [image], prompt: "a" }, /^processor\/example: .*both/],
    ["an unknown field", { image, text: "a" }, /^processor\/example: .*text/],
    ["a prompt that is no text", { image, prompt: 42 }, /^processor\/example: .*prompt.*number/],
    ["a suffix of null", { image, prompt: "a", suffix: null }, /^processor\/example: .*suffix.*null/],
    ["no object", 7, /^processor\/example/],
    ["images that are no array", { images: image, prompt: "a" }, /^processor\/example/],
    ["a path without decodeImage", { image: "cat.jpg", prompt: "a" }, /^processor\/image: .*decodeImage/],
    ["an image of null", { image: null, prompt: "a" }, /^processor\/image: .*null/],
    ["too few bytes", { image: { ...image, width: 11 }, prompt: "a" }, /^processor\/image: .*240 bytes.*264/],
    ["no pixels", { image: { ...image, width: 0 }, prompt: "a" }, /^processor\/image: .*width 0/],
    ["five channels", { image: { ...image, channels: 5 }, prompt: "a" }, /^processor\/image: .*5 channels/],
    ["floats", { image: { ...image, data: new Float32Array(240) }, prompt: "a" }, /^processor\/image: .*Float32Array/],
    [
      "more pixels than allowed",
      { image: { ...image, width: 1_000_000, height: 1_000_000 }, prompt: "a" },
      /^processor\/image: .*178956970/,
    ],
  ])("%s", async (_name, example, message) => {
    await expect(processor.process(example as unknown as Example)).rejects.toThrow(message);
  });
});

describe("createProcessor", () => {
  const preprocessor = { image_seq_length: 4, size: { height: 28, width: 28 } };
  it("says that the tokenizer is missing", () => {
    expect(() => createProcessor({ tokenizer: { tokenizerJson: undefined }, preprocessor })).toThrow(
      /^processor\/tokenizer-missing: .*Put the file/,
    );
    expect(() => createProcessor({ preprocessor } as never)).toThrow(/^processor\/tokenizer-missing/);
  });
  it("names an unknown option", () => {
    expect(() => createProcessor({ tokenizer, preprocessor, imageSize: 3 } as never)).toThrow(
      /^processor\/option: .*imageSize/,
    );
  });
  it("reads other sources by decodeImage, and checks what it gives", async () => {
    const named = createProcessor<string>({
      tokenizer,
      preprocessor,
      decodeImage: (name) => Promise.resolve(name === "good" ? image : { ...image, height: 2 }),
    });
    expect(await named.process({ image: "good", prompt: "a" })).toEqual(
      await processor.process({ image, prompt: "a" }),
    );
    await expect(named.process({ images: [image, "bad"], prompt: "a" })).rejects.toThrow(
      /^processor\/image: an image of example 0/,
    );
  });
  it("gives the text part alone, for pictures that are prepared elsewhere", async () => {
    const {
      pixelValues: _pixels,
      imagesPerRow: _images,
      ...texts
    } = await processor.process([
      { image, prompt: "red star", suffix: "a" },
      { images: [image, other], prompt: "a", suffix: "" },
    ]);
    const alone = [
      { images: 1, prompt: "red star", suffix: "a" },
      { images: 2, prompt: "a", suffix: "" },
    ];
    expect(processor.processTexts(alone)).toEqual(texts);
    expect(() => processor.processTexts({ images: -1 })).toThrow(/^processor\/example/);
    expect(() => processor.processTexts({ images: 1, prompt: "a" }, { size: 3 } as never)).toThrow(
      /^processor\/option/,
    );
  });
  it("decodes rows", async () => {
    const { inputIds } = await processor.process({ image, prompt: "red star" });
    expect(processor.decode(inputIds.data)).toBe("<image><image><image><image><bos>red star\n");
    expect(processor.batchDecode([inputIds.data, [EOS]], { skipSpecialTokens: true })).toEqual(["red star\n", ""]);
  });
});
