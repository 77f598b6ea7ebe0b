import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createProcessor, type Processor, type ProcessorOptions } from "@paligemma/processor";
import sharp from "sharp";
import { afterAll } from "vitest";

const made: string[] = [];
afterAll(() => {
  for (const folder of made.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** An empty folder, removed after the tests. */
export function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "paligemma-datasets-"));
  made.push(folder);
  return folder;
}

/** A folder of the given files; folders of their paths are made. */
export function folderOf(files: Readonly<Record<string, string | Uint8Array>>): string {
  const folder = newFolder();
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
  return folder;
}

/** A PNG with a pattern that `number` decides. */
export async function picture(width: number, height: number, number = 0): Promise<Buffer> {
  const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => (i * 7 + number * 31) % 256);
  return sharp(data, { raw: { width, height, channels: 3 } })
    .png({ compressionLevel: 1 })
    .toBuffer();
}

/** Names and bytes of a folder's files. */
export function contents(folder: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(folder)
      .toSorted()
      .map((name) => [name, readFileSync(join(folder, name)).toString("base64")]),
  );
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** A processor of letters: pieces of one character, markup, 4 image tokens, 8 × 8 pixels. */
export function lettersProcessor(): Processor {
  return createProcessor(lettersOptions());
}

/** What it is made from, as plain data. */
export function lettersOptions(): ProcessorOptions {
  const pieces = [
    "<pad>",
    "<eos>",
    "<bos>",
    "<unk>",
    "\n",
    "▁",
    ...Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i)).filter((letter) => letter !== " "),
  ];
  for (let i = 0; i < 1024; i++) pieces.push(`<loc${String(i).padStart(4, "0")}>`);
  for (let i = 0; i < 128; i++) pieces.push(`<seg${String(i).padStart(3, "0")}>`);
  const vocab = Object.fromEntries(pieces.map((piece, id) => [piece, id]));
  const tokenizerJson = {
    added_tokens: [],
    normalizer: { type: "Replace", pattern: { String: " " }, content: "▁" },
    decoder: {
      type: "Sequence",
      decoders: [{ type: "Replace", pattern: { String: "▁" }, content: " " }, { type: "Fuse" }],
    },
    model: { type: "BPE", vocab, merges: [], unk_token: "<unk>", fuse_unk: true },
  };
  return {
    tokenizer: { tokenizerJson },
    preprocessor: { image_seq_length: 4, size: { height: 8, width: 8 } },
  };
}
