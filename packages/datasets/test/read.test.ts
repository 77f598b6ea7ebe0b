import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Reading, TrainingRecord } from "@paligemma/datasets";
import { openDataset } from "@paligemma/datasets/node";
import { toCoco, toVoc, toYolo, type AnnotatedImage, type Box } from "@paligemma/parsers";
import { describe, expect, it } from "vitest";
import { collect, folderOf, picture } from "./folders.ts";

// Corners on whole pixels, so that formats which round give them back.
const images: AnnotatedImage[] = [
  {
    fileName: "a.png",
    width: 40,
    height: 20,
    detections: [
      { label: "red cat", box: { yMin: 0.25, xMin: 0.1, yMax: 1, xMax: 0.5 } },
      { label: "dog", box: { yMin: 0, xMin: 0, yMax: 0.5, xMax: 0.25 }, polygons: [[0, 0, 10, 0, 10, 10, 0, 10]] },
    ],
  },
  { fileName: "b.png", width: 10, height: 30, detections: [] },
  {
    fileName: "sub/c.png",
    width: 20,
    height: 20,
    detections: [{ label: "dog", box: { yMin: 0.1, xMin: 0.2, yMax: 0.3, xMax: 0.4 } }],
  },
];
const classes = ["red cat", "dog"];

async function pictures(): Promise<Record<string, Buffer>> {
  const entries = await Promise.all(
    images.map(async ({ fileName, width, height }, i) => [fileName, await picture(width, height, i)] as const),
  );
  return Object.fromEntries(entries);
}

function recordsOf(readings: readonly Reading[]): TrainingRecord[] {
  return readings.map((reading) => {
    if ("bad" in reading) throw new Error(JSON.stringify(reading.bad));
    return reading.record;
  });
}

function expectSame(records: readonly TrainingRecord[], masks: boolean): void {
  expect(records.map(({ image }) => image.replace(/^.*?(?=(sub\/)?[abc]\.png)/, ""))).toEqual(
    images.map(({ fileName }) => fileName),
  );
  for (const [i, { content }] of records.entries()) {
    if (content.kind !== "objects") throw new Error("no objects");
    expect(content.objects.map(({ label }) => label)).toEqual(images[i]!.detections.map(({ label }) => label));
    for (const [k, { box, outline }] of content.objects.entries()) {
      const expected = images[i]!.detections[k]!;
      for (const side of ["yMin", "xMin", "yMax", "xMax"] satisfies (keyof Box)[])
        expect(box[side]).toBeCloseTo(expected.box[side], 6);
      expect(outline !== undefined).toBe(masks && expected.polygons !== undefined);
    }
  }
}

