/** Makes the page work without a network: its own files are kept, and those that a model needed. */
export interface Offline {
  /** Files that were loaded from the page's own server. */
  keep(addresses: readonly string[]): void;
}

/** Starts the service worker where there can be one; `onKept` hears when everything is kept. */
export function setUpOffline(onKept: () => void): Offline {
  if (!import.meta.env.PROD || !("serviceWorker" in navigator)) return { keep: () => undefined };
  const ready = navigator.serviceWorker
    .register("sw.js")
    .then(() => navigator.serviceWorker.ready)
    .catch(() => undefined);
  navigator.serviceWorker.addEventListener("message", ({ data }: MessageEvent<{ kind?: string }>) => {
    if (data.kind === "kept") onKept();
  });
  return {
    keep: (addresses) =>
      void ready.then((registration) => registration?.active?.postMessage({ kind: "keep", addresses })),
  };
}
