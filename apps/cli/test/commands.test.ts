import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { copyFile, mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { boxIou, type Box } from "@paligemma/parsers";
import { decodeImage } from "@paligemma/processor/node";
import { beforeAll, describe, expect, it } from "vitest";
import { MAIN, paligemma, PICTURE } from "./cli.ts";
import truth from "../assets/demo.json" with { type: "json" };

// Below the mean IoU that the embedded model has to reach, above what a wrong box has.
const RIGHT_BOX = 0.6;
const PNG = "89504e470d0a1a0a";

const execute = promisify(execFile);

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "paligemma-cli-"));
});

/** Standard output of a run that must succeed and say nothing else. */
async function output(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await paligemma(args, { cwd: folder });
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return stdout;
}

async function json(
  ...args: string[]
): Promise<{ readonly model: string; readonly device: string; readonly results: readonly Result[] }> {
  return JSON.parse(await output(...args, "--json"));
}

interface Result {
  readonly text: string;
  readonly out?: string;
  readonly detections?: readonly Found[];
}

interface Found {
  readonly label: string;
  readonly box: Box;
  readonly pixels: Box;
  readonly codes?: readonly number[];
  readonly area?: number;
  readonly mask?: unknown;
}

const triangles = truth.things.filter(({ label }) => label.endsWith("triangle"));

/** What every answer about the demo's picture has in common. */
const common = {
  picture: PICTURE,
  width: 320,
  height: 240,
  text: expect.any(String),
  tokens: expect.any(Number),
  stoppedBy: "eos",
};

describe("in words", () => {
  it("caption", async () => {
    expect(await output("caption", PICTURE)).toBe(`${truth.caption}\n`);
    const { model, device, results } = await json("caption", PICTURE);
    expect({ model, device }).toEqual({ model: "tiny-shapes (embedded)", device: "cpu" });
    expect(results).toEqual([{ ...common, prompt: "caption en", text: truth.caption }]);
  });

  it("answer", async () => {
    expect(await output("answer", "how many triangles are there?", PICTURE)).toBe("two\n");
    expect((await json("answer", "is there a star?", PICTURE)).results).toEqual([
      { ...common, prompt: "answer en is there a star?", text: "no" },
    ]);
  });

  it("ocr", async () => {
    // tiny-shapes cannot read; the road is there for models that can.
    expect((await json("ocr", PICTURE)).results).toMatchObject([{ picture: PICTURE, prompt: "ocr" }]);
  });

  it("a picture from the standard input", async () => {
    const { code, stdout } = await paligemma(["caption", "-"], { input: await readFile(PICTURE) });
    expect({ code, stdout }).toEqual({ code: 0, stdout: `${truth.caption}\n` });
  });

  it("several pictures, each as if alone, in batches of any size", async () => {
    const pictures = [PICTURE, PICTURE, PICTURE];
    const lines = await output("caption", ...pictures, "--batch-size", "2");
    expect(lines).toBe(`${PICTURE}: ${truth.caption}\n`.repeat(3));
  });

  it.skipIf(process.platform !== "linux" || !existsSync("/usr/bin/script"))(
    "written as it comes, on a terminal",
    async () => {
      const { stdout } = await execute("script", [
        "-qec",
        `"${process.execPath}" "${MAIN}" caption "${PICTURE}"`,
        "/dev/null",
      ]);
      expect(stdout.replaceAll("\r", "").endsWith(`${truth.caption}\n`)).toBe(true);
    },
  );

  it("says that an answer was cut off", async () => {
    expect(await output("caption", PICTURE, "--max-new-tokens", "2")).toMatch(
      / … \(cut off: see --max-new-tokens\)\n$/,
    );
    expect((await json("caption", PICTURE, "--max-new-tokens", "2")).results).toMatchObject([
      { tokens: 2, stoppedBy: "length" },
    ]);
  });
});

describe("in boxes", () => {
  it("detect", async () => {
    const [result] = (await json("detect", "triangle", PICTURE)).results;
    expect(result).toEqual({ ...common, prompt: "detect triangle", rest: "", detections: expect.any(Array) });
    expect(result!.detections).toHaveLength(triangles.length);
    for (const [i, { label, box, pixels }] of result!.detections!.entries()) {
      expect(label).toBe("triangle");
      expect(boxIou(box, triangles[i]!.box)).toBeGreaterThan(RIGHT_BOX);
      expect(pixels.xMin).toBeCloseTo(box.xMin * 320);
    }
  });

  it("detect for people", async () => {
    const [title, ...lines] = (await output("detect", "circle, triangle", PICTURE)).trimEnd().split("\n");
    expect(title).toBe(`3 objects in ${PICTURE} (320 × 240)`);
    expect(lines).toHaveLength(3);
    for (const line of lines) expect(line).toMatch(/^ {2}(circle  |triangle) {2}x +\d+ to +\d+ {2}y +\d+ to +\d+$/);
  });

  it("draws one picture", async () => {
    const out = join(folder, "new/boxes.png");
    expect(await output("detect", "circle", PICTURE, "--out", out)).toContain(`drawn in ${out}`);
    await expectDrawing(out);
  });

  it("draws several pictures into a folder", async () => {
    await copyFile(PICTURE, join(folder, "other.png"));
    const out = join(folder, "drawings");
    const { results } = await json("detect", "circle", PICTURE, "other.png", "--out", out);
    expect(results.map((result) => result.out)).toEqual([join(out, "demo-boxes.png"), join(out, "other-boxes.png")]);
    for (const result of results) await expectDrawing(result.out!);
  });
});

