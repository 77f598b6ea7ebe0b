import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { paligemma, PICTURE } from "./cli.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "paligemma-cli-"));
  await writeFile(join(folder, "text.png"), "this is no picture");
  await writeFile(join(folder, "empty.png"), "");
  await writeFile(join(folder, "config.json"), "{");
});

/** One sentence on the standard error, nothing on the output, and this exit code. */
async function expectMistake(args: readonly string[], code: number, message: RegExp): Promise<void> {
  const run = await paligemma(args, { cwd: folder });
  expect({ code: run.code, stdout: run.stdout }).toEqual({ code, stdout: "" });
  expect(run.stderr).toMatch(message);
  expect(run.stderr).not.toMatch(/^\s+at /m);
}

describe("wrong command lines end with 2", () => {
  it.each([
    [["captoin"], /unknown command 'captoin'\n\(Did you mean caption\?\)/],
    [["caption"], /missing required argument 'pictures'/],
    [["caption", PICTURE, "--jsno"], /unknown option '--jsno'\n\(Did you mean --json\?\)/],
    [
      ["caption", PICTURE, "--max-new-tokens", "0"],
      /'--max-new-tokens <n>' argument '0' is invalid\. It must be a whole number of at least 1/,
    ],
    [["caption", PICTURE, "--max-new-tokens", "1.5"], /'1\.5' is invalid/],
    [["caption", PICTURE, "--device", "tpu"], /Allowed choices are cpu, cuda/],
    [["caption", PICTURE, "--language", "deutsch!"], /language is "deutsch!", which is no language code/],
    [["answer", "why?"], /missing required argument 'pictures'/],
    [["answer", PICTURE, "why?"], /is a file: the question comes first, then the pictures/],
    [["answer", " ", PICTURE], /the question is empty/],
    [["ocr"], /missing required argument 'pictures'/],
    [["detect", "circle"], /missing required argument 'pictures'/],
    [["detect", "circle,,star", PICTURE], /the label "" is empty/],
    [["detect", "circle", PICTURE, "--out", "boxes.jpg"], /end it in \.png/],
    [["detect", "circle", PICTURE, "text.png", "--out", "boxes.png"], /one file for 2 pictures; name a folder/],
    [["segment", "circle"], /missing required argument 'pictures'/],
    [["segment", PICTURE, "circle"], /is a file: what to look for comes first/],
    [["generate"], /missing required argument 'prompt'/],
    [["generate", "caption en", "--out", "boxes.png"], /--out draws on a picture; name one/],
    [["generate", "caption en", PICTURE, "--top-p", "2"], /It must be a number from 0 to 1/],
    [["generate", "caption en", PICTURE, "--temperature", "0.5"], /--temperature without --sample would do nothing/],
    [["inspect", "--josn"], /unknown option '--josn'/],
    [["demo", "surplus"], /too many arguments/],
  ])("%j", (args, message) => expectMistake(args, 2, message));
});

describe("work that cannot be done ends with 1", () => {
  it.each([
    [["caption", "absent.png"], /absent\.png is not there; give paths of JPEG, PNG/],
    [["caption", "."], /\. is a folder, not a picture/],
    [["caption", "text.png"], /cli\/picture: text\.png is no image/],
    [["caption", "empty.png"], /cli\/picture: empty\.png /],
    [["ocr", PICTURE, "absent.png"], /absent\.png is not there/],
    [["detect", "star", "-", "-"], /the standard input \(-\) can be one picture only/],
    [
      ["caption", PICTURE, "--model", "absent"],
      /absent is neither a folder of this machine nor a repository of the Hub/,
    ],
    [["caption", PICTURE, "--model", "text.png"], /text\.png is neither a folder/],
    [["answer", "why?", PICTURE, "--model", "."], /paligemma\/json: .*config\.json is no JSON/],
    [["inspect", "."], /config\.json is no JSON/],
    [["inspect", "absent"], /absent is neither a folder/],
    [["detect", "circle", PICTURE, "--out", "text.png/boxes.png"], /cannot be written/],
  ])("%j", (args, message) => expectMistake(args, 1, message));

  it("a repository of the Hub that is not in the cache, offline", async () => {
    const env = { HF_HUB_OFFLINE: "1", HF_HOME: folder };
    for (const command of [
      ["caption", PICTURE, "--model", "owner/name"],
      ["inspect", "owner/name"],
    ]) {
      const { code, stderr } = await paligemma(command, { env });
      expect(code).toBe(1);
      expect(stderr).toMatch(/^error: hub\/offline: /);
    }
  });

  it("CUDA where there is none", async () => {
    const { code, stderr } = await paligemma(["caption", PICTURE, "--device", "cuda"]);
    if (process.env["REQUIRE_DEVICE"] === "cuda") expect(code).toBe(0);
    else if (code !== 0) expect(stderr).toMatch(/^error: backend\/unavailable: CUDA/);
  });
});

it("shows where an error came from with --verbose", async () => {
  const { code, stderr } = await paligemma(["caption", "text.png", "--verbose"], { cwd: folder });
  expect(code).toBe(1);
  expect(stderr).toMatch(/^\s+at /m);
  expect(stderr).toContain("caused by PaliGemmaError: processor/decode");
});
