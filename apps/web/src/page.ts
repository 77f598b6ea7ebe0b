import { PaliGemmaError, isPaliGemmaError } from "@paligemma/core";
import { HistoryStore, type Remembered } from "./history-store.ts";
import { ModelClient } from "./model/client.ts";
import type { Answered, LoadedModel, Question } from "./model/protocol.ts";
import { setUpOffline } from "./offline.ts";
import { setUpIntake, type Incoming } from "./picture/intake.ts";
import { PictureView } from "./picture/view.ts";
import { answerJson, copyPicture, copyText, savePicture } from "./share.ts";
import { AnswerView, wordsOf } from "./ui/answer-view.ts";
import { element } from "./ui/elements.ts";
import { HistoryView } from "./ui/history-view.ts";
import { LoadingView } from "./ui/loading-view.ts";
import { ModelDialog, type Chosen } from "./ui/model-dialog.ts";
import { hideNotice, showNotice, type Remedy } from "./ui/notice.ts";
import { QuestionForm } from "./ui/question-form.ts";
import { say } from "./ui/speak.ts";

/** A question that was answered, and what about. */
interface Asked {
  readonly question: Question;
  readonly answer: Answered;
  readonly picture: Incoming;
  readonly model: string;
}

const FIRST: Chosen = { choice: { kind: "tiny-shapes" }, machine: { device: "webgpu", precision: "float32" } };

