import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { BadRecord, ProblemCode } from "@paligemma/datasets";
import { openDataset, prepare, validateDataset, type ValidateOptions } from "@paligemma/datasets/node";
import { describe, expect, it } from "vitest";
import { collect, folderOf, lettersProcessor, newFolder, picture } from "./folders.ts";

const box = "<loc0001><loc0002><loc0300><loc0400>";
const masks = (count: number): string => "<seg001>".repeat(count);
const line = (fields: object): string =>
  JSON.stringify({ image: "a.png", prefix: "detect cat ; dog", suffix: `${box} cat`, ...fields });
const without = (name: string): string =>
  JSON.stringify(Object.fromEntries(Object.entries(JSON.parse(line({})) as object).filter(([key]) => key !== name)));

// Each kind of malformed line and the mistake it is.
const KINDS: readonly (readonly [name: string, line: string, code: ProblemCode])[] = [
  ["no JSON", "{image: 1}", "json/syntax"],
  ["cut off", line({}).slice(0, 40), "json/syntax"],
  ["a list", "[1, 2]", "json/not-object"],
  ["a text", '"hello"', "json/not-object"],
  ["no image", without("image"), "field/missing"],
  ["no prefix", without("prefix"), "field/missing"],
  ["no suffix", without("suffix"), "field/missing"],
  ["a misspelt field", without("suffix").replace("}", ',"sufix":"x"}'), "field/missing"],
  ["two answers", line({ answer: "x" }), "field/ambiguous"],
  ["an image of numbers", line({ image: 7 }), "field/type"],
  ["an empty image", line({ image: "" }), "field/type"],
  ["a prefix of null", line({ prefix: null }), "field/type"],
  ["a suffix of numbers", line({ suffix: 7 }), "field/type"],
  ["a suffix of an object", line({ suffix: { a: 1 } }), "answer/json"],
  ["an image above the folder", line({ image: "../../etc/passwd" }), "image/outside"],
  ["an absolute image", line({ image: "/etc/passwd" }), "image/outside"],
  ["an image of the web", line({ image: "https://example.org/a.png" }), "image/outside"],
  ["an image that is not there", line({ image: "b.png" }), "image/not-found"],
  ["an image that is none", line({ image: "text.png" }), "image/unreadable"],
  ["<eos> in the answer", line({ prefix: "caption en", suffix: "a cat<eos>" }), "text/special-token"],
  ["<bos> in the prompt", line({ prefix: "<bos>caption en", suffix: "a cat" }), "text/special-token"],
  ["a NUL in the answer", line({ prefix: "caption en", suffix: "a\u0000cat" }), "text/control-character"],
  ["a broken encoding", line({ prefix: "caption en", suffix: "caf\uFFFD" }), "text/control-character"],
  ["a line break after the prompt", line({ prefix: "caption en\n", suffix: "a cat" }), "text/newline"],
  ["an empty caption", line({ prefix: "caption en", suffix: " " }), "answer/empty"],
  ["words between objects", line({ suffix: `${box} cat ; nothing else` }), "answer/outside-objects"],
  ["three locs", line({ suffix: "<loc0001><loc0002><loc0300> cat" }), "loc/incomplete"],
  ["a loc of five digits", line({ suffix: "<loc00001><loc0002><loc0300><loc0400> cat" }), "loc/number"],
  ["a loc of 1024", line({ suffix: "<loc0001><loc0002><loc0300><loc1024> cat" }), "loc/number"],
  ["15 segs", line({ prefix: "segment cat", suffix: `${box}${masks(15)} cat` }), "seg/incomplete"],
  ["a seg of 128", line({ prefix: "segment cat", suffix: `${box}${masks(15)}<seg128> cat` }), "seg/number"],
  ["segment without a mask", line({ prefix: "segment cat", suffix: `${box} cat` }), "seg/missing"],
  ["detect with a mask", line({ suffix: `${box}${masks(16)} cat` }), "seg/unexpected"],
  ["an inverted box", line({ suffix: "<loc0300><loc0002><loc0001><loc0400> cat" }), "box/inverted"],
  ["an empty box", line({ suffix: "<loc0300><loc0002><loc0300><loc0400> cat" }), "box/empty"],
  ["a label that was not asked for", line({ suffix: `${box} bird` }), "label/unknown"],
  ["no label", line({ suffix: box }), "label/empty"],
  ["an empty class", line({ prefix: "detect cat ; ; dog" }), "label/empty"],
  ["the same object twice", line({ suffix: `${box} cat ; ${box} cat` }), "object/duplicate"],
  ["an answer that is too long", line({ prefix: "caption en", suffix: "x".repeat(500) }), "answer/too-long"],
];

