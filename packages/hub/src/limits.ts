/** Largest sizes that an answer of the Hub may claim, and the grain of downloads. */
export const LIMITS = {
  /** Files of one repository: PaliGemma's have some 15; each is kept here by name. */
  files: 10_000,
  /** Characters of a path in a repository. */
  pathLength: 1024,
  /** Bytes of one file: the largest shard of a released model has 5 GB. */
  fileBytes: 1_099_511_627_776,
  /** Bytes asked for at once: a broken connection loses none of them, a killed process less than this per connection. */
  pieceBytes: 16_777_216,
  /** Longest time that a server may make us wait by `Retry-After`, in milliseconds. */
  waitMs: 300_000,
} as const;