/** The page: what belongs to what. */
export class Page {
  readonly #offline = setUpOffline(() => {
    element("foot-offline", HTMLElement).textContent =
      "Pictures and answers stay in this browser. The page works without a network now.";
  });
  readonly #client = new ModelClient((assets) => this.#offline.keep([...assets, ...ownAssets()]));
  readonly #view = new PictureView();
  readonly #loading = new LoadingView();
  readonly #answer = new AnswerView({ onLight: (index) => this.#view.light(index) });
  readonly #form = new QuestionForm({
    onAsk: (question) => void this.#ask(question),
    onStop: () => this.#stop?.abort(),
  });
  readonly #dialog = new ModelDialog(
    (chosen) => void this.#load(chosen),
    () => this.#client.forget(),
  );
  readonly #store = new HistoryStore();
  readonly #history = new HistoryView(this.#store, (entry) => void this.#bringBack(entry));
  #chosen = FIRST;
  #model: LoadedModel | undefined;
  /** The load that runs, or the last one. */
  #ready: Promise<boolean> = Promise.resolve(false);
  #stop: AbortController | undefined;
  #last: Asked | undefined;

  /** Fills the page and loads the embedded model, so that it is there when it is asked. */
  start(): void {
    setUpIntake(
      (picture) => void this.#show(picture),
      (why) => showNotice(why),
    );
    this.#setUpActions();
    void this.#history.refresh();
    void this.#load(FIRST);
  }

  /** Shows a picture; false where it cannot be read, or another one came meanwhile. */
  async #show(picture: Incoming): Promise<boolean> {
    try {
      if (!(await this.#view.show(picture))) return false;
    } catch {
      showNotice(`${picture.name} is a picture that this browser cannot read. JPEG, PNG and WebP always work.`);
      return false;
    }
    // What is still being written is about the picture before.
    this.#stop?.abort();
    hideNotice();
    this.#last = undefined;
    this.#answer.hide();
    this.#form.setPicture(true);
    say(`${picture.name} is shown. Choose what to do and press Ask.`);
    return true;
  }

  #load(chosen: Chosen): Promise<boolean> {
    this.#stop?.abort();
    this.#chosen = chosen;
    this.#ready = this.#doLoad(chosen);
    return this.#ready;
  }

  async #doLoad(chosen: Chosen): Promise<boolean> {
    hideNotice();
    this.#setModel(undefined, "busy", "Getting ready");
    try {
      const model = await this.#client.load(chosen.choice, chosen.machine, {
        onProgress: (progress) => this.#loading.show(progress),
      });
      if (chosen !== this.#chosen) return false;
      this.#setModel(model, "ready", `${model.name} · ${deviceName(chosen, model)}`);
      this.#dialog.show(chosen);
      say(`${model.name} is ready.`);
      return true;
    } catch (error) {
      if (chosen !== this.#chosen) return false;
      this.#setModel(undefined, "failed", "No model");
      this.#explain(error);
      return false;
    } finally {
      if (chosen === this.#chosen) this.#loading.hide();
    }
  }

  #setModel(model: LoadedModel | undefined, state: string, label: string): void {
    this.#model = model;
    this.#form.setModel(model);
    element("model-dot", HTMLElement).dataset["state"] = state;
    element("model-label", HTMLElement).textContent = label;
    element("model-button", HTMLButtonElement).title = model
      ? `${model.backend}; loaded in ${model.seconds.toFixed(1)} s`
      : label;
  }

  async #ask(question: Question): Promise<void> {
    const { picture } = this.#view;
    if (!picture) return;
    const current = (): boolean => this.#view.picture === picture;
    hideNotice();
    const stop = new AbortController();
    this.#stop = stop;
    this.#form.setBusy(true);
    this.#view.draw([]);
    this.#answer.begin(question);
    try {
      // Whoever asks while the model is on its way is answered when it is there.
      if (!(await this.#ready) || stop.signal.aborted || !this.#model)
        return current() ? this.#answer.fail() : undefined;
      const model = this.#model.name;
      const answer = await this.#client.ask(question, picture.blob, this.#hearing(picture), stop.signal);
      if (!current()) return;
      this.#showAnswer({ question, answer, picture, model }, true);
      if (answer.stoppedBy !== "you") await this.#remember();
    } catch (error) {
      if (current()) this.#answer.fail();
      this.#explain(error);
    } finally {
      if (this.#stop === stop) this.#form.setBusy(false);
    }
  }

  #hearing(picture: Incoming): Parameters<ModelClient["ask"]>[2] {
    const still = (act: () => void): void => {
      if (this.#view.picture === picture) act();
    };
    return {
      onText: (text) => still(() => this.#answer.write(text)),
      onFound: (found) =>
        still(() => {
          this.#answer.list(found);
          this.#view.draw(found);
        }),
    };
  }

  #showAnswer(last: Asked, told: boolean): void {
    this.#last = last;
    const { question, answer } = last;
    this.#answer.finish(answer, told);
    this.#view.draw(answer.found ?? []);
    if (question.task === "caption" && answer.text !== "") this.#view.describe(`Your picture: ${answer.text}`);
  }

  async #remember(): Promise<void> {
    const { question, answer, picture, model } = this.#last!;
    await this.#store.add({
      question,
      answer,
      model,
      picture: picture.blob,
      pictureName: picture.name,
      time: Date.now(),
    });
    await this.#history.refresh();
  }

  async #bringBack({ question, answer, picture, pictureName, model }: Remembered): Promise<void> {
    const incoming = { blob: picture, name: pictureName };
    if (!(await this.#show(incoming))) return;
    this.#form.choose(question.task, question.text);
    this.#answer.begin(question);
    this.#showAnswer({ question, answer, picture: incoming, model }, false);
    say(`Earlier answer: ${wordsOf(answer)}`);
    element("stage-title", HTMLElement).scrollIntoView({ block: "nearest" });
  }

  #setUpActions(): void {
    const on = (id: string, title: string, act: (last: Asked) => Promise<void>): void => {
      const button = element(id, HTMLButtonElement);
      button.addEventListener("click", () => {
        const last = this.#last;
        if (!last) return;
        act(last).then(
          () => {
            say(title);
            button.textContent = title;
            setTimeout(() => (button.textContent = button.dataset["title"]!), 1600);
          },
          (error: unknown) =>
            showNotice(`That did not work: ${error instanceof Error ? error.message : String(error)}`),
        );
      });
      button.dataset["title"] = button.textContent;
    };
    on("copy-json", "Copied", ({ question, answer, model, picture }) =>
      copyText(answerJson(question, answer, model, picture.name)),
    );
    on("copy-png", "Copied", ({ answer, picture }) => copyPicture(picture.blob, answer));
    on("save-png", "Saved", ({ answer, picture }) => savePicture(picture.blob, answer));
  }

  /** Says what went wrong, with what helps. */
  #explain(error: unknown): void {
    const failure = isPaliGemmaError(error) ? error : new PaliGemmaError("web/fault", String(error), { cause: error });
    if (failure.code === "web/cancelled") return;
    const text = failure.message.slice(failure.code.length + 2);
    const again: Remedy = { title: "Load again", act: () => void this.#load(this.#chosen) };
    const onProcessor: Remedy = {
      title: "Run on the processor",
      act: () => void this.#load({ ...this.#chosen, machine: { device: "wasm", precision: "float32" } }),
    };
    const other: Remedy = { title: "Choose a model", act: () => void this.#dialog.open() };
    if (failure.code === "backend/device-lost") {
      this.#client.restart();
      this.#setModel(undefined, "failed", "No model");
      this.#ready = Promise.resolve(false);
    }
    const machine = this.#chosen.machine.device === "webgpu" ? [onProcessor] : [];
    const remedies: Record<string, readonly Remedy[]> = {
      "backend/unavailable": machine,
      "backend/self-check": machine,
      "paligemma/self-check": machine,
      "backend/device-lost": [again, ...machine],
      "backend/memory": [other],
      "web/worker": [again],
      "web/model": [again],
      "hub/network": [again, other],
    };
    showNotice(sentence(text), remedies[failure.code] ?? (this.#model ? [] : [other]));
  }
}

function deviceName({ machine }: Chosen, { software }: LoadedModel): string {
  if (machine.device === "wasm") return "processor";
  return software ? "software GPU" : machine.precision === "float16" ? "GPU, half" : "GPU";
}

/** What the page itself loaded from its own server. */
function ownAssets(): string[] {
  return performance
    .getEntriesByType("resource")
    .map(({ name }) => name)
    .filter((name) => name.startsWith(location.origin));
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