async function validate(
  path: string,
  options: ValidateOptions = {},
  open = {},
): Promise<{ bad: BadRecord[]; records: number; problems: ReadonlyMap<string, number> }> {
  const iterator = validateDataset(await openDataset(path, open), options);
  const bad: BadRecord[] = [];
  for (;;) {
    const { value, done } = await iterator.next();
    if (done) return { bad, records: value.records, problems: value.problems };
    bad.push(value);
  }
}

const codesOf = (bad: readonly BadRecord[]): string[][] => bad.map(({ problems }) => problems.map(({ code }) => code));
const length = { maxAnswerTokens: 200, countTokens: (text: string) => text.length };

describe("malformed lines", () => {
  it(`1,000 of ${KINDS.length} kinds among good ones are 1,000 entries, each with its mistake, file and line`, async () => {
    const all = Array.from({ length: 1000 }, (_, i) => KINDS[i % KINDS.length]!);
    const text = all.map(([, malformed]) => `${line({})}\n${malformed}\n`).join("");
    const folder = folderOf({
      "_annotations.train.jsonl": text,
      "a.png": await picture(8, 8),
      "text.png": "no picture",
    });
    const { bad, records, problems } = await validate(folder, length);
    expect(records).toBe(2000);
    expect(bad).toHaveLength(1000);
    for (const [i, { origin, problems: found, source }] of bad.entries()) {
      const [name, malformed, code] = all[i]!;
      expect([name, found.map((problem) => problem.code), origin]).toEqual([
        name,
        [code],
        { file: "_annotations.train.jsonl", line: 2 * i + 2 },
      ]);
      expect(found[0]!.message.length).toBeGreaterThan(20);
      if (code.startsWith("json/")) expect(source).toBe(malformed);
    }
    expect(KINDS.length).toBeGreaterThanOrEqual(30);

    // What is prepared is the good lines as they stand, and nothing of the others, mended or not.
    const out = join(newFolder(), "out");
    const { maxAnswerTokens } = length;
    const dataset = await openDataset(folder);
    const summary = await prepare(dataset, { out, processor: lettersProcessor(), output: "jsonl", maxAnswerTokens });
    expect(summary).toMatchObject({ records: 2000, written: 1000, bad: 1000 });
    const rows = (name: string): string[] => readFileSync(join(out, name), "utf8").trimEnd().split("\n");
    expect(rows("data.jsonl")).toEqual(Array.from({ length: 1000 }, () => line({})));
    expect(rows("bad.jsonl").map((row) => (JSON.parse(row) as BadRecord).origin.line)).toEqual(
      bad.map(({ origin }) => origin.line),
    );
    expect([...problems.values()].reduce((sum, count) => sum + count, 0)).toBe(1000);
  });

  it("that are no text, or too long for one", async () => {
    const folder = folderOf({
      "x.jsonl": Buffer.concat([
        Buffer.from('{"image":"'),
        Buffer.from([0xff, 0xfe]),
        Buffer.from(`"}\n${"x".repeat(5_000_000)}\n`),
        Buffer.from(line({})),
        Buffer.from("\n"),
      ]),
      "a.png": await picture(8, 8),
    });
    const { bad, records } = await validate(folder);
    expect([records, codesOf(bad)]).toEqual([3, [["line/encoding"], ["line/too-long"]]]);
    expect(bad[1]!.source.length).toBeLessThan(3000);
  });

  it("with several mistakes name them all", async () => {
    const folder = folderOf({
      "x.jsonl": line({
        image: "none.png",
        suffix: `${box}${masks(16)} bird ; <loc0001><loc0002><loc0001><loc0400> dog`,
      }),
    });
    const { bad } = await validate(folder);
    expect(codesOf(bad)).toEqual([["image/not-found", "label/unknown", "seg/unexpected", "box/empty"]]);
  });

  it("of unlabelled objects pass where one thing was asked for", async () => {
    const folder = folderOf({
      "x.jsonl": `${line({ prefix: "detect the left cat", suffix: box })}\n${line({ suffix: "" })}`,
      "a.png": await picture(8, 8),
    });
    expect((await validate(folder)).bad).toEqual([]);
  });
});

