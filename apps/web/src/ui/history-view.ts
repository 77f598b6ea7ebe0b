import type { HistoryStore, Remembered } from "../history-store.ts";
import { titleOf, wordsOf } from "./answer-view.ts";
import { element, make } from "./elements.ts";
import { say } from "./speak.ts";

/** Earlier answers as a list; choosing one brings its picture and answer back. */
export class HistoryView {
  readonly #store: HistoryStore;
  readonly #onChoose: (entry: Remembered) => void;
  #addresses: string[] = [];

  constructor(store: HistoryStore, onChoose: (entry: Remembered) => void) {
    this.#store = store;
    this.#onChoose = onChoose;
    element("history-clear", HTMLButtonElement).addEventListener("click", () => {
      void store
        .clear()
        .then(() => this.refresh())
        .then(() => say("Earlier answers were forgotten."));
    });
  }

  async refresh(): Promise<void> {
    const entries = await this.#store.all();
    this.#addresses.forEach((address) => URL.revokeObjectURL(address));
    this.#addresses = [];
    element("history", HTMLElement).hidden = entries.length === 0;
    element("history-list", HTMLElement).replaceChildren(
      ...entries.map((entry) => make("li", {}, this.#button(entry))),
    );
  }

  #button(entry: Remembered): HTMLButtonElement {
    const address = URL.createObjectURL(entry.picture);
    this.#addresses.push(address);
    const picture = make("img", { src: address, alt: "", width: 72, height: 56, loading: "lazy" });
    const words = make("span", {}, make("small", {}, titleOf(entry.question)), make("span", {}, wordsOf(entry.answer)));
    const button = make("button", { type: "button" }, picture, words);
    button.addEventListener("click", () => this.#onChoose(entry));
    return button;
  }
}
