import { isPaliGemmaError, PaliGemmaError } from "@paligemma/core";
import { LIMITS } from "./limits.ts";

/** How patient to be with a server. */
export interface RetryPolicy {
  /** Tries without any progress before giving up. Default 6. */
  readonly attempts: number;
  /** Milliseconds before the second try; doubled for each further one, at most 30 s. Default 500. */
  readonly delayMs: number;
  /** Milliseconds without an answer, or without a byte of it, after which a connection counts as broken. Default 30,000. */
  readonly silenceMs: number;
}

/** What is used where nothing is said. */
export const PATIENT: RetryPolicy = { attempts: 6, delayMs: 500, silenceMs: 30_000 };

/** A failure that another try may cure. */
export class Transient extends Error {
  /** Milliseconds that the server asked us to wait. */
  readonly waitMs: number | undefined;

  constructor(message: string, options: { readonly cause?: unknown; readonly waitMs?: number } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.waitMs = options.waitMs;
  }
}

/**
 * Tries `work` until it succeeds. Errors of ours are answers, everything else (broken connections, timeouts, answers cut in
 * half) is tried again; `work` calls `progressed` when it got ahead, which makes the count begin anew. Throws `hub/network`.
 */
export async function retrying<T>(
  what: string,
  policy: RetryPolicy,
  signal: AbortSignal | undefined,
  work: (progressed: () => void) => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted();
    try {
      return await work(() => (attempt = 1));
    } catch (error) {
      signal?.throwIfAborted();
      if (isPaliGemmaError(error)) throw error;
      if (attempt >= policy.attempts) throw givenUp(what, attempt, error);
      const backoff = Math.min(30_000, policy.delayMs * 2 ** (attempt - 1)) * (0.5 + Math.random() / 2);
      await pause(
        error instanceof Transient && error.waitMs !== undefined ? Math.min(error.waitMs, LIMITS.waitMs) : backoff,
        signal,
      );
    }
  }
}

function givenUp(what: string, attempts: number, cause: unknown): PaliGemmaError {
  const reasons: string[] = [];
  for (let error = cause; error instanceof Error && reasons.length < 3; error = error.cause)
    reasons.push(error.message);
  return new PaliGemmaError(
    "hub/network",
    `${what} failed ${attempts} times: ${reasons.join(": ")}. What has arrived is kept: run again to go on, or set HF_HUB_OFFLINE=1 to use what is in the cache`,
    { cause },
  );
}

/** Waits, unless aborted. */
export async function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(done, milliseconds);
    const abort = (): void => {
      clearTimeout(timer);
      reject(signal!.reason as Error);
    };
    function done(): void {
      signal?.removeEventListener("abort", abort);
      resolve();
    }
    signal?.addEventListener("abort", abort, { once: true });
  });
}
