import { parseDetectionIds, parseDetections, type ParsedDetections } from "@paligemma/parsers";
import { expect, it } from "vitest";
import { createRandom, uncovered } from "./random.ts";

// A million, in minutes: FUZZ=1000000 npx vitest run packages/parsers/test/accounting.test.ts
const COUNT = Number(process.env["FUZZ"] ?? 5000);

const FRAGMENTS = [
  "<loc0000>", "<loc1023>", "<loc0512>", "<loc1024>", "<loc12>", "<loc", "<seg000>", "<seg127>", "<seg128>", "<seg", ">", "<",
  "<loc0001><loc0002><loc0003><loc0004>", "<seg005>".repeat(16), "<seg006>".repeat(15), ";", " ; ", "\n", "\r\n", " ", "\t", "cat", "the dog",
  "é", "猫", "👩‍🚀", "\ud800", "\udfff", "\u0000", "\u2028", "\ufeff", "<eos>", "<pad>", "<bos>", "'", "\\", "$", "(",
]; // prettier-ignore

/** Positions that lie in no span of an item or of the rest. */
function lost(parsed: ParsedDetections, length: number): number {
  return uncovered([...parsed.items.map((item) => item.span), ...parsed.restSpans], length);
}

const decode = (ids: number[]): string => ids.map((id) => FRAGMENTS[Math.abs(id) % FRAGMENTS.length] ?? "").join("");

function faults(text: string, parsed: ParsedDetections): string[] {
  return [
    ...(lost(parsed, text.length) > 0 ? ["lost characters"] : []),
    ...(parsed.items.some(({ span, label }) => !text.slice(span.start, span.end).includes(label))
      ? ["label outside its span"]
      : []),
    ...(parsed.restSpans.some(({ start, end }) => !parsed.rest.includes(text.slice(start, end).trim()))
      ? ["rest lacks its spans"]
      : []),
  ].map((fault) => `${fault}: ${JSON.stringify(text)}`);
}

it(`loses no character of ${COUNT} random texts`, () => {
  const random = createRandom(1);
  const found: string[] = [];
  for (let n = 0; n < COUNT; n++) {
    const text = Array.from({ length: random.below(14) }, () => random.pick(FRAGMENTS)).join("");
    found.push(
      ...faults(text, parseDetections(text, undefined, { labelSide: random.pick(["auto", "before", "after"]) })),
    );
  }
  expect(found).toEqual([]);
});

it(`loses no id of ${COUNT} random lists`, () => {
  const random = createRandom(2);
  const found: string[] = [];
  const id = (): number => {
    const kind = random.below(10);
    if (kind < 5) return 256_000 + random.below(1024);
    if (kind < 6) return 257_024 + random.below(128);
    return random.pick([
      0,
      1,
      2,
      7,
      108,
      2161,
      235_248,
      257_152,
      300_000,
      -1,
      1.5,
      Number.NaN,
      2 ** 40,
      random.below(256_000),
    ]);
  };
  for (let n = 0; n < COUNT; n++) {
    const mask = Array.from({ length: 16 }, () => 257_024 + random.below(128));
    const ids = Array.from({ length: random.below(24) }, () => (random.below(12) === 0 ? mask : [id()])).flat();
    const parsed = parseDetectionIds(ids, undefined, random.next() < 0.5 ? { decode } : {});
    if (lost(parsed, ids.length) > 0) found.push(JSON.stringify(ids));
  }
  expect(found).toEqual([]);
});
