import { isValidBox, parseDetections } from "@paligemma/parsers";
import { checkLabel } from "./check-objects.ts";
import { shown, type Problem } from "./problems.ts";

/** A prompt that asks for objects: `detect a ; b`. */
export interface ObjectPrompt {
  readonly verb: "detect" | "segment";
  readonly classes: readonly string[];
}

/** The task and classes of a prompt; undefined where it does not ask for objects. */
export function parseObjectPrompt(prompt: string): ObjectPrompt | undefined {
  const match = /^(detect|segment) +(\S[^]*)$/.exec(prompt.replaceAll("<image>", ""));
  if (match === null) return undefined;
  return { verb: match[1] as ObjectPrompt["verb"], classes: match[2]!.split(";").map((name) => name.trim()) };
}

/** What is wrong with a prompt and its answer; `classes` are those of the whole dataset, where it has some. */
export function checkTexts(prompt: string, answer: string, classes?: readonly string[]): Problem[] {
  const problems = [...checkCharacters("prompt", prompt), ...checkCharacters("answer", answer)];
  if (/\n\s*$/.test(prompt)) {
    problems.push({
      code: "text/newline",
      message: "the prompt ends in a line break; the processor adds the one that belongs there",
    });
  }
  const objects = parseObjectPrompt(prompt);
  if (objects) problems.push(...checkAnswer(objects, answer, classes));
  else if (answer.trim() === "")
    problems.push({ code: "answer/empty", message: "the answer is empty; only detect and segment may find nothing" });
  return problems;
}

function checkCharacters(name: string, text: string): Problem[] {
  const problems: Problem[] = [];
  const special = name === "prompt" ? /<(bos|eos|pad|unk|mask)>|<image>[^]*<image>/ : /<(bos|eos|pad|unk|mask|image)>/;
  const token = special.exec(text);
  if (token)
    problems.push({
      code: "text/special-token",
      message: `the ${name} holds ${shown(token[0])}, which the processor itself sets`,
    });
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  const control = /[\u0000-\u0008\u000B-\u001F\u007F\uFFFD]|\p{Surrogate}/u.exec(text);
  if (control)
    problems.push({
      code: "text/control-character",
      message: `the ${name} holds the character U+${control[0].codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}; was it read in the wrong encoding?`,
    });
  return problems;
}

function checkAnswer({ verb, classes }: ObjectPrompt, answer: string, known: readonly string[] | undefined): Problem[] {
  const problems: Problem[] = [];
  const allowed = new Set(classes);
  for (const name of classes) {
    const wrong = checkLabel(name, known && new Set(known));
    if (wrong) problems.push({ ...wrong, message: `in the prompt, ${wrong.message}` });
  }
  const numbers = checkNumbers(answer);
  const { items, rest } = parseDetections(answer);
  // With markup that is none, objects cannot be told from text.
  if (numbers.length > 0) return [...problems, ...numbers];
  if (/<loc/.test(rest))
    problems.push({ code: "loc/incomplete", message: `the boxes in ${shown(rest)} have not 4 <loc> each` });
  else if (/<seg/.test(rest))
    problems.push({ code: "seg/incomplete", message: `the masks in ${shown(rest)} have not 16 <seg> each` });
  else if (rest !== "")
    problems.push({
      code: "answer/outside-objects",
      message: `${shown(rest)} belongs to no object; is a label or a separator wrong?`,
    });
  const seen = new Set<string>();
  for (const { box, label, codes } of items) {
    if (!isValidBox(box)) {
      const inverted = box.yMax < box.yMin || box.xMax < box.xMin;
      problems.push(
        inverted
          ? {
              code: "box/inverted",
              message: `the box of ${shown(label)} ends before it begins; the order is y, x, y, x`,
            }
          : { code: "box/empty", message: `the box of ${shown(label)} has no inside` },
      );
    }
    // Checkpoints for one phrase leave the label out (RefCOCO).
    const wrong = label === "" && classes.length === 1 ? undefined : checkLabel(label, allowed);
    if (wrong) problems.push(wrong);
    if (verb === "segment" && codes === undefined && !/<seg/.test(answer))
      problems.push({ code: "seg/missing", message: `${shown(label)} has no mask, the prompt asks to segment` });
    if (verb === "detect" && codes !== undefined)
      problems.push({ code: "seg/unexpected", message: `${shown(label)} has a mask, the prompt asks to detect only` });
    const key = JSON.stringify([label, box, codes]);
    if (seen.has(key))
      problems.push({ code: "object/duplicate", message: `${shown(label)} stands there twice with the same box` });
    seen.add(key);
  }
  return problems;
}

/** Markup with the wrong number of digits, or numbers that no token has. */
function checkNumbers(answer: string): Problem[] {
  const problems: Problem[] = [];
  for (const [token, kind, digits] of answer.matchAll(/<(loc|seg)([^>]{0,12})>?/g)) {
    const [length, most] = kind === "loc" ? [4, 1023] : [3, 127];
    const right = token.endsWith(">") && /^\d+$/.test(digits!) && digits!.length === length && Number(digits) <= most;
    if (!right)
      problems.push({
        code: kind === "loc" ? "loc/number" : "seg/number",
        message: `${shown(token)} is no token; ${kind} has ${length} digits, up to ${most}`,
      });
  }
  return problems.slice(0, 1);
}
