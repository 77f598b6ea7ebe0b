import type { Constraint } from "../constraint.ts";
import { PaliGemmaError } from "../errors.ts";
import { nearest } from "../nearest.ts";
import { compile } from "./compile.ts";
import { choice, type Grammar, list, type Rule, rule, sequence, text } from "./grammar.ts";
import { ANY_VALUE, COMMA, jsonCharacter, jsonString } from "./json-text.ts";
import { objectGrammar } from "./json-object.ts";
import { numberGrammar, type NumberRange } from "./number-grammar.ts";
import { parseRegex } from "./regex-parser.ts";
import { wrong } from "./schema-error.ts";
import type { Vocabulary } from "./vocabulary.ts";

/** A JSON Schema (2020-12): what of it is understood stands at `jsonSchema`. */
export type JsonSchema = boolean | { readonly [keyword: string]: unknown };

/** A schema of a library that can write itself as JSON Schema (standardschema.dev), such as zod 4's. */
export interface SchemaWithJson {
  readonly "~standard": {
    readonly jsonSchema?: {
      readonly input: (options: { readonly target: "draft-2020-12" }) => Record<string, unknown>;
    };
  };
}

/** How deep a schema may nest, apart from references: schemas may come from anywhere. */
const MAX_DEPTH = 64;

/** Keywords that say nothing about which texts are allowed. */
const ANNOTATIONS = [
  "$schema",
  "$id",
  "$comment",
  "$defs",
  "definitions",
  "title",
  "description",
  "default",
  "examples",
  "deprecated",
  "readOnly",
  "writeOnly",
];

/** The keywords of each type. */
const KEYWORDS: Readonly<Record<string, readonly string[]>> = {
  object: ["properties", "required", "additionalProperties", "propertyNames"],
  array: ["items", "prefixItems", "minItems", "maxItems"],
  string: ["minLength", "maxLength", "pattern", "format"],
  number: ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"],
  integer: ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"],
  boolean: [],
  null: [],
};
const GENERAL = ["type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref"];
const KNOWN = [...new Set([...GENERAL, ...ANNOTATIONS, ...Object.values(KEYWORDS).flat()])];

/** Texts of the formats, where no pattern is given. */
const FORMATS: Readonly<Record<string, string>> = {
  date: "^\\d{4}-(0[1-9]|1[0-2])-(0[1-9]|1\\d|2[0-8])$",
  time: "^([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,6})?(Z|[+-]([01]\\d|2[0-3]):[0-5]\\d)$",
  "date-time":
    "^\\d{4}-(0[1-9]|1[0-2])-(0[1-9]|1\\d|2[0-8])T([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,6})?(Z|[+-]([01]\\d|2[0-3]):[0-5]\\d)$",
  uuid: "^[\\da-f]{8}-[\\da-f]{4}-[1-8][\\da-f]{3}-[89ab][\\da-f]{3}-[\\da-f]{12}$",
  email: "^[A-Za-z0-9_+-]+(\\.[A-Za-z0-9_+-]+)*@([A-Za-z0-9]+(-[A-Za-z0-9]+)*\\.)+[A-Za-z]{2,}$",
  ipv4: "^((25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)\\.){3}(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)$",
};

/**
 * The answer is JSON on one line that the schema allows: a JSON Schema, or a zod 4 type. Members come in the schema's
 * order, none that it does not name; a space may stand after commas and colons. Understood: type, enum, const, anyOf, oneOf
 * (as anyOf), allOf of one, $ref within the schema (recursive too), properties, required, additionalProperties and
 * propertyNames (of objects without properties), items, prefixItems, minItems, maxItems, minLength, maxLength, pattern, the
 * bounds of numbers, and the formats date, time, date-time, uuid, email and ipv4. Every other keyword is an error.
 */
export function jsonSchema(vocabulary: Vocabulary, schema: JsonSchema | SchemaWithJson): Constraint {
  return compile(vocabulary, schemaGrammar(plainSchema(schema)));
}

/** The JSON texts that a schema allows. */
export function schemaGrammar(root: JsonSchema): Grammar {
  const references = new Map<string, Rule>();
  const context: Context = {
    reference(pointer) {
      let found = references.get(pointer);
      if (found === undefined) {
        const target = resolve(root, pointer);
        found = rule(() => grammarOf(target, pointer, 0, context));
        references.set(pointer, found);
      }
      return found;
    },
  };
  return context.reference("#");
}

