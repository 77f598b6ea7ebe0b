import { join } from "node:path";
import { fromFloat32, ndArray, type NdArray } from "@paligemma/core";
import type { Processor } from "@paligemma/processor";
import { ndTensor } from "@paligemma/weights";
import { writeSafetensors } from "@paligemma/weights/node";
import type { Origin } from "../problems.ts";
import { shardName, type Shard } from "./prepare-state.ts";

/** One record: its picture's numbers and its texts. */
export interface ShardRow {
  readonly origin: Origin;
  /** float32 [channels, height, width]. */
  readonly pixelValues: NdArray<"float32">;
  readonly prompt: string;
  readonly answer: string;
}

/** Number formats of pictures in shards. */
export type PixelDtype = "float32" | "float16" | "bfloat16";

/** Collects rows and writes them as one file when it is full: the memory of one file, whatever the dataset. */
export interface ShardWriter {
  readonly rows: number;
  readonly full: boolean;
  add(row: ShardRow): void;
  /** Writes the rows as shard `number` and forgets them. */
  write(folder: string, number: number): Promise<Shard>;
}

/** How a shard is laid out. */
export interface ShardLayout {
  /** Of one picture. */
  readonly shape: readonly [channels: number, height: number, width: number];
  /** Rows of a full shard. */
  readonly capacity: number;
  readonly dtype: PixelDtype;
  readonly paddingSide: "left" | "right";
}

/** A writer of shards of the given layout; `processor` makes the texts' arrays. */
export function createShardWriter(processor: Pick<Processor, "processTexts">, layout: ShardLayout): ShardWriter {
  const { shape, capacity, dtype, paddingSide } = layout;
  const perRow = shape[0] * shape[1] * shape[2];
  const pixels = new Float32Array(capacity * perRow);
  let rows: Omit<ShardRow, "pixelValues">[] = [];
  return {
    get rows() {
      return rows.length;
    },
    get full() {
      return rows.length === capacity;
    },
    add({ pixelValues, ...texts }) {
      pixels.set(pixelValues.data, rows.length * perRow);
      rows.push(texts);
    },
    async write(folder, number) {
      const images = ndArray("float32", [rows.length, ...shape], pixels.subarray(0, rows.length * perRow));
      const texts = processor.processTexts(
        rows.map(({ prompt, answer }) => ({ images: 1, prompt, suffix: answer })),
        { paddingSide },
      );
      const arrays: Record<string, NdArray> = {
        pixel_values: fromFloat32(images, dtype),
        input_ids: texts.inputIds,
        attention_mask: texts.attentionMask,
        token_type_ids: texts.tokenTypeIds,
        labels: texts.labels!,
      };
      const file = shardName(number);
      const records = JSON.stringify(rows.map(({ origin }) => `${origin.file}:${origin.line}`));
      const refs = Object.entries(arrays).map(([name, array]) => ndTensor(name, array));
      await writeSafetensors(join(folder, file), refs, { metadata: { format: "pt", records } });
      const shard = { file, records: rows.length, tokens: texts.inputIds.shape[1]! };
      rows = [];
      return shard;
    },
  };
}
