import diagnostics from "node:diagnostics_channel";
import { getEventListeners } from "node:events";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Worker } from "node:worker_threads";

/** The threads that this thread started from now on and that have not ended, as Node itself tells of them. */
export function watchWorkers(): { readonly live: ReadonlySet<Worker>; readonly end: () => void } {
  const live = new Set<Worker>();
  const started = (message: unknown): void => {
    const { worker } = message as { readonly worker: Worker };
    live.add(worker);
    worker.once("exit", () => live.delete(worker));
  };
  diagnostics.subscribe("worker_threads", started);
  return { live, end: () => void diagnostics.unsubscribe("worker_threads", started) };
}

/** Listeners on signals (their event targets) and on the threads' emitters. */
export function countListeners(signals: readonly AbortSignal[], workers: ReadonlySet<Worker>): number {
  const onSignals = signals.map((signal) => getEventListeners(signal, "abort").length);
  const onWorkers = [...workers].flatMap((worker) => worker.eventNames().map((name) => worker.listenerCount(name)));
  return [...onSignals, ...onWorkers].reduce((sum, count) => sum + count, 0);
}

/** Bytes that this thread holds after a collection: its heap, and what lies outside for it. */
export function memory(): number {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  collect();
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
