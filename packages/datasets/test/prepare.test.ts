import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openDataset, prepare, type PrepareOptions } from "@paligemma/datasets/node";
import { decodeImage } from "@paligemma/processor/node";
import { openSafetensors } from "@paligemma/weights";
import { fileSource } from "@paligemma/weights/node";
import { beforeAll, describe, expect, it } from "vitest";
import { contents, folderOf, lettersProcessor, newFolder, picture } from "./folders.ts";

const processor = lettersProcessor();
const COUNT = 60;
// Five rows per shard: 3 × 8 × 8 float32 each.
const shardBytes = 5 * 3 * 8 * 8 * 4;
let folder = "";

const isBad = (i: number): boolean => i % 7 === 3;
const nameOf = (i: number): string => `${String(i).padStart(3, "0")}.png`;

beforeAll(async () => {
  const files: Record<string, string | Buffer> = {};
  const lines: string[] = [];
  for (let i = 0; i < COUNT; i++) {
    files[nameOf(i)] =
      i === 32 ? (await picture(20, 10, i)).subarray(0, 90) : await picture(10 + (i % 9), 8 + (i % 5), i);
    const answer = `<loc${String(i).padStart(4, "0")}><loc0002><loc0300><loc0400> cat ; <loc0001><loc0002><loc0500><loc0400> dog`;
    lines.push(
      isBad(i)
        ? "{oops"
        : JSON.stringify({
            image: nameOf(i),
            prefix: "detect cat ; dog",
            suffix: answer.slice(0, i % 2 ? undefined : answer.indexOf(" ;")),
          }),
    );
  }
  folder = folderOf({ ...files, "_annotations.train.jsonl": `${lines.join("\n")}\n` });
});

const run = async (out: string, options: Partial<PrepareOptions> = {}): Promise<Awaited<ReturnType<typeof prepare>>> =>
  prepare(await openDataset(folder), {
    out,
    processor,
    shardBytes,
    workers: 2,
    objectOrder: "random",
    seed: 4,
    ...options,
  });

