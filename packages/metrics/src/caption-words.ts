// Words of captions as CIDEr counts them. Written from how Penn Treebank texts are known to be divided and from answers of the
// official tokeniser to made-up captions (tooling/oracles/caption_tokens.py); where it and simple rules differ, rules won.

/** Signs that the official caption evaluation drops (pycocoevalcap, tokenizer/ptbtokenizer.py), brackets aside: see `SPOKEN`. */
const DROPPED = new Set(["''", "'", "``", "`", '"', ".", "?", "!", ",", ":", "-", "--", "...", ";"]);

/** Signs that stay as words under another name; brackets stay, for the official list has them in capitals only. */
const SPOKEN: ReadonlyMap<string, string> = new Map([
  ["(", "-lrb-"],
  [")", "-rrb-"],
  ["[", "-lsb-"],
  ["]", "-rsb-"],
  ["{", "-lcb-"],
  ["}", "-rcb-"],
  ["£", "#"],
  ["€", "$"],
  ["¢", "cents"],
]);

/** Characters that captions have in typographic and in typewriter form. */
const TYPEWRITER: ReadonlyMap<string, string> = new Map([
  ["’", "'"],
  ["‘", "`"],
  ["“", '"'],
  ["”", '"'],
  ["–", "--"],
  ["—", "--"],
  ["…", "..."],
  ["½", "1/2"],
  ["¼", "1/4"],
  ["¾", "3/4"],
]);

/** Always words of their own: brackets, quotes, runs of dots, dashes or exclamations, money, and other signs. */
const SIGN = /("|''|``|\.{3,}|--+|[?!]+|[()[\]{};<>|~^*=•°©®™·]|[$£€¢%])/u;

/** Commas and colons part words, but not digits. */
const BETWEEN_DIGITS = /(?<!\d)([,:])|([,:])(?!\d)/u;

/** Shortenings that keep their full stop: titles, streets, firms, months, days, and what else captions have. */
const SHORTENED = new Set(
  (
    "mr mrs ms dr prof gen lt col sgt capt rev hon gov sen rep pres st ave blvd rd ct sq mt ft jr sr inc co corp ltd bros " +
    "dept univ est ext tel etc vs v jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thurs fri ph.d"
  ).split(" "),
);
const INITIALS = /^(?:\p{L}\.)*\p{L}\.$/u;

/** "do|n't", "it|'s" and the like. */
const CLITIC = /^(.*.)(n't|'(?:s|m|d|re|ve|ll))$/iu;
/** "he'd've" has two; more is noise, which must not cost time. */
const MOST_CLITICS = 4;
/** Words that are two, by the length of the first. */
const JOINED: ReadonlyMap<string, number> = new Map([
  ["cannot", 3],
  ["gonna", 3],
  ["wanna", 3],
  ["gotta", 3],
  ["gimme", 3],
  ["lemme", 3],
  ["'tis", 2],
  ["'twas", 2],
]);
/** Apostrophes at the start that belong to the word. */
const ELIDED = /^'(?:\d\ds?|em|til|n|n')$/iu;

/**
 * The words of a caption, in lower case with spaces between, without punctuation: what `cider` wants. At least 99 of 100
 * varied captions come out as from the official tokeniser (see `test/caption-words.test.ts`); for exact parity with published
 * numbers, tokenise with that.
 */
export function captionWords(text: string): string {
  const plain = text
    .replaceAll(/[’‘“”–—…½¼¾]/gu, (sign) => TYPEWRITER.get(sign)!)
    // Two dots are the end of a sentence after a shortened word, or a slip.
    .replaceAll(/(?<!\.)\.\.(?!\.)/gu, ". ");
  return plain
    .split(/\s+/u)
    .flatMap(chunkWords)
    .filter((word) => word !== "" && !DROPPED.has(word))
    .join(" ")
    .toLowerCase();
}

/** The words between two spaces. */
function chunkWords(chunk: string): string[] {
  return chunk
    .split(SIGN)
    .flatMap((part) => (SIGN.test(part) ? [signName(part)] : part.split(BETWEEN_DIGITS).flatMap(pieceWords)));
}

/** Dots are one ellipsis, dashes one dash; the rest is as it is. */
function signName(sign: string): string {
  if (sign.startsWith(".")) return "...";
  if (sign.startsWith("--")) return "--";
  return SPOKEN.get(sign) ?? sign;
}

function pieceWords(piece: string | undefined): string[] {
  if (piece === undefined || piece === "") return [];
  const [, before = "", inner = "", after = ""] = /^([-/`]*)(.*?)([-/`,:]*)$/u.exec(piece) ?? [];
  if (inner === "") return each(piece);
  const signed = before === "-" && /^\d/.test(inner); // a sign before a number belongs to it
  const words = signed ? [before + inner] : [...each(before), ...withoutStop(inner).flatMap(innerWords)];
  return [...words, ...each(after)];
}

function each(signs: string): string[] {
  return signs.match(/./gu) ?? [];
}

/** A full stop at the end is punctuation unless the word is shortened. */
function withoutStop(word: string): string[] {
  if (!word.endsWith(".") || word === ".") return [word];
  const bare = word.slice(0, -1);
  return SHORTENED.has(bare.toLowerCase()) || INITIALS.test(word) || CLOCK.test(word) ? [word] : [bare];
}

/** "10:30" and "a.m." */
const CLOCK = /^(\d{1,2}:\d\d)([ap](?:m|\.m\.))$/iu;

/** Words of a piece with apostrophes and signs inside. */
function innerWords(inner: string): string[] {
  const time = CLOCK.exec(inner);
  if (time) return [time[1]!, time[2]!];
  const numbered = /^(no\.|#)(\d.*)$/iu.exec(inner);
  if (numbered) return [numbered[1]!, ...innerWords(numbered[2]!)];
  const parts = inner.split(/(?<=.)(?=#)/u);
  if (parts.length > 1) return parts.flatMap(innerWords);
  if (inner.length > 1 && /[&+]/.test(inner) && !FIRM.test(inner)) return inner.split(/([&+])/u).flatMap(pieceWords);
  return withoutApostrophes(inner);
}

/** "AT&T" and "B&O's" are one word, "salt&pepper" is three. */
const FIRM = /^\p{Lu}{1,3}&\p{Lu}{1,3}(?:'[sS])?$/u;

function withoutApostrophes(word: string): string[] {
  const parts = JOINED.get(word.toLowerCase());
  if (parts !== undefined) return [word.slice(0, parts), word.slice(parts)];
  if (ELIDED.test(word)) return [word];
  if (word.startsWith("'") && word.length > 1) return innerWords(word.slice(1));
  if (word.endsWith("'") && word.length > 1) return innerWords(word.slice(0, -1));
  const clitics: string[] = [];
  let [rest, clitic] = [word, CLITIC.exec(word)];
  for (; clitic; clitic = CLITIC.exec(rest)) {
    rest = clitic[1]!;
    clitics.push(clitic[2]!);
    if (clitics.length === MOST_CLITICS) break;
  }
  return [rest, ...clitics.toReversed()];
}
