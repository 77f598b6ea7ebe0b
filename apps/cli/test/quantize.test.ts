import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { folder as tinyShapes } from "@paligemma/tiny-shapes";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import truth from "../assets/demo.json" with { type: "json" };
import { paligemma, PICTURE, type Run } from "./cli.ts";

const MODEL = fileURLToPath(tinyShapes);
let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "paligemma-quantize-"));
});
afterAll(() => rm(folder, { recursive: true }));

const run = (...args: string[]): Promise<Run> => paligemma(args, { cwd: folder });

describe("quantize", () => {
  it.each(["int8", "mixed", "int4"])("%s: the bundle is inspected and answers like any other model", async (dtype) => {
    const made = await run("quantize", MODEL, "--dtype", dtype, "--out", dtype);
    expect(made).toMatchObject({ code: 0, stderr: "" });
    expect(made.stdout).toMatch(
      new RegExp(`^${dtype}: [\\d.]+ MB of tensors, before [\\d.]+ MB\\n.*matrices in [48] bits`),
    );
    const { parameters, parametersInFiles, elementTypes, precision, problems } = JSON.parse(
      (await run("inspect", dtype, "--json")).stdout,
    );
    expect(problems).toEqual([]);
    expect(parametersInFiles).toBe(parameters);
    expect(Object.keys(elementTypes)).toEqual(expect.arrayContaining(dtype === "mixed" ? ["int4", "int8"] : [dtype]));
    expect(precision).toBe(dtype === "mixed" ? "int4" : dtype);
    expect((await run("caption", PICTURE, "--model", dtype)).stdout).toBe(`${truth.caption}\n`);
  });

  it("tells as JSON what became of each matrix", async () => {
    const { code, stdout } = await run(
      "quantize",
      MODEL,
      "--dtype",
      "int4",
      "--block-size",
      "16",
      "--zero-points",
      "--vision",
      "int8",
      "--out",
      "json",
      "--json",
    );
    expect(code).toBe(0);
    const { model, out, matrices } = JSON.parse(stdout);
    expect({ model, out }).toEqual({ model: MODEL, out: "json" });
    for (const matrix of matrices)
      expect(matrix).toMatchObject({ blockSize: 16, zeroPoints: true, relativeError: expect.any(Number) });
    expect(matrices.filter(({ bits }: { bits: number }) => bits === 8).length).toBeGreaterThan(0);
    expect((await run("caption", PICTURE, "--model", "json")).stdout).toBe(`${truth.caption}\n`);
  });
});

describe("--calibrate", () => {
  it("takes pictures, and training data", async () => {
    const lines = ["caption en", "detect circle"].map((prefix, i) =>
      JSON.stringify({
        image: "picture.png",
        prefix,
        suffix: ["a scene", "<loc0100><loc0100><loc0200><loc0200> circle"][i],
      }),
    );
    for (const name of ["pictures", "records"]) {
      await mkdir(join(folder, name));
      await copyFile(PICTURE, join(folder, name, "picture.png"));
    }
    await writeFile(join(folder, "records", "train.jsonl"), lines.join("\n"));
    for (const name of ["pictures", "records"]) {
      const out = `calibrated-${name}`;
      const made = await run("quantize", MODEL, "--dtype", "int4", "--calibrate", name, "--out", out);
      expect(made).toMatchObject({ code: 0, stderr: "" });
      const { calibrated } = JSON.parse(await readFile(join(folder, out, "quantization.json"), "utf8"));
      expect(calibrated).toBe(true);
      expect((await run("caption", PICTURE, "--model", out)).code).toBe(0);
    }
  });
});

describe("--dtype", () => {
  it("quantises at the first use and keeps what it made", async () => {
    const ask = (): Promise<Run> => run("caption", PICTURE, "--dtype", "int4", "--cache", "kept");
    expect(await ask()).toEqual({ code: 0, stdout: `${truth.caption}\n`, stderr: "" });
    const entries = await readdir(join(folder, "kept", "quantized"));
    expect(await ask()).toMatchObject({ code: 0, stdout: `${truth.caption}\n` });
    expect(await readdir(join(folder, "kept", "quantized"))).toEqual(entries);
  });
});

describe("mistakes", () => {
  it.each([
    [
      ["quantize", MODEL, "--dtype", "int8", "--calibrate", "absent", "--out", "x"],
      1,
      /cli\/calibrate: absent is not there/,
    ],
    [["caption", PICTURE, "--cache", "x"], 2, /cli\/usage: --cache is where quantised weights are kept; add --dtype/],
    [["caption", PICTURE, "--dtype", "int3"], 2, /Allowed choices are int8, int4, mixed/],
    [["quantize", MODEL, "--out", "x"], 2, /required option '--dtype <name>'/],
    [["quantize", MODEL, "--dtype", "int8"], 2, /required option '--out <folder>'/],
    [["quantize", MODEL, "--dtype", "int3", "--out", "x"], 2, /Allowed choices are int8, int4, mixed/],
    [
      ["quantize", MODEL, "--dtype", "int8", "--block-size", "48", "--out", "x"],
      2,
      /Allowed choices are 16, 32, 64, 128, 256/,
    ],
    [["quantize", MODEL, "--dtype", "int8", "--out", "taken"], 1, /quantization\/exists: .*taken is there already/],
    [["quantize", "absent", "--dtype", "int8", "--out", "x"], 1, /absent/],
  ])("%j", async (args, code, message) => {
    await writeFile(join(folder, "taken"), "");
    const { stderr, stdout, ...ended } = await run(...args);
    expect({ code: ended.code, stdout }).toEqual({ code, stdout: "" });
    expect(stderr).toMatch(message);
    expect(await readdir(folder)).not.toContain("x");
  });

  it("a bundle is not quantised again", async () => {
    expect((await run("quantize", MODEL, "--dtype", "int8", "--out", "once")).code).toBe(0);
    const { code, stderr } = await run("quantize", "once", "--dtype", "int4", "--out", "twice");
    expect(code).toBe(1);
    expect(stderr).toContain("quantised already");
  });
});
