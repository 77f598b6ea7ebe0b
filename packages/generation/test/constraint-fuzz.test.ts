import { env } from "node:process";
import { createRandom, generate, type GenerateOptions } from "@paligemma/generation";
import * as c from "@paligemma/generation/constraints";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { createPick, sourceOf } from "./sources.ts";
import { decode, encode, EOS, LOC0, PIECES, SEG0, TEXT_PIECES, vocabulary } from "./vocabularies.ts";

// Random sources under each constraint. FUZZ=100000 is the full count.
const COUNT = Number(env["FUZZ"] ?? 160);

const any = vocabulary();
const canonical = vocabulary({ encode });
// Without locations a step is cheaper.
const words = vocabulary({}, TEXT_PIECES);
const canonicalWords = vocabulary({ encode }, TEXT_PIECES);
const WORDS = ["cat", "red circle", "日本", "dog s"];

const box = String.raw`((?:<\d+>){4})`;
const objectsOf = (text: string, masks: number): { box: number[]; label: string }[] | undefined => {
  if (text === "") return [];
  const pattern = new RegExp(
    `^${box}${masks ? String.raw`(?:\[\d+\]){${masks}}` : ""} ([^;<>\n\r\\s](?:[^;<>\n\r]*[^;<>\n\r\\s])?)$`,
  );
  const found = text.split(" ; ").map((part) => pattern.exec(part));
  if (found.some((one) => one === null)) return undefined;
  return found.map((one) => ({ box: one![1]!.match(/\d+/g)!.map(Number), label: one![2]! }));
};
const goodBoxes = (objects: { box: number[]; label: string }[] | undefined, most: number): boolean =>
  objects !== undefined &&
  objects.length <= most &&
  new Set(objects.map((one) => one.box.join())).size === objects.length &&
  objects.every(({ box: [y0, x0, y1, x1] }) => y1! > y0! && x1! > x0!);

const person = z.object({
  name: z.string().max(6),
  age: z.int().min(0).max(130).optional(),
  score: z.number().min(0).max(1),
  tags: z.array(z.enum(["a", 'b"c'])).max(3),
  when: z.iso.date().nullable(),
  kind: z.union([z.literal("x"), z.literal(3)]),
});
const tree = z.object({
  v: z.boolean(),
  get kids() {
    return z.array(tree).max(2);
  },
});
const isJson = (text: string, type: z.ZodType): boolean => {
  try {
    return type.safeParse(JSON.parse(text)).success;
  } catch {
    return false;
  }
};
const pattern = /^(?:[a-cé日]{1,3}-|x+y?)*\d{2,4}(?:\.5)?$/;

/** Each constraint, and whether a complete answer (locations as <n>, segmentation as [n]) is what it promises. */
const CASES: readonly (readonly [name: string, constraint: c.Constraint, good: (text: string) => boolean])[] = [
  [
    "detections of labels",
    c.detections(any, { labels: WORDS, maxObjects: 3 }),
    (text) => goodBoxes(objectsOf(text, 0), 3) && objectsOf(text, 0)!.every(({ label }) => WORDS.includes(label)),
  ],
  [
    "detections of labels, canonical",
    c.detections(canonical, { labels: ["cat", "red circle"], minObjects: 1 }),
    (text) =>
      text !== "" &&
      goodBoxes(objectsOf(text, 0), 100) &&
      objectsOf(text, 0)!.every(({ label }) => ["cat", "red circle"].includes(label)),
  ],
  ["detections of anything", c.detections(any, { maxObjects: 2 }), (text) => goodBoxes(objectsOf(text, 0), 2)],
  ["segments", c.segments(any, { labels: WORDS }), (text) => goodBoxes(objectsOf(text, 16), 100)],
  ["one of some answers", c.oneOf(words, WORDS), (text) => WORDS.includes(text)],
  ["yes or no", c.yesNo(canonicalWords), (text) => text === "yes" || text === "no"],
  [
    "numbers",
    c.number(words, { minimum: -20, maximum: 300 }),
    (text) => /^-?(0|[1-9]\d*)(\.\d+)?$/.test(text) && Number(text) >= -20 && Number(text) <= 300,
  ],
  ["a pattern", c.regex(words, pattern), (text) => pattern.test(text)],
  ["JSON of a zod type", c.jsonSchema(words, person), (text) => isJson(text, person)],
  ["JSON of a zod type, canonical", c.jsonSchema(canonicalWords, person), (text) => isJson(text, person)],
  ["recursive JSON", c.jsonSchema(words, tree), (text) => isJson(text, tree)],
  ["any JSON", c.jsonSchema(words, true), (text) => isJson(text, z.unknown())],
  [
    "tags",
    c.donut(words, {
      fields: { menu: { items: { fields: { name: "text", kind: { choices: ["hot", "cold"] } }, optional: ["kind"] } } },
    }),
    (text) =>
      /^<s_menu>(<s_name>[^<>]+<\/s_name>(<s_kind>(hot|cold)<\/s_kind>)?(<sep\/>(?=<s_name>)|(?=<\/s_menu>)))+<\/s_menu>$/.test(
        text,
      ),
  ],
];

