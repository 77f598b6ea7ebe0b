import { afterEach, describe, expect, it } from "vitest";
import { Interrupted, interruptible } from "../src/interruption.ts";

describe("interruptible", () => {
  const before = process.listenerCount("SIGINT");
  afterEach(() => expect(process.listenerCount("SIGINT")).toBe(before));

  it("gives back what the work gives", async () => {
    await expect(interruptible(async () => 1)).resolves.toBe(1);
  });

  it("aborts the work on Ctrl-C", async () => {
    const work = interruptible(
      (signal) =>
        new Promise((_, reject) => {
          signal.addEventListener("abort", () => reject(signal.reason as Error));
        }),
    );
    process.emit("SIGINT");
    await expect(work).rejects.toBeInstanceOf(Interrupted);
  });
});
