import { PaliGemmaError } from "./errors.ts";
import { splitWords, strip } from "./python-text.ts";

// The official evaluation of VQAv2 and TextVQA, https://visualqa.org/evaluation.html, in the form in which PaliGemma's
// authors run it: https://github.com/google-research/big_vision evaluators/proj/paligemma/transfers/vqav2.py.

/**
 * Accuracy of a prediction against the answers of several people (usually ten), 0 to 1: for each person left out, a third
 * per other person who said the same, at most 1; the mean of these. Texts are normalised only where people disagree.
 * Throws `metrics/answers` for no answers.
 */
export function vqaAccuracy(prediction: string, answers: readonly string[]): number {
  if (answers.length === 0)
    throw new PaliGemmaError("metrics/answers", "no answers to compare with; VQA has ten for each question");
  const texts = answers.map(flatten);
  const agree = texts.every((text) => text === texts[0]);
  const normalise = agree ? (text: string): string => text : normaliseVqaAnswer;
  const said = normalise(flatten(prediction));
  const matches = texts.map((text) => normalise(text) === said);
  const total = matches.filter(Boolean).length;
  const shares = matches.map((match) => Math.min(1, (total - (match ? 1 : 0)) / 3));
  return shares.reduce((a, b) => a + b, 0) / shares.length;
}

/**
 * The form in which VQA compares answers: punctuation removed, lower case, no articles, contractions with their
 * apostrophes, number words to ten as digits. With the official code's quirks: a comma between digits anywhere in the
 * text removes all punctuation instead of turning it into spaces.
 */
export function normaliseVqaAnswer(text: string): string {
  const commaInNumber = /\p{Nd},\p{Nd}/u.test(text);
  let bare = text;
  for (const mark of PUNCTUATION) {
    const besideSpace = text.includes(`${mark} `) || text.includes(` ${mark}`);
    bare = bare.replaceAll(mark, commaInNumber || besideSpace ? "" : " ");
  }
  const words = splitWords(bare.replaceAll(/\.(?!\p{Nd})/gu, "").toLowerCase());
  return words
    .filter((word) => !ARTICLES.has(word))
    .map((word) => REPLACEMENTS.get(word) ?? word)
    .join(" ");
}

function flatten(text: string): string {
  return strip(text.replaceAll(/[\n\t]/g, " "));
}

const PUNCTUATION = Array.from(';/[]"{}()=+\\_-><@`,?!');
const ARTICLES = new Set(["a", "an", "the"]);
const NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];

// What the official table maps to. Its keys are these words with one apostrophe left out, wherever that is; the four with
// a capital I can never meet a lower-case word and are left out here.
const CONTRACTIONS =
  `ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd
  he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't not've
  o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd
  someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've there're there's they'd
  they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's what've when's where'd where's
  where've who'd who'd've who'll who's who've why'll why're why's won't would've wouldn't wouldn't've y'all y'all'll
  y'all'd've you'd you'd've you'll you're you've`.split(/\s+/);

const REPLACEMENTS: ReadonlyMap<string, string> = new Map([
  ...CONTRACTIONS.flatMap((word) =>
    apostrophesOf(word).map((at): [string, string] => [word.slice(0, at) + word.slice(at + 1), word]),
  ),
  // A slip of the official table, the wrong way round.
  ["somebody'd", "somebodyd"],
  ["none", "0"],
  ...NUMBERS.map((word, number): [string, string] => [word, String(number)]),
]);

function apostrophesOf(word: string): number[] {
  return Array.from(word).flatMap((letter, i) => (letter === "'" ? [i] : []));
}