/** What the parts of a schema need of the whole. */
interface Context {
  reference(pointer: string): Grammar;
}

function plainSchema(schema: JsonSchema | SchemaWithJson): JsonSchema {
  if (typeof schema !== "object" || !("~standard" in schema)) return schema;
  const json = (schema as SchemaWithJson)["~standard"].jsonSchema;
  if (json === undefined)
    throw new PaliGemmaError(
      "generation/schema",
      "the schema cannot write itself as JSON Schema; zod from 4.2 on can, others: pass the JSON Schema",
    );
  return json.input({ target: "draft-2020-12" });
}

function grammarOf(schema: unknown, path: string, depth: number, context: Context): Grammar {
  if (schema === true) return ANY_VALUE;
  if (schema === false) return choice();
  if (typeof schema !== "object" || schema === null || Array.isArray(schema))
    throw wrong(path, `is ${JSON.stringify(schema)}; a schema is an object, true or false`);
  if (depth > MAX_DEPTH) throw wrong(path, `nests more than ${MAX_DEPTH} schemas; use $ref`);
  const given = schema as Readonly<Record<string, unknown>>;
  const inner = (part: unknown, name: string): Grammar => grammarOf(part, `${path}/${name}`, depth + 1, context);
  const keys = Object.keys(given).filter((key) => !ANNOTATIONS.includes(key) && given[key] !== undefined);
  for (const key of keys) {
    if (KNOWN.includes(key)) continue;
    const meant = nearest(key, KNOWN);
    throw wrong(
      path,
      `has ${key}, which cannot be kept while decoding${meant === undefined ? "" : ` (did you mean ${meant}?)`}; leave it out and check it afterwards`,
    );
  }
  const alone = (key: string): void => {
    const others = keys.filter((other) => other !== key && other !== "type");
    if (others.length > 0) throw wrong(path, `has ${key} beside ${others.join(", ")}; write them into its parts`);
  };
  if (given["$ref"] !== undefined) {
    alone("$ref");
    if (typeof given["$ref"] !== "string")
      throw wrong(path, `has $ref ${JSON.stringify(given["$ref"])}; it is a string`);
    return context.reference(given["$ref"]);
  }
  for (const key of ["anyOf", "oneOf", "allOf"]) {
    if (given[key] === undefined) continue;
    alone(key);
    const parts = arrayOf(given[key], path, key);
    if (key === "allOf" && parts.length > 1) throw wrong(path, "has allOf of several schemas; join them into one");
    return choice(...parts.map((part, i) => inner(part, `${key}/${i}`)));
  }
  const types = typesOf(given, path);
  if (given["const"] !== undefined || given["enum"] !== undefined) {
    const values = given["const"] === undefined ? arrayOf(given["enum"], path, "enum") : [given["const"]];
    const fitting = values.filter((value) => types === undefined || types.some((type) => isOfType(value, type)));
    return choice(...fitting.map((value) => text(JSON.stringify(value))));
  }
  if (types === undefined) {
    if (keys.length > 0) throw wrong(path, `has ${keys.join(", ")} but no type; say which`);
    return ANY_VALUE;
  }
  const stray = keys.filter((key) => !GENERAL.includes(key) && !types.some((type) => KEYWORDS[type]!.includes(key)));
  if (stray.length > 0)
    throw wrong(path, `has ${stray.join(", ")}, which the type ${types.join(" or ")} does not have`);
  return choice(...types.map((type) => typeGrammar(type, given, path, inner)));
}

function typeGrammar(
  type: string,
  given: Readonly<Record<string, unknown>>,
  path: string,
  inner: (part: unknown, name: string) => Grammar,
): Grammar {
  switch (type) {
    case "object":
      return objectGrammar(given, path, inner);
    case "array":
      return arrayGrammar(given, path, inner);
    case "string":
      return stringGrammar(given, path);
    case "boolean":
      return choice(text("true"), text("false"));
    case "null":
      return text("null");
    default:
      return numberGrammar({ ...(given as NumberRange), integer: type === "integer" });
  }
}

