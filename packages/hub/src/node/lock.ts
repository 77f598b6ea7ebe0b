import { randomUUID } from "node:crypto";
import { mkdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { PaliGemmaError } from "@paligemma/core";
import { pause } from "../retry.ts";

/** How a lock is kept and waited for, in milliseconds. */
export interface LockTimes {
  /** The holder shows that often that it lives. */
  readonly beatMs: number;
  /** A lock that shows no life for this long, as the waiting process sees it, is taken over. */
  readonly staleMs: number;
  /** Time between two looks at a lock that somebody else holds. */
  readonly lookMs: number;
}

const TIMES: LockTimes = { beatMs: 2_000, staleMs: 15_000, lookMs: 100 };

/**
 * Runs `work` while no other process that locks `path` does. The lock is a folder, because making one is atomic everywhere; it
 * outlives a killed process, and is then taken over: at once where its holder was a process of this machine that is gone, else
 * when it has shown no life for a while. Should that ever happen to a living holder, `work`'s signal aborts.
 */
export async function withLock<T>(
  path: string,
  signal: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
  times: LockTimes = TIMES,
): Promise<T> {
  const owner = `${hostname()} ${process.pid} ${randomUUID()}`;
  await acquire(path, owner, signal, times);
  const lost = new AbortController();
  const beat = setInterval(() => void keep(path, owner, lost), times.beatMs).unref();
  try {
    return await work(signal ? AbortSignal.any([signal, lost.signal]) : lost.signal);
  } finally {
    clearInterval(beat);
    if ((await ownerOf(path)) === owner) await rm(path, { recursive: true, force: true });
  }
}

async function acquire(
  path: string,
  owner: string,
  signal: AbortSignal | undefined,
  { staleMs, lookMs }: LockTimes,
): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  let seen = "";
  let since = performance.now();
  for (;;) {
    signal?.throwIfAborted();
    try {
      await mkdir(path);
      await writeFile(join(path, "owner"), owner);
      return;
    } catch (error) {
      if (!hasCode(error, "EEXIST")) throw error;
    }
    const now = await sign(path);
    if (now === undefined) continue;
    if (now !== seen) [seen, since] = [now, performance.now()];
    // Time is measured here, not read off the file system: clocks of two machines differ.
    if (isGone(await ownerOf(path)) || performance.now() - since > staleMs) await takeAway(path, seen);
    else await pause(lookMs, signal);
  }
}

/** What changes while the holder lives; `undefined` without a lock. */
async function sign(path: string): Promise<string | undefined> {
  const found = await stat(path).catch(() => undefined);
  return found && `${found.ino} ${found.mtimeMs}`;
}

/** Removes a dead lock. Of several processes that try, renaming lets one succeed; a lock that came alive is put back. */
async function takeAway(path: string, seen: string): Promise<void> {
  const aside = `${path}.${randomUUID()}`;
  try {
    await rename(path, aside);
  } catch {
    return;
  }
  if ((await sign(aside)) === seen) await rm(aside, { recursive: true, force: true });
  else await rename(aside, path).catch(() => rm(aside, { recursive: true, force: true }));
}

async function keep(path: string, owner: string, lost: AbortController): Promise<void> {
  try {
    if ((await ownerOf(path)) !== owner) throw new Error("another process took it over");
    const now = new Date();
    await utimes(path, now, now);
  } catch (cause) {
    lost.abort(
      new PaliGemmaError("hub/lock", `the lock ${path} was lost; is the cache on a drive that went away? Run again`, {
        cause,
      }),
    );
  }
}

async function ownerOf(path: string): Promise<string | undefined> {
  return readFile(join(path, "owner"), "utf8").catch(() => undefined);
}

/** True where the owner was a process of this machine and no longer runs. */
function isGone(owner: string | undefined): boolean {
  const [host, pid] = owner?.split(" ") ?? [];
  if (host !== hostname() || !pid) return false;
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return hasCode(error, "ESRCH");
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
