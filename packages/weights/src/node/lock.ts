import { randomUUID } from "node:crypto";
import { mkdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { PaliGemmaError } from "@paligemma/core";

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
 * when it has shown no life for a while. Should that ever happen to a living holder, `work`'s signal aborts with `weights/lock`.
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
    if ((await ownerOf(path)) === owner) await remove(path);
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
    if (await taken(path, owner)) return;
    const holder = await ownerOf(path);
    const now = await sign(path);
    if (now === undefined) continue;
    if (now !== seen) [seen, since] = [now, performance.now()];
    // Time is measured here, not read off the file system: clocks of two machines differ.
    const stale = performance.now() - since > staleMs;
    if (!(isGone(holder) || stale) || !(await removeDead(path, holder, now, stale))) await waited(lookMs, signal);
  }
}

/** True where the lock was free and is ours now. It comes with its owner inside: a folder takes no name of one that has content. */
async function taken(path: string, owner: string): Promise<boolean> {
  const own = `${path}.${randomUUID()}`;
  await mkdir(own);
  try {
    await writeFile(join(own, "owner"), owner);
    await rename(own, path);
    return true;
  } catch (error) {
    await rm(own, { recursive: true, force: true });
    if (HELD.some((code) => hasCode(error, code))) return false;
    throw error;
  }
}

/** What renaming a folder onto one with content says; the last two on Windows. */
const HELD: readonly string[] = ["EEXIST", "ENOTEMPTY", ...(process.platform === "win32" ? ["EPERM", "EACCES"] : [])];

/** An abort rejects with its own reason. */
async function waited(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  await pause(milliseconds, undefined, signal ? { signal } : {}).catch(() => signal?.throwIfAborted());
}

/** What changes while the holder lives; `undefined` without a lock. */
async function sign(path: string): Promise<string | undefined> {
  const found = await stat(path).catch(() => undefined);
  return found && `${found.ino} ${found.mtimeMs}`;
}

/** Removes a dead lock, if it is still the one that was seen. One process at a time does so; false where another one is at it. */
async function removeDead(path: string, holder: string | undefined, seen: string, stale: boolean): Promise<boolean> {
  const guard = `${path}.removing`;
  try {
    await mkdir(guard);
  } catch {
    // Left by a process that was killed within these lines.
    if (stale) await rm(guard, { recursive: true, force: true });
    return false;
  }
  try {
    if ((await ownerOf(path)) === holder && (await sign(path)) === seen) await remove(path);
    return true;
  } finally {
    await rm(guard, { recursive: true, force: true });
  }
}

/** Frees the name first: what is removed file by file must not be a lock any more. */
async function remove(path: string): Promise<void> {
  const aside = `${path}.${randomUUID()}`;
  await rename(path, aside);
  await rm(aside, { recursive: true, force: true });
}

async function keep(path: string, owner: string, lost: AbortController): Promise<void> {
  try {
    if ((await ownerOf(path)) !== owner) throw new Error("another process took it over");
    const now = new Date();
    await utimes(path, now, now);
  } catch (cause) {
    lost.abort(
      new PaliGemmaError(
        "weights/lock",
        `the lock ${path} was lost; is the cache on a drive that went away? Run again`,
        {
          cause,
        },
      ),
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
