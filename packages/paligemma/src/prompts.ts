import { PaliGemmaError } from "@paligemma/core";

/** Prompts as the release documents them (ai.google.dev, "PaliGemma prompt and system instructions"). */
export const prompts = {
  /** A caption like those of COCO, in a language by its code. */
  caption: (language: string): string => `caption ${checked("language", language)}`,
  /** A question; PaliGemma answers in the language of the code where it was taught to. */
  answer: (question: string, language: string): string =>
    `answer ${checked("language", language)} ${nonEmpty("question", question)}`,
  /** All text in the picture, line by line. */
  ocr: (): string => "ocr",
  /** Boxes of everything that one of the labels names. */
  detect: (labels: readonly string[]): string => `detect ${joined(labels)}`,
  /** Boxes and masks of everything that one of the labels names. */
  segment: (labels: readonly string[]): string => `segment ${joined(labels)}`,
} as const;

function checked(what: string, code: string): string {
  if (!/^[a-z]{2,3}(-[A-Za-z]+)?$/.test(code)) {
    throw new PaliGemmaError(
      "paligemma/prompt",
      `${what} is ${JSON.stringify(code)}, which is no language code; write it like "en" or "de"`,
    );
  }
  return code;
}

function nonEmpty(what: string, text: string): string {
  if (text.trim() === "") throw new PaliGemmaError("paligemma/prompt", `the ${what} is empty`);
  return text;
}

function joined(labels: readonly string[]): string {
  if (labels.length === 0) throw new PaliGemmaError("paligemma/prompt", "no label was given; say what to look for");
  for (const label of labels) {
    if (label.trim() === "" || /[;<>\n]/.test(label)) {
      throw new PaliGemmaError(
        "paligemma/prompt",
        `the label ${JSON.stringify(label)} is empty or holds one of ; < > or a line break, which separate labels in a prompt`,
      );
    }
  }
  return labels.map((label) => label.trim()).join(" ; ");
}
