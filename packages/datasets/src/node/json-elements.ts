import { PaliGemmaError } from "@paligemma/core";
import { fileChunks } from "./files.ts";

/** An element of an array that is a field of the file's object. */
export interface JsonElement {
  readonly key: string;
  readonly text: string;
  /** Bytes of the file. */
  readonly start: number;
  readonly end: number;
  readonly line: number;
}

/** The longest element: a COCO annotation with the outline of a crowd takes a megabyte. */
const MAX_ELEMENT_BYTES = 64 * 2 ** 20;

const [QUOTE, BACKSLASH, COMMA, COLON, OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT] = [
  0x22, 0x5c, 0x2c, 0x3a, 0x5b, 0x5d, 0x7b, 0x7d,
];

/**
 * The elements of the wanted arrays of a JSON file `{ "images": [ … ], … }`, in the order of the file, one element in
 * memory at a time: such files are too large to be parsed whole. Throws `datasets/json` for a file that is none.
 */
export async function* readJsonElements(
  path: string,
  wanted: ReadonlySet<string>,
  signal?: AbortSignal,
): AsyncGenerator<JsonElement, void, undefined> {
  let [offset, line, depth] = [0, 1, 0];
  let [inString, escaped] = [false, false];
  let key = ""; // of the array at depth 2
  let name: number[] | undefined; // the bytes of a string at depth 1, which may be a key
  let [elementStart, elementLine] = [-1, 0];
  let pieces: Uint8Array[] = [];
  let held = 0;
  for await (const bytes of fileChunks(path, signal)) {
    let from = 0; // where the current element goes on in this chunk
    for (let at = 0; at < bytes.length; at++) {
      const byte = bytes[at]!;
      if (byte === 0x0a) line++;
      if (inString) {
        if (escaped) escaped = false;
        else if (byte === BACKSLASH) escaped = true;
        else if (byte === QUOTE) inString = false;
        if (inString && depth === 1 && name && name.length < 256) name.push(byte);
        continue;
      }
      if (byte <= 0x20) continue;
      const inArray = depth === 2 && key !== "";
      if (inArray && elementStart < 0 && byte !== COMMA && byte !== CLOSE_ARRAY)
        [elementStart, elementLine, from] = [offset + at, line, at];
      if (inArray && elementStart >= 0 && (byte === COMMA || byte === CLOSE_ARRAY)) {
        pieces.push(bytes.subarray(from, at));
        if (wanted.has(key))
          yield {
            key,
            text: Buffer.concat(pieces).toString("utf8"),
            start: elementStart,
            end: offset + at,
            line: elementLine,
          };
        [pieces, held, elementStart] = [[], 0, -1];
      }
      if (byte === QUOTE) {
        inString = true;
        if (depth === 1) name = [];
      } else if (byte === COLON && depth === 1) {
        key = Buffer.from(name ?? []).toString("utf8");
      } else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) {
        if (depth === 0 && byte === OPEN_ARRAY) throw broken(path, line, "it is a list, not an object");
        if (depth === 1 && byte === OPEN_OBJECT) key = "";
        depth++;
      } else if (byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) {
        depth--;
        if (depth < 0) throw broken(path, line, "it closes more than it opened");
      } else if (depth === 0) {
        throw broken(path, line, `it begins with ${JSON.stringify(String.fromCharCode(byte))}`);
      }
    }
    if (elementStart >= 0) {
      pieces.push(bytes.subarray(from));
      held += bytes.length - from;
      if (held > MAX_ELEMENT_BYTES)
        throw broken(path, elementLine, `an element is longer than ${MAX_ELEMENT_BYTES} bytes`);
    }
    offset += bytes.length;
  }
  if (offset === 0 || depth !== 0)
    throw broken(path, line, offset === 0 ? "it is empty" : "it ends before everything is closed");
}

function broken(path: string, line: number, why: string): PaliGemmaError {
  return new PaliGemmaError(
    "datasets/json",
    `${path} is no JSON object: ${why} (line ${line}). Was it copied completely?`,
  );
}
