import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { withLock } from "@paligemma/weights/node";
import { afterAll, describe, expect, it } from "vitest";

/** Only signs, never time, may end the waiting in these tests: a lock is stale after an hour. */
const times = { beatMs: 20, staleMs: 3_600_000, lookMs: 5 };
const root = await mkdtemp(join(tmpdir(), "lock-"));
let count = 0;
afterAll(() => rm(root, { recursive: true, force: true }));
const newLock = (): string => join(root, String(count++), "locks", "a.held");

async function left(path: string, owner: string): Promise<void> {
  await mkdir(path, { recursive: true });
  await writeFile(join(path, "owner"), owner);
}

describe("withLock", () => {
  it("lets one in at a time, and leaves nothing", async () => {
    const path = newLock();
    let inside = 0;
    const most = await Promise.all(
      Array.from({ length: 20 }, () =>
        withLock(
          path,
          undefined,
          async () => {
            const now = ++inside;
            await new Promise((done) => setTimeout(done, 2));
            inside--;
            return now;
          },
          times,
        ),
      ),
    );
    expect(most).toEqual(Array.from({ length: 20 }, () => 1));
    expect(await readdir(dirname(path))).toEqual([]);
  });

  it("is free again after a failure", async () => {
    const path = newLock();
    await expect(withLock(path, undefined, () => Promise.reject(new Error("no")), times)).rejects.toThrow("no");
    expect(await withLock(path, undefined, async () => 1, times)).toBe(1);
  });

  it("is taken at once from a process of this machine that is gone", async () => {
    const path = newLock();
    // No process has this number: Linux counts to 2^22.
    await left(path, `${hostname()} 99999999 x`);
    expect(
      await Promise.all(Array.from({ length: 5 }, (_, i) => withLock(path, undefined, async () => i, times))),
    ).toEqual([0, 1, 2, 3, 4]);
  });

  it("is taken from another machine when it shows no life, and not while it does", async () => {
    const path = newLock();
    await left(path, "elsewhere 1 x");
    const alive = setInterval(() => void utimes(path, new Date(), new Date()), 10);
    const entered: string[] = [];
    const work = withLock(path, undefined, async () => entered.push("in"), { ...times, staleMs: 300 });
    await new Promise((done) => setTimeout(done, 900));
    expect(entered).toEqual([]);
    clearInterval(alive);
    await work;
    expect(entered).toEqual(["in"]);
  });

  it("tells a holder that lost it, and does not remove the new holder's", async () => {
    const path = newLock();
    const lost = withLock(
      path,
      undefined,
      async (signal) => {
        await left(path, "elsewhere 1 x");
        return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)));
      },
      times,
    );
    await expect(lost).rejects.toMatchObject({ code: "weights/lock" });
    expect(await readdir(dirname(path))).toEqual(["a.held"]);
  });

  it("ends the waiting at an abort", async () => {
    const path = newLock();
    await left(path, `${hostname()} ${process.pid} x`);
    await expect(withLock(path, AbortSignal.timeout(30), async () => 1, times)).rejects.toThrow("timeout");
  });
});
