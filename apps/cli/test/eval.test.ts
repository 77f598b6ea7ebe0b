import { spawn } from "node:child_process";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MAIN, PICTURE, paligemma } from "./cli.ts";

const SCENES = fileURLToPath(new URL("../../../tooling/tiny-shapes/evaluation", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "paligemma-cli-eval-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const read = (...path: string[]): string => readFileSync(join(folder, ...path), "utf8");

describe("eval of the 200 scenes, the first of them", { timeout: 120_000 }, () => {
  it("scores every task by its metric, and writes report, answers and worst cases", async () => {
    const { code, stdout, stderr } = await paligemma(["eval", SCENES, "--limit", "16", "--out", "whole"], {
      cwd: folder,
    });
    // On a slow machine the standard error has lines of progress.
    expect({ code, errors: stderr.match(/error: .*/g) }).toEqual({ code: 0, errors: null });
    for (const line of [
      /caption +2 +CIDEr-D/,
      /detect +6 +AP at IoU 0\.5/,
      /segment +2 +mask mIoU/,
      /answer +6 +equal/,
    ])
      expect(stdout).toMatch(line);
    expect(stdout).toContain("16 of 16 records answered");
    const report = JSON.parse(read("whole", "report.json")) as { tasks: { task: string; value: number }[] };
    for (const { value } of report.tasks) expect(value).toBeGreaterThan(0.6);
    expect(read("whole", "answers.jsonl").trimEnd().split("\n")).toHaveLength(16);
  });

  it("goes on after kill -9, and ends with the same bytes", async () => {
    const args = ["eval", SCENES, "--limit", "16", "--out", "killed", "--batch-size", "1"];
    await killedAfter(3, join(folder, "killed", "answers.jsonl"), args);
    const kept = read("killed", "answers.jsonl");
    expect(kept.split("\n").length).toBeLessThan(16);
    appendFileSync(join(folder, "killed", "answers.jsonl"), '{"record":9999,"ans'); // as of a kill within a write
    const { code, stdout } = await paligemma(args, { cwd: folder });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^\d+ records were answered by an earlier run/);
    expect(read("killed", "answers.jsonl").startsWith(kept.slice(0, kept.lastIndexOf("\n") + 1))).toBe(true);
    expect(read("killed", "answers.jsonl")).toBe(read("whole", "answers.jsonl"));
    expect(read("killed", "report.json")).toBe(read("whole", "report.json"));
  });

  it("tells a finished evaluation again without asking, and goes on when the limit grows", async () => {
    const before = statSync(join(folder, "whole", "answers.jsonl")).mtimeMs;
    const again = await paligemma(["eval", SCENES, "--limit", "16", "--out", "whole", "--json"], { cwd: folder });
    expect(JSON.parse(again.stdout)).toEqual(JSON.parse(read("whole", "report.json")));
    expect(statSync(join(folder, "whole", "answers.jsonl")).mtimeMs).toBe(before);
    const more = await paligemma(["eval", SCENES, "--limit", "18", "--out", "whole"], { cwd: folder });
    expect(more.stdout).toContain("18 of 18 records answered");
  });

  it("refuses a folder with other settings, of something else, or edited", async () => {
    const other = await paligemma(["eval", SCENES, "--out", "whole", "--metric", "exact"], { cwd: folder });
    expect(other.code).toBe(1);
    expect(other.stderr).toContain("other settings (metric)");
    writeFileSync(join(folder, "mine.txt"), "");
    const foreign = await paligemma(["eval", SCENES, "--out", "."], { cwd: folder });
    expect(foreign.stderr).toContain("and no evaluation");
    const file = await paligemma(["eval", SCENES, "--out", "mine.txt"], { cwd: folder });
    expect(file.stderr).toContain("mine.txt is no folder and none can be made");
    appendFileSync(join(folder, "killed", "answers.jsonl"), "{}\n");
    const edited = await paligemma(["eval", SCENES, "--out", "killed", "--limit", "16"], { cwd: folder });
    expect(edited.stderr).toMatch(/line 17 of .* is not the answer to record 16/);
  });
});

describe("eval of other data", { timeout: 120_000 }, () => {
  const box = "<loc0100><loc0200><loc0600><loc0700>";
  beforeAll(() => {
    const lines = [
      { image: PICTURE, prefix: "caption en", suffix: "a star" },
      { image: "demo.png", prefix: "answer en is there a star?", suffix: ["yes", "Yes!"] },
      { image: "nowhere.png", prefix: "caption en", suffix: "nothing" },
      { image: "demo.png", prefix: "detect star ; circle", suffix: `${box} moon` },
      { image: "demo.png", prefix: "detect star ; moon", suffix: "" },
      { image: "demo.png", prefix: "read it", suffix: { total: "5.00" } },
    ];
    writeFileSync(
      join(folder, "mixed.jsonl"),
      lines.map((line) => `${JSON.stringify(line)}\n`).join("") + "not json\n",
    );
    writeFileSync(join(folder, "demo.png"), readFileSync(PICTURE));
    const ring = [32, 8, 106, 8, 106, 82, 32, 82];
    const coco = {
      images: [{ id: 1, file_name: "demo.png", width: 320, height: 240 }],
      categories: [
        { id: 1, name: "circle" },
        { id: 2, name: "star" },
      ],
      annotations: [
        { id: 1, image_id: 1, category_id: 1, bbox: [32, 8, 74, 74], segmentation: [ring], area: 5476, iscrowd: 0 },
      ],
    };
    writeFileSync(join(folder, "coco.json"), JSON.stringify(coco));
  });

  it("counts and names bad records, and takes several right answers and data", async () => {
    const { code, stdout } = await paligemma(["eval", "mixed.jsonl", "--json", "--out", "mixed"], { cwd: folder });
    expect(code).toBe(0);
    const report = JSON.parse(stdout) as Record<string, unknown>;
    expect(report).toMatchObject({ records: 7, answered: 3, bad: 4 });
    expect(Object.keys(report["problems"] as object).toSorted()).toEqual([
      "image/not-found",
      "image/outside",
      "json/syntax",
      "label/unknown",
    ]);
    const metrics = (report["tasks"] as { task: string; metric: string }[]).map(({ task, metric }) => [task, metric]);
    expect(metrics).toEqual([
      ["answer", "exact"],
      ["detect", "boxes"],
      ["question", "fields"],
    ]);
  });

  it("segments one class at a time, against outlines of a COCO file", async () => {
    const args = ["eval", "coco.json", "--task", "segment", "--each-class", "--json"];
    const { code, stdout, stderr } = await paligemma(args, { cwd: folder });
    expect({ code, errors: stderr.match(/error: .*/g) }).toEqual({ code: 0, errors: null });
    expect(JSON.parse(stdout)).toMatchObject({ answered: 1, tasks: [{ task: "segment", metric: "masks" }] });
  });

  it("names a metric that does not fit", async () => {
    const texts = await paligemma(["eval", "coco.json", "--metric", "anls"], { cwd: folder });
    expect(texts.code).toBe(1);
    expect(texts.stderr).toContain("has objects, and --metric anls compares texts");
    const vqa = await paligemma(["eval", SCENES, "--metric", "vqa", "--limit", "1"], { cwd: folder });
    expect(vqa.stderr).toContain("1 right answers, VQA accuracy compares with 10; use --metric exact");
    expect(await paligemma(["eval", SCENES, "--metric", "bleu"], { cwd: folder })).toMatchObject({ code: 2 });
  });
});

/** Runs the command line and kills it, unasked, once the file has so many lines. */
async function killedAfter(lines: number, file: string, args: readonly string[]): Promise<void> {
  const child = spawn(process.execPath, [MAIN, ...args], { cwd: folder, stdio: "ignore" });
  const ended = new Promise<NodeJS.Signals | null>((resolve) => child.on("close", (_, signal) => resolve(signal)));
  const timer = setInterval(() => {
    let text = "";
    try {
      text = readFileSync(file, "utf8");
    } catch {
      // not there yet
    }
    if (text.split("\n").length > lines) child.kill("SIGKILL");
  }, 2);
  const signal = await ended;
  clearInterval(timer);
  expect(signal).toBe("SIGKILL");
}