describe("malformed CSV", () => {
  it("rows of too few or many fields, and quotes that never end", async () => {
    const folder = folderOf({
      "x.csv":
        'image,prompt,answer\na.png,caption en\na.png,caption en,a,b\na.png,caption en,fine\na.png,caption en,"never\nends',
      "a.png": await picture(8, 8),
    });
    const { bad, records } = await validate(folder);
    expect([records, codesOf(bad)]).toEqual([4, [["row/columns"], ["row/columns"], ["row/columns"]]]);
    expect(bad.map(({ origin }) => origin.line)).toEqual([2, 3, 5]);
  });

  it("a header without the fields", async () => {
    const { bad } = await validate(folderOf({ "x.csv": "picture,prompt,answer\na.png,caption en,x\n" }));
    expect(codesOf(bad)).toEqual([["field/missing"]]);
  });
});

describe("malformed COCO", () => {
  const image = { id: 1, file_name: "a.png", width: 40, height: 20 };
  const good = { id: 1, image_id: 1, category_id: 1, bbox: [1, 2, 3, 4] };
  const categories = [
    { id: 1, name: "cat" },
    { id: 2, name: "two; cats" },
  ];
  const cases: readonly (readonly [string, object, string[]])[] = [
    ["an annotation of no image", { annotations: [good, { ...good, image_id: 7 }] }, ["annotation/image"]],
    ["an unknown category", { annotations: [{ ...good, category_id: 9 }] }, ["label/unknown"]],
    ["a box of three numbers", { annotations: [{ ...good, bbox: [1, 2, 3] }] }, ["box/numbers"]],
    ["a box of texts", { annotations: [{ ...good, bbox: ["1", "2", "3", "4"] }] }, ["box/numbers"]],
    ["a box without width", { annotations: [{ ...good, bbox: [1, 2, 0, 4] }] }, ["box/empty"]],
    ["a box of negative height", { annotations: [{ ...good, bbox: [1, 2, 3, -4] }] }, ["box/inverted"]],
    ["a box with x and y exchanged", { annotations: [{ ...good, bbox: [2, 10, 15, 28] }] }, ["box/swapped-axes"]],
    ["a box that leaves the picture", { annotations: [{ ...good, bbox: [30, 2, 30, 4] }] }, ["box/outside"]],
    ["a class with a separator", { annotations: [{ ...good, category_id: 2 }] }, ["label/separator"]],
    ["the same object twice", { annotations: [good, { ...good, id: 2 }] }, ["object/duplicate"]],
    ["an outline of two corners", { annotations: [{ ...good, segmentation: [[1, 2, 3, 4]] }] }, ["mask/broken"]],
    ["run lengths without a size", { annotations: [{ ...good, segmentation: { counts: [1, 2] } }] }, ["mask/broken"]],
    ["an image without a name", { images: [{ ...image, file_name: undefined }] }, ["field/missing"]],
    ["an image without a size", { images: [{ ...image, width: 0 }] }, ["image/size"]],
    ["an image of another size", { images: [{ ...image, width: 41 }] }, ["image/size-differs"]],
    ["an image that was turned", { images: [{ ...image, width: 20, height: 40 }] }, ["image/size-differs"]],
    ["an image twice", { images: [image, image] }, ["image/duplicate"]],
    ["a category twice", { categories: [...categories, { id: 1, name: "dog" }] }, ["field/type"]],
    ["an image that is no object", { images: [7] }, ["field/missing"]],
  ];
  it.each(cases)("%s", async (_name, changed, codes) => {
    const folder = folderOf({
      "annotations.json": JSON.stringify({ images: [image], annotations: [], categories, ...changed }, null, 1),
      "a.png": await picture(40, 20),
    });
    const { bad } = await validate(folder);
    expect(codesOf(bad)).toEqual([codes]);
    expect(bad[0]!.origin).toMatchObject({ file: "annotations.json" });
    expect(bad[0]!.origin.line).toBeGreaterThan(1);
  });

  it("an element that is no JSON is an entry, the others are read", async () => {
    const folder = folderOf({
      "annotations.json": `{"images": [${JSON.stringify(image)}, {"id": oops}], "annotations": [], "categories": [{"id": 1, "name": "cat"}]}`,
      "a.png": await picture(40, 20),
    });
    const { bad, records } = await validate(folder);
    expect([records, codesOf(bad)]).toEqual([2, [["json/syntax"]]]);
  });

  it("boxes that leave the picture by rounding pass", async () => {
    const folder = folderOf({
      "annotations.json": JSON.stringify({
        images: [image],
        annotations: [{ ...good, bbox: [-0.4, 0, 40.9, 20.5] }],
        categories,
      }),
      "a.png": await picture(40, 20),
    });
    expect((await validate(folder)).bad).toEqual([]);
  });
});