describe("formats that the parsers write are read back", () => {
  it("COCO, in the layouts of Roboflow and of COCO itself", async () => {
    const text = JSON.stringify(toCoco(images, classes), null, 1);
    const roboflow = await openDataset(folderOf({ "_annotations.coco.json": text, ...(await pictures()) }));
    expect([roboflow.format, await roboflow.count(), await roboflow.classes()]).toEqual(["coco", 3, classes]);
    const records = recordsOf(await collect(roboflow.records()));
    expectSame(records, true);
    expect(records[0]!.size).toEqual({ width: 40, height: 20 });
    expect(text.split("\n")[records[1]!.origin.line - 1]).toContain("{");
    const folder = folderOf({ "annotations/instances_val2017.json": text, "val2017/a.png": "" });
    const own = await openDataset(folder, { split: "val" });
    expect(own.images).toBe(join(folder, "val2017"));
    expectSame(recordsOf(await collect(own.records())), true);
  });

  it("COCO whose annotations stand before its images, on one line, with braces in texts", async () => {
    const { images: all, annotations, categories } = toCoco(images, ["red cat", "dog"]);
    const folder = folderOf({
      "annotations.json": JSON.stringify({
        info: { note: 'a "}]" b', list: [1, [2]] },
        annotations,
        empty: [],
        categories,
        images: all,
      }),
    });
    expectSame(recordsOf(await collect((await openDataset(folder)).records())), true);
  });

  it("COCO with run lengths; crowds are left out", async () => {
    const coco = toCoco(
      [
        {
          ...images[2]!,
          detections: [{ ...images[2]!.detections[0]!, rle: { size: [20, 20], counts: [42, 4, 354] } }],
        },
      ],
      classes,
    );
    const crowd = { ...coco.annotations[0]!, id: 9, iscrowd: 1 };
    const folder = folderOf({
      "annotations.json": JSON.stringify({ ...coco, annotations: [...coco.annotations, crowd] }),
    });
    const [record] = recordsOf(await collect((await openDataset(folder)).records()));
    expect(record!.content).toMatchObject({
      kind: "objects",
      objects: [{ label: "dog", outline: { rle: { counts: [42, 4, 354] } } }],
    });
  });

  it("Pascal VOC, beside the pictures and in its own folders", async () => {
    const xml = Object.fromEntries(images.map((image, i) => [`${i}.xml`, toVoc(image)]));
    const beside = await openDataset(
      folderOf({
        ...Object.fromEntries(Object.entries(xml).map(([name, text]) => [`train/${name}`, text])),
        ...Object.fromEntries(Object.entries(await pictures()).map(([name, bytes]) => [`train/${name}`, bytes])),
      }),
    );
    expect([beside.format, await beside.count(), await beside.classes()]).toEqual(["voc", 3, classes]);
    expectSame(recordsOf(await collect(beside.records())), false);
    const own = folderOf({
      ...Object.fromEntries(Object.entries(xml).map(([name, text]) => [`Annotations/${name}`, text])),
      ...Object.fromEntries(Object.entries(await pictures()).map(([name, bytes]) => [`JPEGImages/${name}`, bytes])),
    });
    const records = recordsOf(await collect((await openDataset(own)).records()));
    expect(records[0]!.image).toBe("JPEGImages/a.png");
    expectSame(records, false);
    if (records[0]!.content.kind === "objects")
      expect(toVoc(images[0]!).split("\n")[records[0]!.content.objects[1]!.line! - 1]).toContain("<object>");
  });

  it("YOLO: boxes, outlines, pictures without labels, names as list and as map", async () => {
    const labels = Object.fromEntries(
      images
        .filter(({ detections }) => detections.length > 0)
        .map((image) => [
          `train/labels/${image.fileName.replace(/.*\//, "").replace("png", "txt")}`,
          toYolo(image.detections, image, classes),
        ]),
    );
    const flat = Object.fromEntries(
      Object.entries(await pictures()).map(([name, bytes]) => [`train/images/${name.replace(/.*\//, "")}`, bytes]),
    );
    const names = [
      "names: [red cat, dog]\ntrain: ../train/images\n",
      "names:\n  0: red cat\n  1: dog\nnc: 2\npath: .\ntrain: train/images\n",
    ];
    for (const yaml of names) {
      const dataset = await openDataset(folderOf({ "data.yaml": yaml, ...labels, ...flat }));
      expect([dataset.format, await dataset.count(), await dataset.classes()]).toEqual(["yolo", 3, classes]);
      const records = recordsOf(await collect(dataset.records()));
      expectSame(
        records.map((record) => ({ ...record, image: record.image === "c.png" ? "sub/c.png" : record.image })),
        true,
      );
      expect(records[2]!.origin).toEqual({ file: "train/labels/c.txt", line: 1 });
    }
  });
});

