import * as c from "@paligemma/generation/constraints";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { accepts, PIECES, vocabulary } from "./vocabularies.ts";

const v = vocabulary();

describe("JSON", () => {
  const SCHEMAS: readonly (readonly [schema: c.JsonSchema, yes: readonly string[], no: readonly string[]])[] = [
    [
      true,
      ["1", '"a"', "[]", "{}", '[1, {"a":null}]', "true", '"\\u00e9\\n"'],
      ["", "01", "[1,]", '{"a"}', "tru", '"\n"', '"\\ud800"'],
    ],
    [
      { type: "object", properties: { a: { type: "integer" }, b: { type: "string" } }, required: ["b"] },
      ['{"b":"x"}', '{"a":1, "b": "x"}'],
      ["{}", '{"a":1}', '{"b":"x","a":1}', '{"b":"x","c":1}', '{"b":1}'],
    ],
    [
      { type: "object", properties: { a: { const: 1 }, b: { const: 2 } } },
      ["{}", '{"a":1}', '{"b":2}', '{"a":1,"b":2}'],
      ['{"a":1,}', '{,"b":2}'],
    ],
    [
      { type: "object", additionalProperties: { type: "boolean" } },
      ["{}", '{"x":true}', '{"x":true, "y":false}'],
      ['{"x":1}'],
    ],
    [{ type: "object", additionalProperties: false }, ["{}"], ['{"a":1}']],
    [
      { type: "array", items: { enum: ["a", 2, null] }, minItems: 1, maxItems: 2 },
      ['["a"]', "[2, null]"],
      ["[]", "[2,2,2]", '["b"]'],
    ],
    [
      { type: "array", prefixItems: [{ type: "integer" }, { type: "string" }], items: false, minItems: 1 },
      ["[1]", '[1,"a"]'],
      ["[]", '["a"]', '[1,"a",2]'],
    ],
    [
      { type: "array", prefixItems: [{ type: "integer" }], items: { type: "boolean" }, maxItems: 3 },
      ["[]", "[1]", "[1,true,false]"],
      ["[true]", "[1,true,true,true]"],
    ],
    [{ type: ["string", "null"], maxLength: 2 }, ["null", '"ab"', '"日本"', '""'], ['"abc"', "1"]],
    [{ type: "string", minLength: 2 }, ['"ab"', '"a\\n"'], ['"a"', '"a🐈"']],
    [{ type: "string", pattern: '^[a-c"\\n]+$' }, ['"abc"', '"a\\"\\n"'], ['"d"', '"a"b"', '""']],
    [{ type: "string", pattern: "b" }, ['"abc"', '"b"'], ['"ac"']],
    [{ type: "string", format: "date" }, ['"2026-11-23"'], ['"2026-13-01"']],
    [{ anyOf: [{ type: "integer", minimum: 1, maximum: 3 }, { const: "x" }] }, ["2", '"x"'], ["4", '"y"']],
    [
      {
        $defs: {
          tree: {
            type: "object",
            properties: { v: { type: "integer" }, kids: { type: "array", items: { $ref: "#/$defs/tree" } } },
            required: ["v"],
          },
        },
        $ref: "#/$defs/tree",
      },
      ['{"v":1}', '{"v":1,"kids":[{"v":2,"kids":[]}]}'],
      ["{}", '{"v":1,"kids":[{}]}'],
    ],
    [{ const: { a: [1, "b"] } }, ['{"a":[1,"b"]}'], ['{"a": [1,"b"]}']],
  ];
  test.each(SCHEMAS)("%o", (schema, yes, no) => {
    const constraint = c.jsonSchema(v, schema);
    expect(yes.filter((text) => !accepts(constraint, text))).toEqual([]);
    expect(no.filter((text) => accepts(constraint, text))).toEqual([]);
  });
  test("a zod type writes its own schema", () => {
    const type = z.object({
      name: z.string().max(3),
      age: z.int().positive().optional(),
      tags: z.array(z.enum(["a", "b"])),
    });
    const constraint = c.jsonSchema(v, type);
    expect(accepts(constraint, '{"name":"Ada","age":7,"tags":["a", "b"]}')).toBe(true);
    expect(accepts(constraint, '{"name":"Adam","tags":[]}')).toBe(false);
    expect(accepts(constraint, '{"name":"Ada","age":0,"tags":[]}')).toBe(false);
  });
  const WRONG: readonly (readonly [schema: unknown, message: RegExp])[] = [
    [{ type: "array", uniqueItems: true }, /# has uniqueItems, which cannot be kept while decoding/],
    [{ type: "object", propertes: {} }, /has propertes.*did you mean properties\?/],
    [{ type: "strin" }, /# has the type "strin"; types are/],
    [
      { type: "object", properties: { a: { type: "string", minimum: 3 } } },
      /#\/properties\/a has minimum, which the type string does not have/,
    ],
    [{ minimum: 3 }, /has minimum but no type/],
    [{ $ref: "#/$defs/none" }, /#\/\$defs\/none refers to nothing/],
    [{ $ref: "http://example.com" }, /out of the schema/],
    [{ $ref: "#" }, /allows no text at all/],
    [{ type: "string", format: "color" }, /has the format "color"; known are/],
    [{ type: "string", pattern: "a", maxLength: 3 }, /has a pattern beside/],
    [{ type: "array", minItems: 3, maxItems: 2 }, /minItems 3, more than the 2/],
    [{ type: "array", minItems: -1 }, /minItems -1/],
    [{ allOf: [{ type: "string" }, { type: "string" }] }, /allOf of several/],
    [{ anyOf: [], type: "string" }, /anyOf \[\]/],
    [{ anyOf: [{ type: "string" }], minLength: 3 }, /has anyOf beside minLength/],
    [{ enum: [1], type: "string" }, /allows no text at all/],
    [3, /# is 3; a schema is an object/],
    [false, /allows no text at all/],
  ];
  test.each(WRONG)("%o is an error", (schema, message) => {
    expect(() => c.jsonSchema(v, schema as c.JsonSchema)).toThrow(message);
  });
  test("a schema that nests without end is an error, not a stack overflow", () => {
    let schema: c.JsonSchema = { type: "string" };
    for (let i = 0; i < 5000; i++) schema = { type: "array", items: schema };
    expect(() => c.jsonSchema(v, schema)).toThrow(/nests more than 64/);
  });
  test("thirty optional properties take no exponential time, and a model that only opens brackets ends", () => {
    const properties = Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`p${i}`, { type: "boolean" }]));
    expect(accepts(c.jsonSchema(v, { type: "object", properties }), '{"p0":true,"p29":false}')).toBe(true);
    const any = c.jsonSchema(v, true);
    let state: unknown = any.start;
    let depth = 0;
    for (; depth < 1000; depth++) {
      const next = any.next(state, PIECES.indexOf("["));
      if (next === undefined) break;
      state = next;
    }
    expect(depth).toBeLessThan(1000);
    expect(any.distance!(state)).toBeLessThan(1000);
  });
});
