import { toPixels } from "@paligemma/parsers";
import type { Answered, Question } from "./model/protocol.ts";
import { drawingPng } from "./picture/drawing.ts";
import { promptOf } from "./tasks.ts";

/** An answer as data, for other programs: boxes in fractions and in pixels. */
export function answerJson(question: Question, answer: Answered, model: string, picture: string): string {
  const { text, found, rest, size, tokens, seconds, stoppedBy } = answer;
  const detections = found?.map(({ label, box }) => ({ label, box, pixels: toPixels(box, size) }));
  const data = {
    model,
    picture,
    ...size,
    prompt: promptOf(question.task, question.text),
    text,
    tokens,
    seconds: Number(seconds.toFixed(3)),
    stoppedBy,
    ...(detections && { detections, rest }),
  };
  return JSON.stringify(data, undefined, 2);
}

/** Puts the answer's data on the clipboard. */
export async function copyText(text: string): Promise<void> {
  await navigator.clipboard.writeText(text);
}

/** Puts the picture with the drawing on the clipboard. */
export async function copyPicture(picture: Blob, answer: Answered): Promise<void> {
  await navigator.clipboard.write([new ClipboardItem({ "image/png": drawingPng(picture, answer.found ?? []) })]);
}

/** Saves the picture with the drawing as a file. */
export async function savePicture(picture: Blob, answer: Answered): Promise<void> {
  const address = URL.createObjectURL(await drawingPng(picture, answer.found ?? []));
  const link = document.createElement("a");
  link.href = address;
  link.download = "paligemma.png";
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
