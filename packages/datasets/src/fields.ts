import { nearest } from "@paligemma/core";
import { badRecord, shown, type Origin, type Problem } from "./problems.ts";
import type { JsonValue, Reading } from "./record.ts";

/** Names under which records of JSONL and CSV files hold their picture, prompt and answer; the first is Roboflow's. */
export const FIELD_NAMES = {
  image: ["image", "image_path", "file_name"],
  prompt: ["prefix", "prompt", "question"],
  answer: ["suffix", "answer", "caption"],
} as const;

/** A record of named fields; other fields are left alone. An answer may be any JSON value where `source` is JSON. */
export function readFields(fields: Readonly<Record<string, unknown>>, origin: Origin, source: string): Reading {
  const problems: Problem[] = [];
  const image = field(fields, "image", problems);
  const prompt = field(fields, "prompt", problems);
  const answer = field(fields, "answer", problems);
  for (const [name, value] of [
    ["image", image],
    ["prompt", prompt],
  ] as const) {
    if (value !== undefined && typeof value !== "string")
      problems.push({ code: "field/type", message: `the ${name} is ${shown(value)}; it must be a text` });
  }
  const path = typeof image === "string" ? checkImagePath(image, problems) : "";
  if (problems.length > 0) return { bad: badRecord(origin, problems, source) };
  return {
    record: { origin, image: path, content: { kind: "text", prompt: prompt as string, answer: answer as JsonValue } },
  };
}

/** One line of JSON as a record. */
export function readJsonLine(text: string, origin: Origin): Reading {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return {
      bad: badRecord(
        origin,
        [{ code: "json/syntax", message: `the line is no JSON: ${(error as Error).message}` }],
        text,
      ),
    };
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return {
      bad: badRecord(
        origin,
        [
          {
            code: "json/not-object",
            message: `the line is ${shown(value)}; it must be an object with image, prefix and suffix`,
          },
        ],
        text,
      ),
    };
  }
  return readFields(value as Record<string, unknown>, origin, text);
}

function field(
  fields: Readonly<Record<string, unknown>>,
  role: keyof typeof FIELD_NAMES,
  problems: Problem[],
): unknown {
  const names = FIELD_NAMES[role].filter((name) => Object.hasOwn(fields, name));
  if (names.length > 1)
    problems.push({
      code: "field/ambiguous",
      message: `there is ${names.join(" and ")}; only one of them can be the ${role}`,
    });
  const [name] = names;
  if (name === undefined) {
    const meant = FIELD_NAMES[role]
      .map((known) => nearest(known, Object.keys(fields)))
      .find((found) => found !== undefined);
    problems.push({
      code: "field/missing",
      message: `there is no ${FIELD_NAMES[role].join(", ")}${meant === undefined ? "" : `; is it ${shown(meant)}?`}`,
    });
    return undefined;
  }
  return fields[name];
}

/** The path with `/` between its parts; problems where it is empty or leads out of the folder of images. */
export function checkImagePath(path: string, problems: Problem[]): string {
  const parts = path.split(/[/\\]/).filter((part) => part !== "." && part !== "");
  const leaves = parts.includes("..") || /^([/\\]|[A-Za-z]:|[a-z]+:\/\/)/.test(path) || path.includes("\0");
  if (path === "") problems.push({ code: "field/type", message: "the image is an empty text; it must be a path" });
  else if (leaves || parts.length === 0)
    problems.push({ code: "image/outside", message: `the image ${shown(path)} is no path below the folder of images` });
  return parts.join("/");
}