describe("in masks", () => {
  it("segment", async () => {
    const { results } = await json("segment", "triangle", PICTURE, "--out", "masks.png");
    expect(results[0]).toMatchObject({ picture: PICTURE, prompt: "segment triangle", rest: "", out: "masks.png" });
    expect(results[0]!.detections).toHaveLength(triangles.length);
    for (const { area, box, codes, mask } of results[0]!.detections!) {
      // A triangle fills about half of its box.
      const whole = 320 * 240 * (box.yMax - box.yMin) * (box.xMax - box.xMin);
      expect(area! / whole).toBeGreaterThan(0.3);
      expect(area! / whole).toBeLessThan(0.7);
      expect(codes).toHaveLength(16);
      expect(mask).toEqual({ size: [240, 320], counts: expect.any(String) });
    }
    await expectDrawing(join(folder, "masks.png"));
  });
});

describe("generate", () => {
  it("any prompt, with the boxes of its answer", async () => {
    const [words] = (await json("generate", "caption en", PICTURE)).results;
    expect(words).toEqual({ ...common, prompt: "caption en", text: truth.caption });
    const [boxes] = (await json("generate", "detect triangle", PICTURE, "--out", "generated.png")).results;
    expect(boxes!.detections).toHaveLength(triangles.length);
    await expectDrawing(join(folder, "generated.png"));
  });

  it("without a picture", async () => {
    expect((await json("generate", "caption en", "--max-new-tokens", "3")).results).toMatchObject([
      { picture: null, width: null, height: null },
    ]);
  });

  it("sampling that is repeatable", async () => {
    const sample = ["generate", "caption en", PICTURE, "--sample", "--temperature", "3", "--seed"];
    const first = await output(...sample, "1");
    expect(await output(...sample, "1")).toBe(first);
    expect(await output(...sample, "2")).not.toBe(first);
  });

  it("ends after a text", async () => {
    expect(await output("generate", "caption en", PICTURE, "--stop", ",")).toBe("an orange triangle,\n");
  });
});

describe("inspect", () => {
  it("says what the model is", async () => {
    const text = await output("inspect");
    expect(text).toMatch(/^family +PaliGemma 1$/m);
    expect(text).toMatch(/^problems +none$/m);
    const inspection = JSON.parse(await output("inspect", "--json"));
    expect(inspection).toMatchObject({ resolution: 112, imageTokens: 64, preset: null, problems: [] });
    expect(inspection.parametersInFiles).toBe(inspection.parameters);
    expect(inspection).toMatchObject({ license: "mit", taskFamily: "fine-tuned", precision: "bfloat16" });
    // The CPU keeps the token table as it lies, beside all weights in float32.
    expect(inspection.needs[0]).toMatchObject({
      precision: "float32",
      weights: inspection.parameters * 4 + 1664 * 144 * 2,
    });
  });
});

describe("demo", () => {
  it("captions, answers, detects and draws", async () => {
    const text = await output("demo");
    expect(text).toContain(truth.caption);
    expect(text).toContain("3 objects in");
    await expectDrawing(join(folder, "demo-boxes.png"));
  });
});

describe("help", () => {
  it("of the whole, also when nothing is asked", async () => {
    expect(await output("--help")).toContain("Exit codes: 0 done, 1 failed, 2 the command line was wrong");
    expect(await output()).toContain("Usage: paligemma");
  });

  it("tells the version", async () => {
    expect(await output("--version")).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it.each(["demo", "caption", "answer", "ocr", "detect", "segment", "generate", "inspect", "eval"])(
    "of %s",
    async (command) => {
      expect(await output(command, "--help")).toContain(`$ paligemma ${command}`);
    },
  );
});

async function expectDrawing(path: string): Promise<void> {
  const bytes = await readFile(path);
  expect(bytes.subarray(0, 8).toString("hex")).toBe(PNG);
  const [drawn, before] = await Promise.all([decodeImage(bytes), readFile(PICTURE).then((file) => decodeImage(file))]);
  expect([drawn.width, drawn.height]).toEqual([before.width, before.height]);
  expect(Buffer.compare(Buffer.from(drawn.data), Buffer.from(before.data))).not.toBe(0);
}
