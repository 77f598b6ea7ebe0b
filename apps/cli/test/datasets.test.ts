import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { paligemma } from "./cli.ts";
import { pace } from "../src/record-bar.ts";

const folder = mkdtempSync(join(tmpdir(), "paligemma-cli-data-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const box = "<loc0100><loc0200><loc0600><loc0700>";
const lines = [
  { image: "0.png", prefix: "detect circle ; star", suffix: `${box} circle` },
  { image: "1.png", prefix: "detect circle ; star", suffix: `${box} moon` },
  { image: "2.png", prefix: "caption en", suffix: "a red circle" },
  { image: "3.png", prefix: "caption en", suffix: "a picture that is not there" },
];

beforeAll(async () => {
  for (let i = 0; i < 3; i++) {
    const data = Uint8Array.from({ length: 40 * 30 * 3 }, (_, k) => (k * (i + 3)) % 256);
    writeFileSync(
      join(folder, `${i}.png`),
      await sharp(data, { raw: { width: 40, height: 30, channels: 3 } })
        .png()
        .toBuffer(),
    );
  }
  writeFileSync(join(folder, "_annotations.train.jsonl"), lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
});

describe("prepare", () => {
  it("writes shards, bad records and an index, and says where", async () => {
    const { code, stdout, stderr } = await paligemma(["prepare", ".", "--out", "inputs"], { cwd: folder });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain("2 of 4 records are in inputs");
    expect(stdout).toContain("2 bad records");
    expect(readdirSync(join(folder, "inputs")).toSorted()).toEqual([
      "bad.jsonl",
      "data-00000.safetensors",
      "index.json",
    ]);
  });

  it("names every mistake with --check and fails", async () => {
    const { code, stdout } = await paligemma(["prepare", ".", "--check"], { cwd: folder });
    expect(code).toBe(1);
    expect(stdout).toContain("_annotations.train.jsonl:2: label/unknown: ");
    expect(stdout).toContain("_annotations.train.jsonl:4: image/not-found: ");
    expect(stdout.trimEnd().split("\n").at(-1)).toBe("4 records, 2 bad");
    const json = JSON.parse((await paligemma(["prepare", ".", "--check", "--json"], { cwd: folder })).stdout) as object;
    expect(json).toMatchObject({ records: 4, bad: 2, problems: { "label/unknown": 1, "image/not-found": 1 } });
  });

  it("writes texts as lines", async () => {
    const { code } = await paligemma(["prepare", ".", "--out", "texts", "--to", "jsonl"], { cwd: folder });
    expect(code).toBe(0);
    expect(
      readFileSync(join(folder, "texts/data.jsonl"), "utf8")
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as object),
    ).toEqual([lines[0], lines[2]]);
  });

  it.each([
    [["prepare", "."], /give --out/],
    [["prepare", ".", "--out", "x", "--check"], /give --out/],
    [["prepare", ".", "--out", "x", "--seed", "-1"], /seed/],
    [["prepare", ".", "--out", "x", "--to", "tfrecord"], /tfrecord/],
  ])("%s is a mistake of usage", async (args, message) => {
    const { code, stderr } = await paligemma(args, { cwd: folder });
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
  });

  it("does not overwrite what is not its own", async () => {
    const { code, stderr } = await paligemma(["prepare", ".", "--out", "."], { cwd: folder });
    expect(code).toBe(1);
    expect(stderr).toContain("is not empty");
  });
});

describe("preview", () => {
  it.each([[[]], [["--random", "--seed", "3", "--columns", "1"]]])(
    "draws the good records on one sheet %j",
    async (more) => {
      const { code, stdout, stderr } = await paligemma(["preview", ".", "--out", "sheet.png", ...more], {
        cwd: folder,
      });
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      expect(stdout).toContain("2 records are drawn in sheet.png; 2 bad ones were left out");
      const { width, height } = await sharp(join(folder, "sheet.png")).metadata();
      expect(width).toBe(more.length === 0 ? 640 : 320);
      expect(height).toBeGreaterThan(240);
    },
  );
  it("wants a .png", async () => {
    expect(await paligemma(["preview", ".", "--out", "sheet.jpg"], { cwd: folder })).toMatchObject({ code: 2 });
  });
});

it("the time left is told in words", () => {
  expect(pace(0, 5, 100)).toEqual({ rate: "–", left: "–" });
  expect(pace(10, 2, 100)).toEqual({ rate: "5.0", left: "20 s" });
  expect(pace(1000, 10, 10_000)).toEqual({ rate: "100", left: "1 min 40 s" });
  expect(pace(10, 10, 7500)).toEqual({ rate: "1.0", left: "2 h 5 min" });
});
