import { element, make } from "./elements.ts";
import { shout } from "./speak.ts";

/** Something to do about what a notice says. */
export interface Remedy {
  readonly title: string;
  readonly act: () => void;
}

/** Says what went wrong or cannot be done, and offers what helps. */
export function showNotice(text: string, remedies: readonly Remedy[] = []): void {
  const buttons = [...remedies, { title: "Dismiss", act: () => undefined }].map(({ title, act }) => {
    const button = make("button", { type: "button" }, title);
    button.addEventListener("click", () => {
      hideNotice();
      act();
    });
    return button;
  });
  const box = element("notice", HTMLElement);
  box.replaceChildren(make("p", {}, text), make("span", { className: "row" }, ...buttons));
  box.hidden = false;
  shout(text);
}

/** Takes the notice away. */
export function hideNotice(): void {
  element("notice", HTMLElement).hidden = true;
  shout("");
}
