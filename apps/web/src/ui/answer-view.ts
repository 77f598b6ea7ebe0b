import { PALETTE } from "@paligemma/drawing";
import type { Answered, Found, Question } from "../model/protocol.ts";
import { taskOf } from "../tasks.ts";
import { element, make } from "./elements.ts";
import { say } from "./speak.ts";

/** What the answer's objects do when they are pointed at. */
export interface AnswerEvents {
  /** Brings one object forward, or none. */
  onLight(index: number | undefined): void;
}

/** The answer: its words while they come, the objects in it, and what it cost. */
export class AnswerView {
  readonly #box = element("answer", HTMLElement);
  readonly #text = element("answer-text", HTMLElement);
  readonly #found = element("found", HTMLElement);
  readonly #facts = element("answer-facts", HTMLElement);
  readonly #actions = element("actions", HTMLElement);
  readonly #events: AnswerEvents;

  constructor(events: AnswerEvents) {
    this.#events = events;
    // The list is made anew while objects come in, so it is listened to as a whole.
    for (const [type, on] of [
      ["pointerover", true],
      ["focusin", true],
      ["pointerleave", false],
      ["focusout", false],
    ] as const) {
      this.#found.addEventListener(type, ({ target }) => {
        const index = (target as Element).closest("li")?.dataset["index"];
        this.#events.onLight(on && index !== undefined ? Number(index) : undefined);
      });
    }
  }

  hide(): void {
    this.#box.hidden = true;
  }

  /** An empty answer that is about to be written. */
  begin(question: Question): void {
    this.#box.hidden = false;
    this.#writing(true);
    element("answer-question", HTMLElement).textContent = titleOf(question);
    this.#text.textContent = "";
    this.#facts.textContent = "";
    this.#found.replaceChildren();
    this.#actions.hidden = true;
  }

  write(text: string): void {
    this.#text.textContent = text;
  }

  list(found: readonly Found[]): void {
    this.#found.replaceChildren(...rowsOf(found));
  }

  /** The whole answer. */
  finish(answer: Answered, told: boolean): void {
    this.#writing(false);
    this.#text.textContent = wordsOf(answer);
    if (answer.found) this.list(answer.found);
    this.#facts.textContent = factsOf(answer);
    this.#actions.hidden = false;
    if (told)
      say(`${wordsOf(answer)} ${(answer.found ?? []).map(({ label, box }) => `${label}, ${whereOf(box)}.`).join(" ")}`);
  }

  /** No answer came. */
  fail(): void {
    this.#writing(false);
    if (this.#text.textContent === "") this.hide();
  }

  #writing(on: boolean): void {
    this.#box.ariaBusy = String(on);
  }
}

/** A question in words: "Detect: star". */
export function titleOf({ task, text }: Question): string {
  const { title, label } = taskOf(task);
  return label === undefined || text === "" ? title : `${title}: ${text}`;
}

/** An answer in words; objects are counted. */
export function wordsOf({ text, found, rest, stoppedBy }: Answered): string {
  const words =
    found === undefined
      ? text || "No answer."
      : `${count(found.length)}${rest === "" ? "" : ` The rest of the answer: ${rest}`}`;
  return stoppedBy === "you" ? `${words} (stopped)` : words;
}

function count(objects: number): string {
  return objects === 0 ? "Nothing found." : objects === 1 ? "One object found." : `${objects} objects found.`;
}

function factsOf({ tokens, seconds, first, stoppedBy }: Answered): string {
  const rest = seconds - first;
  const parts = [`${seconds.toFixed(1)} s`, `first word after ${first.toFixed(1)} s`, `${tokens} tokens`];
  if (tokens > 2 && rest > 0) parts.push(`${((tokens - 1) / rest).toFixed(1)} per second`);
  if (stoppedBy === "length") parts.push("ended at its longest");
  return parts.join(" · ");
}

function rowsOf(found: readonly Found[]): HTMLElement[] {
  const labels = [...new Set(found.map(({ label }) => label))];
  return found.map(({ label, box, mask }, index) => {
    const swatch = make("canvas", { width: 44, height: 44 });
    swatch.setAttribute("aria-hidden", "true");
    const context = swatch.getContext("2d")!;
    context.fillStyle = PALETTE[labels.indexOf(label) % PALETTE.length]!;
    context.fillRect(0, 0, 44, 44);
    const button = make(
      "button",
      { type: "button" },
      swatch,
      make("b", {}, label || "unnamed"),
      make("small", {}, `${whereOf(box)}${mask ? ", with mask" : ""}`),
    );
    const row = make("li", {}, button);
    row.dataset["index"] = String(index);
    return row;
  });
}

/** Where a box lies, in words: "top left", "centre". */
export function whereOf({ yMin, xMin, yMax, xMax }: Found["box"]): string {
  const [y, x] = [(yMin + yMax) / 2, (xMin + xMax) / 2];
  const vertical = y < 0.36 ? "top" : y > 0.64 ? "bottom" : "";
  const horizontal = x < 0.36 ? "left" : x > 0.64 ? "right" : "";
  return [vertical, horizontal].filter((word) => word !== "").join(" ") || "centre";
}