/** The text of an answer, locations as <n> and segmentation as [n]. */
function textOf(ids: readonly number[]): string {
  const parts: string[] = [];
  let plain: number[] = [];
  const flush = (): void => void (parts.push(decode(plain)), (plain = []));
  for (const id of ids) {
    if (id < LOC0 || id === PIECES.length - 1) plain.push(id);
    else {
      flush();
      parts.push(id < SEG0 ? `<${id - LOC0}>` : `[${id - SEG0}]`);
    }
  }
  flush();
  return parts.join("");
}

const random = createRandom(11);
const NOISE = Float32Array.from({ length: PIECES.length * 64 }, () => 8 * random() - 4);

describe(`${COUNT} random sources`, () => {
  test.each(CASES)("%s", async (name, constraint, good) => {
    const pick = createPick(12);
    const size = /detections|segments/.test(name) ? PIECES.length : TEXT_PIECES.length;
    const shortest = constraint.distance!(constraint.start);
    const reasons = { eos: 0, length: 0 };
    for (let i = 0; i < COUNT; i++) {
      const taste = pick(1 << 20);
      const source = sourceOf(
        [[0]],
        size,
        (ids) =>
          NOISE.subarray((taste * 31 + ids.length * 7919 + ids[ids.length - 1]! * 13) % (NOISE.length - PIECES.length)),
        { many: pick(2) === 1, rollback: pick(2) === 1, some: pick(2) === 1, window: size },
      );
      const maxNewTokens = 1 + pick(pick(3) === 0 ? 12 : 60);
      const ways: readonly GenerateOptions[] = [
        {},
        { doSample: true, seed: i },
        { outputScores: true },
        { promptLookupNumTokens: 3, promptIds: [[0]] },
        { numBeams: 2 },
      ];
      const options: GenerateOptions = {
        maxNewTokens,
        eosTokenId: EOS,
        constraint,
        ...ways[pick(pick(8) === 0 ? 5 : 4)]!,
      };
      const { sequences, stoppedBy } = await generate(source, options);
      const text = (): string => textOf(sequences[0]!.slice(0, -1));
      if (stoppedBy[0] === "eos") {
        reasons.eos++;
        if (!good(text()))
          throw new Error(`"${text()}" is not what was promised (${JSON.stringify({ ...options, constraint: 0 })})`);
      } else if (stoppedBy[0] === "length") {
        reasons.length++;
        if (maxNewTokens >= shortest)
          throw new Error(
            `unfinished after ${maxNewTokens} tokens, though ${shortest} suffice: ${JSON.stringify(sequences[0])}`,
          );
      } else throw new Error(`ended by ${stoppedBy[0]}: ${JSON.stringify(sequences)}`);
    }
    expect(reasons.eos).toBeGreaterThan(0);
  });
});

test("with vocabularies that cannot spell everything, an answer is whole or says that it is not", async () => {
  const pick = createPick(13);
  const letters = ["a", "b", "c"];
  const word = (most: number): string => Array.from({ length: 1 + pick(most) }, () => letters[pick(3)]!).join("");
  const seen = new Map<string, number>();
  for (let i = 0; i < COUNT * 5; i++) {
    const pieces = [null, null, ...new Set(Array.from({ length: 1 + pick(6) }, () => word(3)))];
    const gaps = c.createVocabulary(pieces, { eosTokenId: EOS });
    const answers = Array.from({ length: 1 + pick(3) }, () => word(5));
    const source = sourceOf([[0]], pieces.length, (ids) =>
      pieces.map((_, id) => NOISE[(i * 31 + ids.length * 17 + id * 7) % NOISE.length]!),
    );
    const { sequences, stoppedBy } = await generate(source, {
      maxNewTokens: 7,
      eosTokenId: EOS,
      constraint: c.oneOf(gaps, answers),
    });
    const text = sequences[0]!
      .filter((id) => id !== EOS)
      .map((id) => pieces[id])
      .join("");
    seen.set(stoppedBy[0]!, (seen.get(stoppedBy[0]!) ?? 0) + 1);
    const whole = answers.includes(text) && sequences[0]!.includes(EOS);
    if (whole !== (stoppedBy[0] === "eos")) throw new Error(`"${text}" of ${answers.join()} ended by ${stoppedBy[0]}`);
    if (!answers.some((answer) => answer.startsWith(text)))
      throw new Error(`"${text}" begins none of ${answers.join()}`);
  }
  expect([...seen.keys()].toSorted((a, b) => a.localeCompare(b))).toEqual(["dead-end", "eos"]);
});
