/**
 * What `work` gives, unless `signal` fires first: then it rejects with the signal's reason, and what `work` gives later
 * goes to `late`.
 */
export function abortable<T>(work: Promise<T>, signal: AbortSignal | undefined, late: (result: T) => void): Promise<T> {
  if (!signal) return work;
  return new Promise<T>((resolve, reject) => {
    let over = false;
    const abort = (): void => {
      over = true;
      // The reason is the caller's own value, whatever it is.
      // oxlint-disable-next-line prefer-promise-reject-errors
      reject(signal.reason);
    };
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort, { once: true });
    work
      .then((result) => (over ? late(result) : resolve(result)), reject)
      .finally(() => signal.removeEventListener("abort", abort));
  });
}
