import { choice, type Grammar, list, rule, sequence, text } from "./grammar.ts";
import { COMMA, jsonString, member } from "./json-text.ts";
import { wrong } from "./schema-error.ts";

/** A JSON object: its properties in order, those that are not required or not; or, without properties, any members of one kind. */
export function objectGrammar(
  given: Readonly<Record<string, unknown>>,
  path: string,
  inner: (part: unknown, name: string) => Grammar,
): Grammar {
  const properties = given["properties"] ?? {};
  const required = given["required"] ?? [];
  if (typeof properties !== "object" || properties === null || Array.isArray(properties))
    throw wrong(path, "has properties that are no object");
  if (!Array.isArray(required) || !required.every((name) => typeof name === "string"))
    throw wrong(path, "has required that is no list of names");
  const others = given["additionalProperties"];
  const names = [...new Set([...Object.keys(properties), ...(required as readonly string[])])];
  if (names.length === 0) {
    if (others === false) return text("{}");
    const key = given["propertyNames"] === undefined ? jsonString() : inner(given["propertyNames"], "propertyNames");
    return sequence(text("{"), list(member(key, inner(others ?? true, "additionalProperties")), COMMA, 0), text("}"));
  }
  if (given["propertyNames"] !== undefined) throw wrong(path, "has propertyNames beside properties; leave them out");

  // From behind: what may stand from the i-th property on, when none and when some stand before it. Rules, since each part
  // is used by two ways to it.
  let none: Grammar = text("");
  let some: Grammar = text("");
  for (const name of names.toReversed()) {
    const listed = Object.hasOwn(properties, name);
    const schema = listed ? (properties as Record<string, unknown>)[name] : (others ?? true);
    const value = inner(schema, listed ? `properties/${name}` : "additionalProperties");
    const one = rule(() => member(text(JSON.stringify(name)), value));
    const first = sequence(one, some);
    const further = sequence(COMMA, one, some);
    const needed = (required as readonly string[]).includes(name);
    const ways = needed ? [first, further] : [choice(first, none), choice(further, some)];
    [none, some] = ways.map((way) => rule(() => way)) as [Grammar, Grammar];
  }
  return sequence(text("{"), none, text("}"));
}
