import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Reading } from "../record.ts";
import { openAppendFile } from "./append-file.ts";
import type { Dataset } from "./dataset.ts";
import { readPrepareOptions, type PrepareOptions } from "./prepare-options.ts";
import { lineSink, shardSink, type Outcome, type Sink } from "./prepare-sinks.ts";
import { BAD_FILE, INDEX_FILE, LINES_FILE, replaceJson, resumeState, STATE_FILE } from "./prepare-state.ts";

/** What was made. */
export interface PrepareSummary {
  /** Records of the dataset, bad ones included. */
  readonly records: number;
  readonly written: number;
  readonly bad: number;
  /** Records that an earlier run had done. */
  readonly resumed: number;
  /** Names of the files in the folder. */
  readonly files: readonly string[];
}

/** Records in work at once, per thread: enough that none waits, few enough that memory stays flat. */
const AHEAD = 4;

/**
 * Streams a dataset into a folder of model inputs: `data-00000.safetensors` … with `pixel_values`, `input_ids`,
 * `attention_mask`, `token_type_ids` and `labels`, or `data.jsonl`; bad records with all their mistakes in `bad.jsonl`;
 * `index.json` when all is done. A run that was killed goes on where it was, and the end is the same to the byte. The
 * options and their seed decide every byte. Throws `datasets/output` where the folder holds something else.
 */
export async function prepare(dataset: Dataset, options: PrepareOptions): Promise<PrepareSummary> {
  const settings = await readPrepareOptions(dataset, options);
  const { out, output, workers, signal, digest } = settings;
  await mkdir(out, { recursive: true });
  const begun = await resumeState(out, digest);
  const total = await dataset.count(signal);
  await using bad = await openAppendFile(join(out, BAD_FILE), begun.badBytes);
  const report = (done: number): void =>
    options.onProgress?.({ task: "prepare", done, total: Math.max(total, done), unit: "items" });
  const state = { ...begun };

  const run = async <Row>(sink: Sink<Row>): Promise<void> => {
    const save = async (): Promise<void> => {
      await bad.sync();
      Object.assign(state, await sink.save(), { badBytes: bad.length });
      await replaceJson(out, STATE_FILE, state);
    };
    report(state.done);
    for await (const outcome of inOrder(dataset.records(signal), begun.done, workers * AHEAD, (reading) =>
      sink.work(reading),
    )) {
      state.done++;
      if ("bad" in outcome) {
        state.bad++;
        await bad.append(`${JSON.stringify(outcome.bad)}\n`);
      } else {
        state.written++;
        if (await sink.take(outcome.row)) await save();
      }
      report(state.done);
    }
    await save();
  };
  if (output === "jsonl") {
    await using sink = await lineSink(settings, dataset.images, begun);
    await run(sink);
  } else {
    await using sink = shardSink(settings, dataset.images, begun);
    await run(sink);
  }

  const { done, written, shards } = state;
  await replaceJson(out, INDEX_FILE, {
    format: "paligemma-inputs",
    version: 1,
    output,
    records: done,
    written,
    bad: state.bad,
    shards,
  });
  await rm(join(out, STATE_FILE));
  const files = output === "jsonl" ? [LINES_FILE] : shards.map(({ file }) => file);
  return { records: done, written, bad: state.bad, resumed: begun.done, files: [...files, BAD_FILE, INDEX_FILE] };
}

/** The outcomes of records in their order, some of them in work ahead; the first `skip` are left out. */
async function* inOrder<Row>(
  readings: AsyncIterable<Reading>,
  skip: number,
  ahead: number,
  work: (reading: Reading) => Promise<Outcome<Row>>,
): AsyncGenerator<Outcome<Row>, void, undefined> {
  const queue: Promise<Outcome<Row>>[] = [];
  let position = 0;
  for await (const reading of readings) {
    if (position++ < skip) continue;
    const outcome = work(reading);
    outcome.catch(() => {}); // thrown when its turn comes; until then it is no unhandled rejection
    queue.push(outcome);
    if (queue.length >= ahead) yield await queue.shift()!;
  }
  for (const outcome of queue) yield await outcome;
}