function arrayGrammar(
  given: Readonly<Record<string, unknown>>,
  path: string,
  inner: (part: unknown, name: string) => Grammar,
): Grammar {
  const first =
    given["prefixItems"] === undefined
      ? []
      : arrayOf(given["prefixItems"], path, "prefixItems").map((part, i) => inner(part, `prefixItems/${i}`));
  const least = count(given, "minItems", path) ?? 0;
  const most =
    given["items"] === false
      ? Math.min(first.length, count(given, "maxItems", path) ?? Infinity)
      : (count(given, "maxItems", path) ?? Infinity);
  if (least > most) throw wrong(path, `has minItems ${least}, more than the ${most} items there may be`);
  const rest = given["items"] === undefined ? ANY_VALUE : inner(given["items"], "items");
  // Every length from least to the number of first items, then the first items with more after them.
  const ways: Grammar[] = [];
  for (let length = least; length <= Math.min(first.length, most); length++) {
    ways.push(sequence(...first.slice(0, length).flatMap((part, i) => (i === 0 ? [part] : [COMMA, part]))));
  }
  if (most > first.length) {
    const more = list(rest, COMMA, Math.max(1, least - first.length), most - first.length);
    ways.push(sequence(...first.flatMap((part) => [part, COMMA]), more));
  }
  return sequence(text("["), choice(...ways), text("]"));
}

function stringGrammar(given: Readonly<Record<string, unknown>>, path: string): Grammar {
  const least = count(given, "minLength", path);
  const most = count(given, "maxLength", path);
  const format = given["format"];
  const pattern =
    given["pattern"] ?? (typeof format === "string" && Object.hasOwn(FORMATS, format) ? FORMATS[format] : undefined);
  if (pattern === undefined) {
    if (format !== undefined)
      throw wrong(
        path,
        `has the format ${JSON.stringify(format)}; known are ${Object.keys(FORMATS).join(", ")}, for others give a pattern`,
      );
    if ((least ?? 0) > (most ?? Infinity)) throw wrong(path, `has minLength ${least}, more than maxLength ${most}`);
    return jsonString(least, most);
  }
  if (typeof pattern !== "string")
    throw wrong(path, `has the pattern ${JSON.stringify(pattern)}; a pattern is a string`);
  if (least !== undefined || most !== undefined)
    throw wrong(path, "has a pattern beside minLength or maxLength; write the length into the pattern");
  return sequence(text('"'), parseRegex(pattern, "u", { characters: jsonCharacter }, false), text('"'));
}

function typesOf(given: Readonly<Record<string, unknown>>, path: string): readonly string[] | undefined {
  const type = given["type"];
  if (type === undefined) return undefined;
  const types = [type].flat();
  const unknown = types.find((one) => typeof one !== "string" || !Object.hasOwn(KEYWORDS, one));
  if (unknown !== undefined || types.length === 0)
    throw wrong(path, `has the type ${JSON.stringify(unknown)}; types are ${Object.keys(KEYWORDS).join(", ")}`);
  return types as string[];
}

function isOfType(value: unknown, type: string): boolean {
  if (type === "integer") return Number.isInteger(value);
  if (type === "null") return value === null;
  if (type === "array") return Array.isArray(value);
  return typeof value === type && value !== null && !Array.isArray(value);
}

function count(given: Readonly<Record<string, unknown>>, key: string, path: string): number | undefined {
  const value = given[key];
  if (value === undefined || (Number.isSafeInteger(value) && (value as number) >= 0))
    return value as number | undefined;
  throw wrong(path, `has ${key} ${JSON.stringify(value)}; it is an integer ≥ 0`);
}

function arrayOf(value: unknown, path: string, key: string): readonly unknown[] {
  if (Array.isArray(value) && value.length > 0) return value;
  throw wrong(path, `has ${key} ${JSON.stringify(value)}; it is a list of at least one`);
}

function resolve(root: unknown, pointer: string): unknown {
  if (!pointer.startsWith("#"))
    throw wrong(pointer, "is a reference out of the schema; only those within it are followed");
  let at = root;
  for (const part of pointer.split("/").slice(1)) {
    const key = decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~");
    const inside = typeof at === "object" && at !== null && Object.hasOwn(at, key);
    if (!inside) throw wrong(pointer, "refers to nothing in the schema");
    at = (at as Record<string, unknown>)[key];
  }
  return at;
}