describe("texts", () => {
  const lines = [
    { image: "a.png", prefix: "detect cat", suffix: "" },
    { image: "b.png", prefix: 'say "x", y', suffix: "one\ntwo, three ; 四" },
    { image: "sub/c.png", prefix: "caption en", suffix: { total: 3, items: ["a", "b"] } },
  ];
  it("JSONL, with and without a byte order mark and returns", async () => {
    for (const text of [
      lines.map((line) => `${JSON.stringify(line)}\n`).join(""),
      `\uFEFF${lines.map((line) => JSON.stringify(line)).join("\r\n\r\n")}`,
    ]) {
      const dataset = await openDataset(folderOf({ "_annotations.train.jsonl": text }));
      expect([dataset.format, await dataset.count(), await dataset.classes()]).toEqual(["jsonl", 3, undefined]);
      const records = recordsOf(await collect(dataset.records()));
      expect(records.map(({ image, content }) => ({ image, content }))).toEqual(
        lines.map(({ image, prefix, suffix }) => ({
          image,
          content: { kind: "text", prompt: prefix, answer: suffix },
        })),
      );
      expect(text.split("\n")[records[2]!.origin.line - 1]).toContain("caption en");
    }
  });

  it("lines longer than a chunk of reading, and a character cut by one", async () => {
    const long = "é".repeat(70_000);
    const dataset = await openDataset(
      join(
        folderOf({ "x.jsonl": `${JSON.stringify({ image: "a.png", question: "a", answer: long })}\n{}\n` }),
        "x.jsonl",
      ),
    );
    const [first, second] = await collect(dataset.records());
    expect(first).toMatchObject({ record: { content: { answer: long } } });
    expect(second).toMatchObject({ bad: { origin: { file: "x.jsonl", line: 2 } } });
  });

  it("CSV and TSV, with quotes, line breaks in fields, other columns and other names", async () => {
    const csv =
      'id,image,prompt,answer\n1,a.png,detect cat,\n2,b.png,"say ""x"", y","one\ntwo, three ; 四"\n3,c.png,caption en,done\n';
    const dataset = await openDataset(folderOf({ "data.csv": csv }));
    expect([dataset.format, await dataset.count()]).toEqual(["csv", 3]);
    const records = recordsOf(await collect(dataset.records()));
    expect(
      records.map(({ image, content, origin }) => [
        image,
        content.kind === "text" && content.prompt,
        content.kind === "text" && content.answer,
        origin.line,
      ]),
    ).toEqual([
      ["a.png", "detect cat", "", 2],
      ["b.png", 'say "x", y', "one\ntwo, three ; 四", 3],
      ["c.png", "caption en", "done", 5],
    ]);
    const tsv = await openDataset(
      join(folderOf({ "t.tsv": "image_path\tquestion\tcaption\na.png\twhat, now?\tyes\n" }), "t.tsv"),
    );
    expect(recordsOf(await collect(tsv.records()))).toMatchObject([
      { image: "a.png", content: { prompt: "what, now?", answer: "yes" } },
    ]);
  });
});

describe("what cannot be opened", () => {
  const cases: [string, () => string, object, RegExp][] = [
    ["nothing", () => "/no/such/place", {}, /^datasets\/file/],
    ["an empty folder", () => folderOf({}), {}, /^datasets\/format: .*holds no training data/],
    [
      "two formats",
      () => folderOf({ "data.csv": "", "data.yaml": "" }),
      {},
      /^datasets\/format: .*data\.csv and .*data\.yaml/,
    ],
    ["an unknown ending", () => join(folderOf({ "x.parquet": "" }), "x.parquet"), {}, /^datasets\/format: .*\.jsonl/],
    ["an unknown option", () => folderOf({}), { spilt: "x" }, /^datasets\/option: .*spilt/],
    ["an unknown format", () => folderOf({}), { format: "tfds" }, /^datasets\/option: .*tfds/],
    [
      "a missing folder of images",
      () => folderOf({ "data.csv": "" }),
      { images: "/no/such" },
      /^datasets\/file: .*images/,
    ],
    ["YOLO without names", () => folderOf({ "data.yaml": "train: train/images" }), {}, /^datasets\/yaml: .*names/],
    ["YOLO that is no YAML", () => folderOf({ "data.yaml": "a: [1" }), {}, /^datasets\/yaml/],
    [
      "YOLO whose folder is not there",
      () => folderOf({ "data.yaml": "names: [a]\ntrain: train/images" }),
      {},
      /^datasets\/format: .*tried/,
    ],
  ];
  it.each(cases)("%s", async (_name, path, options, message) => {
    await expect(openDataset(path(), options)).rejects.toThrow(message);
  });

  it.each([
    ["empty", "", /it is empty/],
    ["cut off", '{"images": [{"id": 1', /ends before/],
    ["a list", "[1, 2]", /a list/],
    ["text", "hello", /begins with "h"/],
    ["closed too often", '{"images": []}}', /closes more/],
  ])("a COCO file that is %s", async (_name, text, message) => {
    const dataset = await openDataset(folderOf({ "annotations.json": text }));
    await expect(collect(dataset.records())).rejects.toThrow(message);
    await expect(dataset.count()).rejects.toThrow(/^datasets\/json/);
  });
});

it("a dataset's fingerprint changes with its annotations", async () => {
  const folder = folderOf({ "data.csv": "image,prompt,answer\n" });
  const before = await (await openDataset(folder)).fingerprint();
  expect(await (await openDataset(folder)).fingerprint()).toBe(before);
  expect(readFileSync(join(folder, "data.csv"), "utf8")).toContain("image");
  const other = await (await openDataset(folderOf({ "data.csv": "image,prompt,answer\na,b,c\n" }))).fingerprint();
  expect(other).not.toBe(before);
});
