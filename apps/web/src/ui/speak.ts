import { element } from "./elements.ts";

/** Least milliseconds between two announcements of the same work: screen readers read each to its end. */
const PATIENCE_MS = 4000;

let last = 0;

/** Tells people who listen to the page instead of looking at it. */
export function say(text: string): void {
  element("say", HTMLElement).textContent = text;
  last = performance.now();
}

/** The same for news that come often: only now and then one is told. */
export function sayNowAndThen(text: string): void {
  if (performance.now() - last >= PATIENCE_MS) say(text);
}

/** Interrupts with something that went wrong. */
export function shout(text: string): void {
  element("shout", HTMLElement).textContent = text;
}
