import { nearest, PaliGemmaError, type OnProgress } from "@paligemma/core";
import type { ByteSource, ModelFiles } from "@paligemma/weights";
import { createClient, HUB_OPTIONS, refuseUnknown, type HubClient, type HubOptions } from "../client.ts";
import { LIMITS } from "../limits.ts";
import { createGate, fetchPieces, type Gate } from "../pieces.ts";
import { checkCount, parseRepository, type Listing, type Repository, type RepositoryFile } from "../repository.ts";
import { isNotFound, openPieceStore, write } from "./piece-store.ts";

/** How to reach the Hub, and where in the browser to keep what comes from it. */
export interface StoredOptions extends HubOptions {
  /** Folder to keep files in. Default: "paligemma-hub" in the origin's private file system. */
  readonly folder?: FileSystemDirectoryHandle;
  /** Use what is kept and send nothing. Default false. */
  readonly offline?: boolean;
  /** Connections at a time. Default 6, as many as browsers open to one host. */
  readonly connections?: number;
  /** Bytes asked for at once. Default 16 MiB; so much per connection is held in memory. */
  readonly pieceBytes?: number;
  /** Told of every file that is being downloaded, in bytes. */
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
}

const OPTIONS: readonly (keyof StoredOptions)[] = [
  "folder",
  "offline",
  "connections",
  "pieceBytes",
  "onProgress",
  "signal",
  ...HUB_OPTIONS,
];

/**
 * A repository of the Hub, "owner/name" or "owner/name@revision", whose files are kept by the browser: downloaded when they are
 * opened, resumed where a closed tab stopped, verified by their hash, once even if several tabs want them. Throws what
 * `hubFiles` throws.
 */
export async function storedFiles(name: string, options: StoredOptions = {}): Promise<ModelFiles> {
  refuseUnknown(options, OPTIONS);
  const { connections = 6, pieceBytes = LIMITS.pieceBytes, onProgress } = options;
  checkCount({ connections, pieceBytes });
  const repository = parseRepository(name, options.revision);
  const root =
    options.folder ??
    (await (await navigator.storage.getDirectory()).getDirectoryHandle("paligemma-hub", { create: true }));
  const folder = await root.getDirectoryHandle(repository.id.replace("/", "--"), { create: true });
  const client = createClient(repository, options);
  const listing = options.offline ? await recall(folder, repository) : await client.list(options.signal);
  if (!options.offline) await remember(folder, repository, listing);
  const shared = {
    client,
    folder,
    commit: listing.commit,
    gate: createGate(connections),
    pieceBytes,
    offline: options.offline ?? false,
    ...(onProgress ? { onProgress } : {}),
  };
  return {
    name: `${repository.id}@${repository.revision}`,
    paths: new Set(listing.files.keys()),
    open: async (path, signal) => {
      const file = listing.files.get(path);
      if (file) return provide(shared, file, signal ?? options.signal);
      const meant = nearest(path, listing.files.keys());
      throw new PaliGemmaError(
        "weights/no-file",
        `${repository.id}@${repository.revision} has no ${path}${meant ? `; the nearest is ${meant}` : ""}`,
      );
    },
  };
}

interface Shared {
  readonly client: HubClient;
  readonly folder: FileSystemDirectoryHandle;
  readonly commit: string;
  readonly gate: Gate;
  readonly pieceBytes: number;
  readonly offline: boolean;
  readonly onProgress?: OnProgress;
}

async function provide(
  { client, folder, commit, gate, pieceBytes, offline, onProgress }: Shared,
  file: RepositoryFile,
  signal?: AbortSignal,
): Promise<ByteSource> {
  const { id } = client.repository;
  return alone(`${id} ${file.hash.hex}`, signal, async () => {
    for (let attempt = 1; ; attempt++) {
      const store = await openPieceStore(folder, file, pieceBytes);
      if (await store.isComplete()) return store.source();
      if (offline)
        throw new PaliGemmaError(
          "hub/offline",
          `${file.path} of ${id} is not kept here, and offline mode is on; go online once`,
        );
      const onBytes = (done: number): void =>
        onProgress?.({ task: `download ${file.path}`, done, total: file.size, unit: "bytes" });
      await fetchPieces(client, file, store, { commit, gate, onBytes, ...(signal ? { signal } : {}) });
      if ((await store.finish(signal)) || attempt < 2) continue;
      throw new PaliGemmaError(
        "hub/corrupt",
        `${file.path} of ${id} arrived twice with another ${file.hash.kind} than ${file.hash.hex}; nothing of it was kept. Is a proxy or a mirror changing files?`,
      );
    }
  });
}

/** One tab at a time. The browser gives the lock back when a tab is closed. */
async function alone<T>(name: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  const locks = (globalThis.navigator as Navigator | undefined)?.locks;
  return locks ? locks.request(`paligemma-hub ${name}`, signal ? { signal } : {}, work) : work();
}

const listingName = ({ revision }: Repository): string => `listing.${encodeURIComponent(revision)}.json`;

async function remember(
  folder: FileSystemDirectoryHandle,
  repository: Repository,
  { commit, files }: Listing,
): Promise<void> {
  await write(
    folder,
    listingName(repository),
    new TextEncoder().encode(JSON.stringify({ commit, files: [...files.values()] })),
  );
}

/** What the repository held when it was last asked. Written by `remember` in this origin's own storage. */
async function recall(folder: FileSystemDirectoryHandle, repository: Repository): Promise<Listing> {
  try {
    const text = await (await (await folder.getFileHandle(listingName(repository))).getFile()).text();
    const { commit, files } = JSON.parse(text) as {
      readonly commit: string;
      readonly files: readonly RepositoryFile[];
    };
    return { commit, files: new Map(files.map((file) => [file.path, file])) };
  } catch (error) {
    if (!isNotFound(error)) throw error;
    throw new PaliGemmaError(
      "hub/offline",
      `${repository.id}@${repository.revision} is not kept here, and offline mode is on; go online once`,
      { cause: error },
    );
  }
}
