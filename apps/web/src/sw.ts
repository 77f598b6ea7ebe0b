// The service worker: keeps what makes the page, so that a second visit needs no network. It never keeps anything from
// elsewhere, and nothing that a person brought.

/** Put in by the build: the page's own files, and a name for this set of them. */
declare const SHELL: readonly string[];
declare const VERSION: string;

/** The part of a service worker's global scope that is used; the library of the DOM does not declare it. */
interface Scope {
  readonly location: Location;
  readonly clients: { claim(): Promise<void> };
  skipWaiting(): Promise<void>;
  addEventListener(type: "install" | "activate", listener: (event: Waits) => void): void;
  addEventListener(
    type: "fetch",
    listener: (event: Waits & { readonly request: Request; respondWith(response: Promise<Response>): void }) => void,
  ): void;
  addEventListener(
    type: "message",
    listener: (event: Waits & MessageEvent<{ kind?: string; addresses?: readonly string[] }>) => void,
  ): void;
}
interface Waits {
  waitUntil(work: Promise<unknown>): void;
}

const scope = self as unknown as Scope;
const NAME = `page-${VERSION}`;

scope.addEventListener("install", (event) => {
  event.waitUntil(
    caches
      .open(NAME)
      .then((cache) => cache.addAll([...SHELL]))
      .then(() => scope.skipWaiting()),
  );
});

scope.addEventListener("activate", (event) => {
  event.waitUntil(
    caches
      .keys()
      .then((names) => Promise.all(names.filter((name) => name !== NAME).map((name) => caches.delete(name))))
      .then(() => scope.clients.claim()),
  );
});

scope.addEventListener("message", (event) => {
  const { kind, addresses = [] } = event.data;
  if (kind !== "keep") return;
  event.waitUntil(keep(addresses).then(() => event.source?.postMessage({ kind: "kept" })));
});

async function keep(addresses: readonly string[]): Promise<void> {
  const cache = await caches.open(NAME);
  for (const address of addresses) {
    if (new URL(address).origin !== scope.location.origin || (await cache.match(address))) continue;
    await cache.add(address);
  }
}

scope.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET" || new URL(request.url).origin !== scope.location.origin) return;
  event.respondWith(answer(request));
});

/** Files have their content in their names, so what is kept is never stale; the page itself is asked for anew first. */
async function answer(request: Request): Promise<Response> {
  const cache = await caches.open(NAME);
  if (request.mode === "navigate") {
    return await fetch(request).catch(async () => (await cache.match("./")) ?? Response.error());
  }
  return (await cache.match(request, { ignoreVary: true })) ?? (await fetch(request));
}
