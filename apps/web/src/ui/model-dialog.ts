import { reportMachine, type MachineReport } from "../machine.ts";
import type { Machine, ModelChoice } from "../model/protocol.ts";
import { element, make } from "./elements.ts";

/** What a person chose. */
export interface Chosen {
  readonly choice: ModelChoice;
  readonly machine: Machine;
}

type Folder = Extract<ModelChoice, { kind: "folder" }>;

/** Where models, device and precision are chosen, and where the page says what the machine can't do. */
export class ModelDialog {
  readonly #dialog = element("dialog", HTMLDialogElement);
  readonly #form = element("dialog-form", HTMLFormElement);
  readonly #onChosen: (chosen: Chosen) => void;
  #folder: Folder | undefined;

  constructor(onChosen: (chosen: Chosen) => void, onForget: () => void) {
    this.#onChosen = onChosen;
    element("model-button", HTMLButtonElement).addEventListener("click", () => void this.open());
    element("dialog-close", HTMLButtonElement).addEventListener("click", () => this.#dialog.close());
    element("forget", HTMLButtonElement).addEventListener("click", () => {
      onForget();
      element("forget", HTMLButtonElement).textContent = "Deleted";
    });
    this.#form.addEventListener("change", () => this.#update());
    this.#form.addEventListener("input", () => this.#update());
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#dialog.close();
      this.#onChosen(this.#chosen());
    });
    this.#setUpFolder();
  }

  async open(): Promise<void> {
    element("forget", HTMLButtonElement).textContent = "Delete kept models";
    this.#dialog.showModal();
    await this.refresh();
  }

  /** Looks at the machine again, and says what it finds. */
  async refresh(): Promise<MachineReport> {
    const report = await reportMachine();
    element("gpu-note", HTMLElement).textContent = report.gpuNote;
    element("half-note", HTMLElement).textContent = report.halfNote;
    const facts = report.facts.flatMap(([title, value]) => [make("dt", {}, title), make("dd", {}, value)]);
    element("facts", HTMLElement).replaceChildren(...facts);
    this.#radio("device", "webgpu").disabled = !report.gpu;
    this.#radio("precision", "float16").disabled = !report.half;
    if (!report.gpu) this.#radio("device", "wasm").checked = true;
    this.#update();
    return report;
  }

  /** Sets the fields to what is loaded. */
  show({ choice, machine }: Chosen): void {
    this.#radio("model", choice.kind).checked = true;
    this.#radio("device", machine.device).checked = true;
    this.#radio("precision", machine.precision).checked = true;
    this.#update();
  }

  #setUpFolder(): void {
    const input = element("folder", HTMLInputElement);
    element("folder-choose", HTMLButtonElement).addEventListener("click", () => input.click());
    input.addEventListener("change", () => {
      // The folder's own name comes first in every path.
      const files = [...(input.files ?? [])].map((file) => ({
        path: file.webkitRelativePath.split("/").slice(1).join("/"),
        file,
      }));
      const name = input.files?.[0]?.webkitRelativePath.split("/")[0] ?? "folder";
      this.#folder = { kind: "folder", name, files };
      element("folder-name", HTMLElement).textContent = `${name}: ${files.length} files`;
      this.#update();
    });
  }

  #update(): void {
    const { model, device } = this.#values();
    element("hub-fields", HTMLElement).hidden = model !== "hub";
    element("folder-fields", HTMLElement).hidden = model !== "folder";
    const half = this.#radio("precision", "float16");
    if ((device === "wasm" || half.disabled) && half.checked) this.#radio("precision", "float32").checked = true;
    const complete =
      model === "tiny-shapes" ||
      (model === "hub" ? element("hub-id", HTMLInputElement).value.trim() !== "" : this.#folder !== undefined);
    element("load", HTMLButtonElement).disabled = !complete;
  }

  #values(): {
    readonly model: ModelChoice["kind"];
    readonly device: Machine["device"];
    readonly precision: Machine["precision"];
  } {
    const data = new FormData(this.#form);
    return {
      model: data.get("model") as ModelChoice["kind"],
      device: data.get("device") === "wasm" ? "wasm" : "webgpu",
      precision: data.get("precision") === "float16" ? "float16" : "float32",
    };
  }

  #chosen(): Chosen {
    const { model, device, precision } = this.#values();
    return { choice: this.#choice(model), machine: { device, precision } };
  }

  #choice(model: ModelChoice["kind"]): ModelChoice {
    if (model === "folder" && this.#folder) return this.#folder;
    if (model !== "hub") return { kind: "tiny-shapes" };
    const repository = element("hub-id", HTMLInputElement).value.trim();
    const token = element("hub-token", HTMLInputElement).value.trim();
    return { kind: "hub", repository, ...(token !== "" && { token }) };
  }

  #radio(name: string, value: string): HTMLInputElement {
    return this.#form.querySelector<HTMLInputElement>(`input[name="${name}"][value="${value}"]`)!;
  }
}
