/**
 * Largest sizes that a file may claim. Every count and length that comes from a file is held against one of these before
 * anything is allocated or looped over.
 */
export const LIMITS = {
  /** Bytes of a safetensors header: the format's own limit; a released PaliGemma needs 80 thousand. */
  headerBytes: 100_000_000,
  /** Tensors of one file: each becomes an object here; the largest released model has 947. */
  tensors: 100_000,
  /** Dimensions of a tensor: nothing here has more than 5. */
  rank: 16,
  /** Characters of a tensor's name: names are repeated in messages and graphs. */
  nameLength: 1024,
  /** Bytes of a `*.index.json`. */
  indexBytes: 100_000_000,
  /** Bytes of an `adapter_config.json`. */
  adapterConfigBytes: 10_000_000,
  /** Files of one sharded checkpoint: each is opened. */
  shards: 10_000,
  /** Files of a folder that are listed: a model folder has some dozens, a home folder should not be walked. */
  folderFiles: 10_000,
  /** Bytes read at once where a tensor is read or copied in pieces. */
  pieceBytes: 67_108_864,
  /** Bytes that a compressed array may inflate to: it is inflated whole. */
  inflatedBytes: 1_073_741_824,
  /** Tensors named one by one in an error. */
  listed: 20,
} as const;
