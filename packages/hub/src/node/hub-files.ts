import { nearest, PaliGemmaError, type OnProgress } from "@paligemma/core";
import type { ModelFiles } from "@paligemma/weights";
import { fileSource } from "@paligemma/weights/node";
import { createClient, HUB_OPTIONS, refuseUnknown, type HubOptions } from "../client.ts";
import { LIMITS } from "../limits.ts";
import { createGate, together } from "../pieces.ts";
import { checkCount, parseRepository, type Repository } from "../repository.ts";
import { cachedRepository, type CachedRepository } from "./cache.ts";
import { provide, type Downloads } from "./download.ts";
import { readEnvironment, type Environment } from "./environment.ts";

/** How to reach the Hub and where to keep what comes from it. What is not said comes from the environment. */
export interface CachedHubOptions extends HubOptions {
  /** Folder of the cache, shared with Python. Default: `HF_HUB_CACHE`, `HF_HOME/hub`, `~/.cache/huggingface/hub`. */
  readonly cache?: string;
  /** Use what is in the cache and send nothing. Default: `HF_HUB_OFFLINE`. */
  readonly offline?: boolean;
  /** Connections at a time. Default 8. */
  readonly connections?: number;
  /** Bytes asked for at once, and so what a killed process may lose per connection. Default 16 MiB. */
  readonly pieceBytes?: number;
  /** Told of every file that is being downloaded, in bytes. */
  readonly onProgress?: OnProgress;
  /** Variables to read instead of `process.env`. */
  readonly environment?: Environment;
  readonly signal?: AbortSignal;
}

/** A repository of the Hub whose files come into the cache when they are opened. */
export interface HubFiles extends ModelFiles {
  readonly commit: string;
  /** Folder in the cache where the files of this commit appear, as they are downloaded. */
  readonly folder: string;
  /** Downloads these files now, as many at once as there are connections. */
  download(paths: Iterable<string>, signal?: AbortSignal): Promise<void>;
}

const OPTIONS: readonly (keyof CachedHubOptions)[] = [
  "cache",
  "offline",
  "connections",
  "pieceBytes",
  "onProgress",
  "environment",
  "signal",
  ...HUB_OPTIONS,
];

/**
 * A repository of the Hub, "owner/name" or "owner/name@revision". Asks which files it has; a file is downloaded when it is
 * opened: resumed where an earlier try stopped, verified by its hash, once even if several processes want it. Offline,
 * the files are those in the cache. Throws `hub/gated` with the steps to take, `hub/not-found`, `hub/network`,
 * `hub/offline`.
 */
export async function hubFiles(name: string, options: CachedHubOptions = {}): Promise<HubFiles> {
  refuseUnknown(options, OPTIONS);
  const { connections = 8, pieceBytes = LIMITS.pieceBytes } = options;
  checkCount({ connections, pieceBytes });
  const repository = parseRepository(name, options.revision);
  const environment = await readEnvironment(options.environment);
  const cached = cachedRepository(options.cache ?? environment.cache, repository);
  if (options.offline ?? environment.offline) return offlineFiles(repository, cached);

  const endpoint = options.endpoint ?? environment.endpoint;
  const token = options.token ?? environment.token;
  const client = createClient(repository, {
    ...options,
    ...(endpoint ? { endpoint } : {}),
    ...(token ? { token } : {}),
  });
  const { commit, files } = await client.list(options.signal);
  await cached.setRef(repository.revision, commit);
  const gate = createGate(connections);
  const downloads: Downloads = {
    client,
    cached,
    commit,
    gate,
    pieceBytes,
    ...(options.onProgress ? { onProgress: options.onProgress } : {}),
  };
  const get = async (path: string, signal?: AbortSignal): Promise<void> => {
    const file = files.get(path);
    if (!file) throw absent(repository, path, files.keys());
    await provide(downloads, file, signal ?? options.signal);
  };
  return {
    name: `${repository.id}@${repository.revision}`,
    commit,
    folder: cached.snapshotPath(commit),
    paths: new Set(files.keys()),
    open: async (path, signal) => {
      await get(path, signal);
      return fileSource(cached.snapshotPath(commit, path));
    },
    download: async (paths, signal) => {
      const work = [...paths].map((path) => (stop: AbortSignal) => get(path, stop));
      await together(work, signal ?? options.signal);
    },
  };
}

async function offlineFiles(repository: Repository, cached: CachedRepository): Promise<HubFiles> {
  const { id, revision } = repository;
  const commit = await cached.getRef(revision);
  const paths = new Set(commit === undefined ? [] : await cached.listSnapshot(commit));
  if (commit === undefined || paths.size === 0) {
    throw new PaliGemmaError(
      "hub/offline",
      `${id}@${revision} is not in the cache ${cached.folder}, and offline mode is on; go online once, or point HF_HOME to the cache that has it`,
    );
  }
  const check = (path: string): void => {
    if (!paths.has(path))
      throw new PaliGemmaError(
        "hub/offline",
        `${path} of ${id}@${revision} is not in the cache, and offline mode is on; go online once`,
      );
  };
  return {
    name: `${id}@${revision}`,
    commit,
    folder: cached.snapshotPath(commit),
    paths,
    open: async (path) => {
      check(path);
      return fileSource(cached.snapshotPath(commit, path));
    },
    download: async (wanted) => [...wanted].forEach(check),
  };
}

function absent({ id, revision }: Repository, path: string, paths: Iterable<string>): PaliGemmaError {
  const meant = nearest(path, paths);
  return new PaliGemmaError(
    "weights/no-file",
    `${id}@${revision} has no ${path}${meant ? `; the nearest is ${meant}` : ""}`,
  );
}