describe("malformed Pascal VOC", () => {
  const xml = (object: string, size = "<width>40</width><height>20</height>"): string =>
    `<annotation>\n<filename>a.png</filename>\n<size>${size}</size>\n<object>\n${object}\n</object>\n</annotation>`;
  const corners = (xmin: number | string, ymin: number, xmax: number, ymax: number): string =>
    `<name>cat</name><bndbox><xmin>${xmin}</xmin><ymin>${ymin}</ymin><xmax>${xmax}</xmax><ymax>${ymax}</ymax></bndbox>`;
  it.each([
    ["no XML", "<annotation><object></annotation>", "xml/syntax"],
    ["another root", "<html/>", "xml/syntax"],
    ["empty", "", "xml/syntax"],
    ["no size", xml(corners(1, 1, 9, 9), ""), "field/missing"],
    ["a size of text", xml(corners(1, 1, 9, 9), "<width>wide</width><height>20</height>"), "image/size"],
    ["no box", xml("<name>cat</name>"), "field/missing"],
    ["a corner of text", xml(corners("left", 1, 9, 9)), "box/numbers"],
    ["an inverted box", xml(corners(9, 1, 3, 9)), "box/inverted"],
    ["x and y exchanged", xml(corners(1, 1, 9, 39)), "box/swapped-axes"],
    ["a box outside", xml(corners(1, 1, 90, 90)), "box/outside"],
    [
      "entities that grow",
      `<!DOCTYPE a [<!ENTITY b "&c;&c;"><!ENTITY c "xxxx">]>${xml(corners(1, 1, 9, 9)).replace("cat", "&b;")}`,
      "xml/syntax",
    ],
  ])("%s", async (_name, text, code) => {
    const { bad } = await validate(folderOf({ "a.xml": text, "a.png": await picture(40, 20) }));
    expect(codesOf(bad)).toEqual([[code]]);
    expect(bad[0]!.origin.file).toBe("a.xml");
  });
});

describe("malformed YOLO", () => {
  it.each([
    ["too few numbers", "0 0.5 0.5 0.2", "box/numbers"],
    ["an odd outline", "0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", "box/numbers"],
    ["text", "0 0.5 0.5 wide 0.2", "box/numbers"],
    ["an unknown class", "7 0.5 0.5 0.2 0.2", "label/unknown"],
    ["a class of text", "cat 0.5 0.5 0.2 0.2", "label/unknown"],
    ["no width", "0 0.5 0.5 0 0.2", "box/empty"],
    ["a negative width", "0 0.5 0.5 -0.1 0.2", "box/inverted"],
    ["pixels", "0 20 10 8 4", "box/outside"],
  ])("%s", async (_name, text, code) => {
    const { bad } = await validate(
      folderOf({
        "data.yaml": "names: [cat, dog]\ntrain: train/images",
        "train/images/a.png": await picture(40, 20),
        "train/labels/a.txt": `1 0.5 0.5 0.5 0.5\n${text}\n`,
      }),
    );
    expect(codesOf(bad)).toEqual([[code]]);
    expect(bad[0]!.problems[0]!.line).toBe(2);
    expect(bad[0]!.origin.file).toBe(join("train", "labels", "a.txt").replaceAll("\\", "/"));
  });
});

it("validate refuses unknown options, and stops with the reason of an abort", async () => {
  const folder = folderOf({ "x.jsonl": `${line({})}\n`.repeat(50) });
  await expect(validate(folder, { classess: [] } as never)).rejects.toThrow(/^datasets\/option: .*classess/);
  const reason = new Error("enough");
  await expect(validate(folder, { signal: AbortSignal.abort(reason) })).rejects.toThrow();
  expect(await collect((await openDataset(folder)).records())).toHaveLength(50);
});
