import { PaliGemmaError } from "@paligemma/core";

/** A repository of models on the Hub, at a revision. */
export interface Repository {
  /** "owner/name". */
  readonly id: string;
  /** A branch, a tag, or a commit of 40 hexadecimal digits. */
  readonly revision: string;
}

/** How a file's bytes are recognised: LFS files by SHA-256, small ones by Git's blob hash (SHA-1 over a header and the bytes). */
export interface FileHash {
  readonly kind: "sha256" | "git-sha1";
  readonly hex: string;
}

/** One file of a repository. Its hash is also its name in the cache. */
export interface RepositoryFile {
  readonly path: string;
  readonly size: number;
  readonly hash: FileHash;
}

/** What a repository holds at a commit. */
export interface Listing {
  readonly commit: string;
  readonly files: ReadonlyMap<string, RepositoryFile>;
}

const ID = /^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*$/;
const REVISION = /^[\w][\w./+-]*$/;

/** True for "owner/name" and "owner/name@revision". */
export function looksLikeRepository(text: string): boolean {
  const [id = "", ...revision] = text.split("@");
  return ID.test(id) && revision.length <= 1;
}

/**
 * "owner/name" or "owner/name@revision", the revision "main" where none is given. Throws `hub/name`: both parts become names of
 * folders, so they may not lead out of the cache.
 */
export function parseRepository(text: string, revision?: string): Repository {
  const [id = "", written, ...more] = text.split("@");
  if (written !== undefined && revision !== undefined && written !== revision) {
    throw new PaliGemmaError(
      "hub/name",
      `two revisions are given: "${written}" behind the name and "${revision}" as an option; give one`,
    );
  }
  const chosen = written ?? revision ?? "main";
  if (!ID.test(id) || more.length > 0 || /\.\.|--/.test(id) || id.length > 192) {
    throw new PaliGemmaError(
      "hub/name",
      `"${text.slice(0, 200)}" is no repository of the Hub; allowed is owner/name or owner/name@revision, of letters, digits, ".", "_" and "-"`,
    );
  }
  if (!REVISION.test(chosen) || chosen.includes("..") || chosen.endsWith("/") || chosen.length > 250) {
    throw new PaliGemmaError(
      "hub/name",
      `"${chosen.slice(0, 200)}" is no revision; allowed is a branch, a tag or a commit`,
    );
  }
  return { id, revision: chosen };
}

/** True for a full commit hash. */
export function isCommit(revision: string): boolean {
  return /^[0-9a-f]{40}$/.test(revision);
}

/** Throws `hub/option` unless every value is a whole number from 1. */
export function checkCount(options: Readonly<Record<string, number>>): void {
  for (const [option, value] of Object.entries(options)) {
    if (!Number.isSafeInteger(value) || value < 1)
      throw new PaliGemmaError("hub/option", `${option} is ${value}; allowed: a whole number from 1`);
  }
}
