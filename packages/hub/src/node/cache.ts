import {
  copyFile,
  link,
  mkdir,
  readFile,
  readdir,
  readlink,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { randomUUID } from "node:crypto";
import { dirname, join, relative, sep } from "node:path";
import { isCommit, type Repository, type RepositoryFile } from "../repository.ts";

/**
 * One repository in the cache that Python shares: `models--owner--name/{blobs,snapshots,refs}`. Blobs are named by the hash of
 * their content, snapshots hold links to them under the names that the repository has at a commit, refs say which commit
 * a branch was when it was last asked for.
 */
export interface CachedRepository {
  readonly folder: string;
  /** Lock of a blob, beside Python's. */
  lockPath(file: RepositoryFile): string;
  blobPath(file: RepositoryFile): string;
  snapshotPath(commit: string, path?: string): string;
  /** True where the whole file lies in a snapshot. */
  hasFile(commit: string, file: RepositoryFile): Promise<boolean>;
  /** True where the whole blob lies in the cache, for whichever snapshot. A blob of another size is removed. */
  hasBlob(file: RepositoryFile): Promise<boolean>;
  /** Puts a blob into a snapshot. */
  place(commit: string, file: RepositoryFile): Promise<void>;
  /** Remembers which commit a branch is. */
  setRef(revision: string, commit: string): Promise<void>;
  /** The commit that a revision was when it was last asked for. */
  getRef(revision: string): Promise<string | undefined>;
  /** Paths in a snapshot. */
  listSnapshot(commit: string): Promise<readonly string[]>;
}

/** The place of a repository in a cache. Nothing is made before it is needed. */
export function cachedRepository(cache: string, { id }: Repository): CachedRepository {
  const name = `models--${id.replace("/", "--")}`;
  const folder = join(cache, name);
  const repository: CachedRepository = {
    folder,
    lockPath: (file) => join(cache, ".locks", name, `${file.hash.hex}.held`),
    blobPath: (file) => join(folder, "blobs", file.hash.hex),
    snapshotPath: (commit, path = "") => join(folder, "snapshots", commit, ...path.split("/")),
    hasFile: async (commit, file) => (await sizeOf(repository.snapshotPath(commit, file.path))) === file.size,
    hasBlob: async (file) => {
      const size = await sizeOf(repository.blobPath(file));
      if (size !== undefined && size !== file.size) await rm(repository.blobPath(file), { force: true });
      return size === file.size;
    },
    place: (commit, file) => place(repository.blobPath(file), repository.snapshotPath(commit, file.path)),
    setRef: async (revision, commit) => {
      if (isCommit(revision) || (await repository.getRef(revision)) === commit) return;
      await mkdir(dirname(join(folder, "refs", revision)), { recursive: true });
      await atomically(join(folder, "refs", revision), (path) => writeFile(path, commit));
    },
    getRef: async (revision) => {
      if (isCommit(revision)) return revision;
      const commit = await readFile(join(folder, "refs", revision), "utf8").catch(() => "");
      return isCommit(commit.trim()) ? commit.trim() : undefined;
    },
    listSnapshot: async (commit) => {
      const entries = await readdir(repository.snapshotPath(commit), { recursive: true, withFileTypes: true }).catch(
        () => [],
      );
      const root = repository.snapshotPath(commit);
      return entries
        .filter((entry) => !entry.isDirectory())
        .map((entry) => relative(root, join(entry.parentPath, entry.name)).split(sep).join("/"));
    },
  };
  return repository;
}

/** A relative link, as Python makes them; where links are not allowed, a second name for the file, or a copy. */
async function place(blob: string, pointer: string): Promise<void> {
  await mkdir(dirname(pointer), { recursive: true });
  const target = relative(dirname(pointer), blob);
  if ((await readlink(pointer).catch(() => undefined)) === target) return;
  await atomically(pointer, async (path) => {
    try {
      await symlink(target, path);
    } catch {
      await link(blob, path).catch(() => copyFile(blob, path));
    }
  });
}

/** Makes a file under another name first: whoever reads finds the old or the new one, never half of it. */
async function atomically(path: string, make: (temporary: string) => Promise<void>): Promise<void> {
  const temporary = `${path}.${randomUUID()}`;
  try {
    await make(temporary);
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.size;
}
