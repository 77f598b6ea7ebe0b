import type { LoadedModel, Question } from "../model/protocol.ts";
import { TASKS, promptOf, taskOf, type TaskName } from "../tasks.ts";
import { element, make } from "./elements.ts";

/** What the form does. */
export interface FormEvents {
  onAsk(question: Question): void;
  onStop(): void;
}

/** Where tasks are chosen and questions typed. */
export class QuestionForm {
  readonly #form = element("form", HTMLFormElement);
  readonly #text = element("text", HTMLInputElement);
  readonly #go = element("go", HTMLButtonElement);
  readonly #stop = element("stop", HTMLButtonElement);
  /** What was typed for each task. */
  readonly #typed = new Map<TaskName, string>();
  #task: TaskName = "caption";
  #model: LoadedModel | undefined;
  #hasPicture = false;

  constructor(events: FormEvents) {
    for (const { name, title } of TASKS) {
      const input = make("input", { type: "radio", name: "task", value: name, checked: name === this.#task });
      input.addEventListener("change", () => this.choose(name));
      element("tasks", HTMLElement).append(make("label", {}, input, make("span", {}, title)));
    }
    this.#text.addEventListener("input", () => {
      this.#typed.set(this.#task, this.#text.value);
      this.#update();
    });
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!this.#go.disabled && !this.#go.hidden) events.onAsk(this.question());
    });
    this.#stop.addEventListener("click", () => events.onStop());
    this.choose(this.#task);
  }

  question(): Question {
    return { task: this.#task, text: taskOf(this.#task).label === undefined ? "" : this.#text.value.trim() };
  }

  choose(name: TaskName, text?: string): void {
    this.#task = name;
    const { label, placeholder = "", suggestions } = taskOf(name);
    this.#form.querySelector<HTMLInputElement>(`input[value="${name}"]`)!.checked = true;
    element("field", HTMLElement).hidden = label === undefined;
    if (label !== undefined) {
      element("text-label", HTMLElement).textContent = label;
      this.#text.placeholder = placeholder;
      this.#text.value = text ?? this.#typed.get(name) ?? suggestions[0] ?? "";
      this.#typed.set(name, this.#text.value);
    }
    element("suggestions", HTMLElement).replaceChildren(
      ...suggestions.map((suggestion) => this.#suggestion(suggestion)),
    );
    this.#update();
  }

  /** The model that will answer, or none yet. */
  setModel(model: LoadedModel | undefined): void {
    this.#model = model;
    this.#update();
  }

  setPicture(there: boolean): void {
    this.#hasPicture = there;
    this.#update();
  }

  /** Shows that an answer is being written, which can be stopped. */
  setBusy(busy: boolean): void {
    const focused = document.activeElement;
    this.#go.hidden = busy;
    this.#stop.hidden = !busy;
    // Focus stays with whoever pressed the button that went away.
    if (busy && focused === this.#go) this.#stop.focus();
    if (!busy && focused === this.#stop) this.#go.focus();
  }

  #suggestion(text: string): HTMLButtonElement {
    const button = make("button", { type: "button" }, text);
    button.addEventListener("click", () => {
      this.#text.value = text;
      this.#typed.set(this.#task, text);
      this.#update();
      this.#text.focus();
    });
    return button;
  }

  #update(): void {
    const { task, text } = this.question();
    const complete = promptOf(task, text) !== "";
    this.#go.disabled = !this.#hasPicture || !complete;
    this.#go.textContent = this.#hasPicture ? "Ask" : "Choose a picture first";
    const note = this.#note(task);
    const box = element("task-note", HTMLElement);
    box.hidden = note === undefined;
    box.textContent = note ?? "";
  }

  /** What the loaded model cannot do. */
  #note(task: TaskName): string | undefined {
    if (!this.#model) return undefined;
    if (task === "ocr" && this.#model.name === "tiny-shapes")
      return "The built-in model was never taught to read. It answers, and wrongly.";
    if (task === "segment" && !this.#model.masks)
      return "This model came without a mask codec: boxes are drawn, masks are not.";
    return undefined;
  }
}
