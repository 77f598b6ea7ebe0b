import { PaliGemmaError, type ErrorCode } from "@paligemma/core";

/** A JSON object, as `JSON.parse` gives it. */
export type JsonObject = Readonly<Record<string, unknown>>;

/**
 * The JSON object in these bytes. Throws with `code` for what `JSON.parse` lets through as well: bytes that are not UTF-8, a
 * byte-order mark, a key that stands twice (the last would win in silence), and anything else than an object.
 */
export function parseStrictJson(bytes: Uint8Array, name: string, code: ErrorCode): JsonObject {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new PaliGemmaError(code, `${name} is not UTF-8 text`, { cause });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new PaliGemmaError(code, `${name} is not JSON${cause instanceof Error ? `: ${cause.message}` : ""}`, {
      cause,
    });
  }
  if (!isObject(value)) throw new PaliGemmaError(code, `${name} is not a JSON object`);
  const twice = repeatedKey(text);
  if (twice !== undefined)
    throw new PaliGemmaError(code, `${name} has the key ${JSON.stringify(twice)} twice in one object`);
  return value;
}

/** True for a JSON object, false for arrays, null and everything else. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The first key that an object of this valid JSON text has twice. */
function repeatedKey(text: string): string | undefined {
  const open: Set<string>[] = [];
  let word = "";
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}:]/g)) {
    if (token === "{") open.push(new Set());
    else if (token === "}") open.pop();
    else if (token !== ":") word = token;
    else {
      // A colon outside strings follows the key it belongs to. Escapes: "\u0061" is the key "a".
      const key = word.includes("\\") ? (JSON.parse(word) as string) : word.slice(1, -1);
      const keys = open.at(-1)!;
      if (keys.has(key)) return key;
      keys.add(key);
    }
  }
  return undefined;
}
