import { join } from "node:path";
import { isPaliGemmaError, PaliGemmaError } from "@paligemma/core";
import { createImagePool } from "@paligemma/processor/node";
import { badRecord, type BadRecord, type Problem } from "../problems.ts";
import type { Reading, TrainingRecord } from "../record.ts";
import { writeExample, type WrittenExample } from "../write-example.ts";
import { openAppendFile } from "./append-file.ts";
import { checkImage, compareSize, unreadable } from "./check-image.ts";
import type { PrepareSettings } from "./prepare-options.ts";
import { LINES_FILE, type PrepareState } from "./prepare-state.ts";
import { createShardWriter } from "./shard-writer.ts";

/** A record's part of the output, or why it has none. */
export type Outcome<Row> = { readonly row: Row } | { readonly bad: BadRecord };

/** Where records go. `work` runs for several records at once; `take` gets their rows in the dataset's order. */
export interface Sink<Row> extends AsyncDisposable {
  work(reading: Reading): Promise<Outcome<Row>>;
  /** True when it is time to save. */
  take(row: Row): Promise<boolean>;
  /** Makes what was taken safe on the disk, and says what of the state it changes. */
  save(): Promise<Partial<PrepareState>>;
}

/** Records after which a JSONL file is made safe. */
const LINES_PER_SAVE = 1000;

/** Texts line by line, as Roboflow and big_vision write them. Pictures are looked at, not decoded. */
export async function lineSink(settings: PrepareSettings, images: string, begun: PrepareState): Promise<Sink<string>> {
  const file = await openAppendFile(join(settings.out, LINES_FILE), begun.lineBytes);
  let lines = 0;
  return {
    async work(reading) {
      if ("bad" in reading) return reading;
      const { record } = reading;
      const image = await checkImage(record, images);
      const written = write(record, settings, "size" in image ? image.size : undefined);
      const problems = [
        ...("problem" in image ? [image.problem] : []),
        ...("problems" in written ? written.problems : []),
      ];
      if (problems.length > 0 || "problems" in written) return refuse(record, problems);
      return { row: `${JSON.stringify({ image: record.image, prefix: written.prompt, suffix: written.answer })}\n` };
    },
    async take(line) {
      await file.append(line);
      return ++lines % LINES_PER_SAVE === 0;
    },
    async save() {
      await file.sync();
      return { lineBytes: file.length };
    },
    [Symbol.asyncDispose]: () => file[Symbol.asyncDispose](),
  };
}

/** Model inputs in shards of equal numbers of rows. */
export function shardSink(
  settings: PrepareSettings,
  images: string,
  begun: PrepareState,
): Sink<Parameters<ReturnType<typeof createShardWriter>["add"]>[0]> {
  const { processor, shardBytes, dtype, paddingSide, workers, signal, out } = settings;
  const { height, width } = processor.config.size;
  const capacity = Math.max(1, Math.floor(shardBytes / (3 * height * width * 4)));
  const writer = createShardWriter(processor, { shape: [3, height, width], capacity, dtype, paddingSide });
  const pool = createImagePool({ preprocessor: processor.toJSON().preprocessorConfig, workers });
  const shards = [...begun.shards];
  return {
    async work(reading) {
      if ("bad" in reading) return reading;
      const { record } = reading;
      const needsSize = settings.examples.task === "segment" && record.size === undefined;
      const header = needsSize ? await checkImage(record, images) : undefined;
      const written = write(record, settings, header && "size" in header ? header.size : record.size);
      if ("problems" in written) {
        const image = header ?? (await checkImage(record, images));
        return refuse(record, ["problem" in image ? [image.problem] : [], written.problems].flat());
      }
      try {
        const picture = await pool.preprocess(join(images, record.image), signal);
        const differs = compareSize(record, picture);
        return differs
          ? refuse(record, [differs])
          : { row: { ...written, origin: record.origin, pixelValues: picture.pixelValues } };
      } catch (error) {
        if (!isPaliGemmaError(error) || !error.code.startsWith("processor/decode")) throw error;
        const image = await checkImage(record, images);
        return refuse(record, ["problem" in image ? image.problem : unreadable(record)]);
      }
    },
    take(row) {
      writer.add(row);
      return Promise.resolve(writer.full);
    },
    async save() {
      if (writer.rows > 0) shards.push(await writer.write(out, shards.length));
      return { shards: [...shards] };
    },
    [Symbol.asyncDispose]: () => pool.dispose(),
  };
}

/** The record's texts, within `maxLength` tokens. */
function write(
  record: TrainingRecord,
  { examples, processor, maxLength }: PrepareSettings,
  size: TrainingRecord["size"],
): WrittenExample | { readonly problems: readonly Problem[] } {
  const written = writeExample(record, examples, size);
  if ("problems" in written || maxLength === undefined) return written;
  try {
    processor.processTexts({ images: 1, prompt: written.prompt, suffix: written.answer }, { maxLength });
    return written;
  } catch (error) {
    if (!(error instanceof PaliGemmaError) || error.code !== "processor/truncation") throw error;
    return { problems: [{ code: "answer/too-long", message: error.message }] };
  }
}

function refuse(record: TrainingRecord, problems: readonly Problem[]): { readonly bad: BadRecord } {
  return { bad: badRecord(record.origin, problems, JSON.stringify({ image: record.image, ...record.content })) };
}
