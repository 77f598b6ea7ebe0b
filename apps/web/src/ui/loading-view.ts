import type { Progress } from "@paligemma/core";
import { createPace, formatBytes, formatSeconds, type Pace } from "../pace.ts";
import { element } from "./elements.ts";
import { sayNowAndThen } from "./speak.ts";

/** Shows how far long work is: a bar, bytes, rate and time left. */
export class LoadingView {
  readonly #box = element("loading", HTMLElement);
  readonly #bar = element("bar", HTMLElement);
  readonly #task = element("loading-task", HTMLElement);
  readonly #numbers = element("loading-numbers", HTMLElement);
  #pace: Pace = createPace();
  #current = "";

  show(progress: Progress): void {
    const { task, done, total, unit } = progress;
    if (task !== this.#current) {
      this.#current = task;
      this.#pace = createPace();
    }
    this.#pace.at(done, performance.now() / 1000);
    this.#box.hidden = false;
    const share = total ? done / total : undefined;
    this.#bar.classList.toggle("unknown", share === undefined);
    this.#bar.style.width = share === undefined ? "" : `${(share * 100).toFixed(1)}%`;
    this.#task.textContent = sentence(task);
    const numbers = unit === "bytes" && total ? this.#bytes(done, total) : "";
    this.#numbers.textContent = numbers;
    sayNowAndThen(numbers === "" ? sentence(task) : `${sentence(task)}: ${Math.round((share ?? 0) * 100)} percent`);
  }

  hide(): void {
    this.#box.hidden = true;
    this.#current = "";
  }

  #bytes(done: number, total: number): string {
    const rate = this.#pace.rate();
    const parts = [`${formatBytes(done)} of ${formatBytes(total)}`];
    if (rate !== undefined && rate > 0 && done < total)
      parts.push(`${formatBytes(rate)}/s`, `${formatSeconds((total - done) / rate)} left`);
    return parts.join(" · ");
  }
}

function sentence(task: string): string {
  return task.charAt(0).toUpperCase() + task.slice(1);
}
