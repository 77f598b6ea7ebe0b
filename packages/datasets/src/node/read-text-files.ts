import { basename } from "node:path";
import { pipeline } from "node:stream/promises";
import { parse, type Info } from "csv-parse";
import { readFields, readJsonLine } from "../fields.ts";
import { badRecord, type Origin } from "../problems.ts";
import type { Reading } from "../record.ts";
import type { Dataset } from "./dataset.ts";
import { fileChunks, fileStamp } from "./files.ts";
import { MAX_LINE_BYTES, readLines } from "./lines.ts";

/** A JSONL file of image, prefix and suffix, one record per line (Roboflow's and big_vision's form). */
export function jsonlDataset(path: string, images: string): Dataset {
  const file = basename(path);
  return {
    format: "jsonl",
    path,
    images,
    async count(signal) {
      let lines = 0;
      for await (const _line of readLines(path, signal)) lines++;
      return lines;
    },
    classes: () => Promise.resolve(undefined),
    async *records(signal) {
      for await (const line of readLines(path, signal)) {
        const origin: Origin = { file, line: line.number };
        yield "problem" in line
          ? { bad: badRecord(origin, [line.problem], line.text) }
          : readJsonLine(line.text, origin);
      }
    },
    fingerprint: () => fileStamp([path]),
  };
}

interface Row {
  readonly record: readonly string[];
  readonly raw: string;
  readonly info: Info;
}

/** A CSV or TSV file whose first row names the fields. */
export function csvDataset(path: string, images: string): Dataset {
  const file = basename(path);
  const rows = async function* (signal?: AbortSignal): AsyncGenerator<Row | Error, void, undefined> {
    const parser = parse({
      bom: true,
      delimiter: path.endsWith(".tsv") ? "\t" : ",",
      info: true,
      raw: true,
      relax_column_count: true,
      skip_empty_lines: true,
      max_record_size: MAX_LINE_BYTES,
    });
    pipeline(fileChunks(path, signal), parser).catch(() => {}); // the loop below gets the same error
    try {
      for await (const row of parser) yield row as Row;
    } catch (error) {
      signal?.throwIfAborted();
      yield error as Error;
    }
  };
  const records = async function* (signal?: AbortSignal): AsyncGenerator<Reading, void, undefined> {
    let header: readonly string[] | undefined;
    let line = 1;
    for await (const row of rows(signal)) {
      const origin: Origin = { file, line };
      if (row instanceof Error) {
        // Quotes that do not match: where the next record begins cannot be told.
        yield {
          bad: badRecord(
            origin,
            [{ code: "row/columns", message: `the rest of the file cannot be read: ${row.message}` }],
            "",
          ),
        };
        return;
      }
      line = row.info.lines + 1;
      if (header === undefined) header = row.record.map((name) => name.trim());
      else yield readRow(row, header, origin);
    }
  };
  return {
    format: "csv",
    path,
    images,
    async count(signal) {
      let count = 0;
      for await (const _record of records(signal)) count++;
      return count;
    },
    classes: () => Promise.resolve(undefined),
    records,
    fingerprint: () => fileStamp([path]),
  };
}

function readRow({ record, raw }: Row, header: readonly string[], origin: Origin): Reading {
  const text = raw.replace(/\r?\n$/, "");
  if (record.length !== header.length) {
    return {
      bad: badRecord(
        origin,
        [
          {
            code: "row/columns",
            message: `the row has ${record.length} fields, the header ${header.length}; texts with commas need quotes`,
          },
        ],
        text,
      ),
    };
  }
  if (text.includes("\uFFFD"))
    return {
      bad: badRecord(origin, [{ code: "line/encoding", message: "the row is no UTF-8; convert the file" }], text),
    };
  return readFields(Object.fromEntries(header.map((name, i) => [name, record[i]])), origin, text);
}