describe("prepare", () => {
  it("writes the model inputs of every good record, in order, in shards of equal size", async () => {
    const out = newFolder();
    const summary = await run(out, { objectOrder: "given" });
    const bad = Array.from({ length: COUNT }, (_, i) => i).filter((i) => isBad(i) || i === 32);
    expect(summary).toMatchObject({ records: COUNT, written: COUNT - bad.length, bad: bad.length, resumed: 0 });
    const index = JSON.parse(readFileSync(join(out, "index.json"), "utf8")) as {
      shards: { file: string; records: number; tokens: number }[];
    };
    expect(index.shards.map(({ records }) => records)).toEqual(
      [...Array.from({ length: 10 }, () => 5), 1].slice(0, index.shards.length),
    );
    const expected = Array.from({ length: COUNT }, (_, i) => i).filter((i) => !bad.includes(i));
    const lines = readFileSync(join(folder, "_annotations.train.jsonl"), "utf8").split("\n");
    let at = 0;
    for (const { file, records, tokens } of index.shards) {
      const shard = await openSafetensors(await fileSource(join(out, file)));
      const examples = await Promise.all(
        expected.slice(at, at + records).map(async (i) => {
          const { prefix, suffix } = JSON.parse(lines[i]!) as { prefix: string; suffix: string };
          return { image: await decodeImage(join(folder, nameOf(i))), prompt: prefix, suffix };
        }),
      );
      const inputs = await processor.process(examples, { paddingSide: "right" });
      for (const [name, array] of Object.entries({
        pixel_values: inputs.pixelValues,
        input_ids: inputs.inputIds,
        attention_mask: inputs.attentionMask,
        token_type_ids: inputs.tokenTypeIds,
        labels: inputs.labels!,
      })) {
        const read = await shard.read(name);
        expect([name, read.dtype, read.shape]).toEqual([name, array.dtype, array.shape]);
        expect(read.data).toEqual(array.data);
      }
      expect(inputs.inputIds.shape[1]).toBe(tokens);
      at += records;
    }
    expect(at).toBe(expected.length);
    const refused = readFileSync(join(out, "bad.jsonl"), "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { origin: { line: number }; problems: { code: string }[] });
    expect(refused.map(({ origin, problems }) => [origin.line - 1, problems.map(({ code }) => code)])).toEqual(
      bad.map((i) => [i, [i === 32 ? "image/unreadable" : "json/syntax"]]),
    );
    expect(Object.keys(contents(out)).toSorted()).toEqual(
      [...index.shards.map(({ file }) => file), "bad.jsonl", "index.json"].toSorted(),
    );
  });

  it("gives the same bytes again, whatever the number of threads, and others for another seed", async () => {
    const [first, second, other] = [newFolder(), newFolder(), newFolder()];
    await run(first);
    await run(second, { workers: 1 });
    await run(other, { seed: 5 });
    expect(contents(second)).toEqual(contents(first));
    expect(contents(other)).not.toEqual(contents(first));
  });

  it("goes on after a kill at any moment, to the same bytes", async () => {
    const whole = newFolder();
    await run(whole);
    // A copy of the folder at some moment is what a kill would have left there.
    const moments = [0, 1, 6, 17, 18, 30, 44, 59, 60];
    const killed = new Map(moments.map((moment) => [moment, newFolder()]));
    const out = newFolder();
    await run(out, {
      onProgress: ({ done }) => killed.has(done) && cpSync(out, killed.get(done)!, { recursive: true }),
    });
    for (const [moment, left] of killed) {
      writeFileSync(join(left, ".data-00001.safetensors.1234.partial"), "half a file");
      const summary = await run(left);
      expect(summary.resumed).toBeLessThanOrEqual(moment);
      if (moment >= 30) expect(summary.resumed).toBeGreaterThan(0);
      expect([moment, contents(left)]).toEqual([moment, contents(whole)]);
    }
  });

  it("goes on after five kills of one run", async () => {
    const whole = newFolder();
    await run(whole, { output: "safetensors" });
    let left = newFolder();
    for (const moment of [9, 20, 33, 41, 55]) {
      const next = newFolder();
      let stopped = false;
      await run(left, {
        onProgress: ({ done }) => {
          if (done < moment || stopped) return;
          stopped = true;
          cpSync(left, next, { recursive: true });
          throw new Error("killed");
        },
      }).catch(() => {});
      left = next;
    }
    await run(left);
    expect(contents(left)).toEqual(contents(whole));
  });

  it("writes texts line by line, and goes on there too", async () => {
    const [whole, left] = [newFolder(), newFolder()];
    const summary = await run(whole, {
      output: "jsonl",
      onProgress: ({ done }) => done === 40 && cpSync(whole, left, { recursive: true }),
    });
    expect(summary.files).toEqual(["data.jsonl", "bad.jsonl", "index.json"]);
    const lines = readFileSync(join(whole, "data.jsonl"), "utf8").trimEnd().split("\n");
    expect(lines).toHaveLength(summary.written);
    expect(JSON.parse(lines[0]!)).toMatchObject({ image: "000.png", prefix: "detect cat ; dog" });
    await run(left, { output: "jsonl" });
    expect(contents(left)).toEqual(contents(whole));
    // What was written is a dataset again.
    cpSync(join(whole, "data.jsonl"), join(folder, "again.jsonl"));
    const again = await openDataset(join(folder, "again.jsonl"));
    expect(await again.count()).toBe(summary.written);
  });

  it("keeps rows within maxLength, and answers within maxAnswerTokens", async () => {
    const [rows, answers] = [newFolder(), newFolder()];
    const summary = await run(rows, { output: "jsonl", maxLength: 38 });
    expect(summary.bad).toBeGreaterThan(20);
    expect(readFileSync(join(rows, "bad.jsonl"), "utf8")).toContain('"answer/too-long"');
    expect((await run(answers, { output: "jsonl", maxAnswerTokens: 10 })).bad).toBe(summary.bad);
  });

  it("stores half floats when asked", async () => {
    const out = newFolder();
    await run(out, { dtype: "bfloat16" });
    const shard = await openSafetensors(await fileSource(join(out, "data-00000.safetensors")));
    expect(shard.tensors.get("pixel_values")).toMatchObject({ dtype: "bfloat16", shape: [5, 3, 8, 8] });
  });
});

describe("prepare refuses", () => {
  it("a folder of other things, finished data, and the beginning of other data", async () => {
    await expect(run(folderOf({ "thesis.txt": "all my work" }))).rejects.toThrow(/^datasets\/output: .*thesis\.txt/);
    const done = newFolder();
    await run(done);
    await expect(run(done)).rejects.toThrow(/^datasets\/output: .*finished/);
    const [begun, out] = [newFolder(), newFolder()];
    await run(out, { onProgress: ({ done: count }) => count === 40 && cpSync(out, begun, { recursive: true }) });
    await expect(run(begun, { seed: 9 })).rejects.toThrow(/^datasets\/output: .*option changed/);
  });
  it.each([
    ["an unknown option", { shards: 3 }, /^datasets\/option: .*shards/],
    ["an unknown output", { output: "tfrecord" }, /^datasets\/option: output/],
    ["no threads", { workers: 0 }, /^datasets\/option: workers/],
    ["masks without an encoder", { task: "segment" }, /^datasets\/option: .*encodeMasks/],
    ["an unknown order", { objectOrder: "sorted" }, /^datasets\/option: objectOrder/],
  ])("%s", async (_name, options, message) => {
    await expect(run(newFolder(), options as never)).rejects.toThrow(message);
  });
  it("to go on after an abort, with its reason", async () => {
    const controller = new AbortController();
    const reason = new Error("enough");
    const out = newFolder();
    await expect(
      run(out, { signal: controller.signal, onProgress: ({ done }) => done === 20 && controller.abort(reason) }),
    ).rejects.toThrow("enough");
  });
});
