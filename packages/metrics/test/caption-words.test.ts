import { readFileSync } from "node:fs";
import { captionWords } from "@paligemma/metrics";
import { describe, expect, it } from "vitest";
import { TOLERANCES } from "../../../tooling/tolerances.ts";

const { captions } = JSON.parse(readFileSync(new URL("fixtures/caption-tokens.json", import.meta.url), "utf8")) as {
  captions: [string, string][];
};

describe("captionWords", () => {
  it("equals the official tokeniser on captions that it was not written for", () => {
    const same = captions.filter(([caption, words]) => captionWords(caption) === words).length;
    expect(captions).toHaveLength(3000);
    expect(same / captions.length).toBeGreaterThanOrEqual(TOLERANCES["metrics/caption words"]);
  });

  it.each([
    ["A man's dog doesn't run.", "a man 's dog does n't run"],
    ['Two cats, a dog; and 1,000 "birds"!', "two cats a dog and 1,000 birds"],
    ["It’s 50% off -- only $4.99 (today)...", "it 's 50 % off only $ 4.99 -lrb- today -rrb-"],
    ["The U.S. flag on Main St. at 5:30pm", "the u.s. flag on main st. at 5:30 pm"],
    ["cannot see AT&T and/or a well-known t-shirt", "can not see at&t and/or a well-known t-shirt"],
    ["the dogs' bowl, the '90s, rock 'n' roll", "the dogs bowl the '90s rock 'n' roll"],
    ["  ", ""],
    ["", ""],
  ])("divides %j", (caption, words) => {
    expect(captionWords(caption)).toBe(words);
  });

  it("is total, quick on long runs of signs, and gives the same for its own words where they are plain", () => {
    const signs = [
      "'",
      "`",
      ".",
      ",",
      ":",
      "-",
      "&",
      "+",
      "#",
      "(",
      "a",
      "1",
      " ",
      "!",
      "\u0301",
      "\ud800",
      "'s",
      "n't",
      "no.1",
    ];
    for (const sign of signs) expect(typeof captionWords(sign.repeat(20_000))).toBe("string");
    for (const [caption] of captions.slice(0, 200)) {
      const words = captionWords(caption);
      if (/^[a-z ]*$/.test(words)) expect(captionWords(words)).toBe(words);
    }
  });
});
