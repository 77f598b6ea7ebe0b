import type { Page } from "playwright-core";
import { expect } from "vitest";
import { PATIENCE_MS } from "./site.ts";

/** What a page shows follows what is done to it, a little later: asked until it is as expected. */
export function poll<T>(look: () => Promise<T>): ReturnType<typeof expect.poll<T>> {
  return expect.poll(look, { timeout: PATIENCE_MS });
}

/** Waits until `selector` reads exactly `expected`. */
export async function reads(page: Page, selector: string, expected: string): Promise<void> {
  await poll(() => page.textContent(selector)).toBe(expected);
}
