import { createHash, randomUUID } from "node:crypto";
import { mkdir, open, readFile, readdir, rename, rm, stat, statfs, writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import { PaliGemmaError, bytesFor, sizeOf, type DType } from "@paligemma/core";
import type { GraphModel } from "@paligemma/graph";
import { RUNTIME_VERSION } from "./runtime-version.ts";
import type { Encoded } from "./weight-files.ts";

// An entry is a folder: the graph with its weights already in float32, as the runtime writes it, and what was written.
const MODEL = "model.onnx";
const WEIGHTS = "weights.bin";
const MANIFEST = "entry.json";
/** Counted up when entries change. */
const FORMAT = 1;
/** Smaller tensors stay in the graph itself. */
const SMALLEST_OUTSIDE = 1024;

/** Files of an entry and their sizes in bytes. */
interface Manifest {
  readonly files: Readonly<Record<string, number>>;
}

/**
 * True where compiling converts weights and keeping the result is sound: half-precision weights in files, whose identity is
 * known without reading them, and none elsewhere. Quantised matrices are ready as they lie, or packed anew at each load, cached or not.
 */
export function isCacheable(model: GraphModel): boolean {
  if (model.nodes.some(({ op }) => op === "MatMulNBits" || op.startsWith("MatMulInteger"))) return false;
  const refs = model.initializers.flatMap(({ ref }) => (ref ? [ref] : []));
  const cast = new Set(model.nodes.flatMap(({ op, inputs }) => (op === "Cast" ? [inputs[0]] : [])));
  // What rows are looked up in stays as it is, and a few vectors take no time.
  const converts = model.initializers.some(
    ({ name, dtype, shape, ref }) => ref && isHalf(dtype) && shape.length > 1 && cast.has(name),
  );
  return converts && refs.every(({ source }) => source.path !== undefined);
}

/** Name of the entry for a graph over files as they are now, compiled by this runtime on this kind of processor. */
export function entryName({ bytes, files }: Encoded): string {
  const circumstances = [FORMAT, RUNTIME_VERSION, process.platform, process.arch, cpus()[0]?.model, files];
  return createHash("sha256").update(JSON.stringify(circumstances)).update(bytes).digest("hex").slice(0, 32);
}

/** Path of the model of an entry that is whole; undefined where there is none. */
export async function cachedModel(folder: string, name: string): Promise<string | undefined> {
  const entry = join(folder, name);
  try {
    const { files } = JSON.parse(await readFile(join(entry, MANIFEST), "utf8")) as Manifest;
    for (const [file, size] of Object.entries(files))
      if ((await stat(join(entry, file))).size !== size) return undefined;
  } catch {
    return undefined;
  }
  return join(entry, MODEL);
}

/** An entry being written, under a name of its own until it is whole. */
export interface EntryWriter {
  /** Session options that make the runtime write it. */
  readonly options: { readonly optimizedModelFilePath: string; readonly session: Readonly<Record<string, string>> };
  /** Gives the entry its name; afterwards `cachedModel` finds it. */
  finish(): Promise<void>;
  /** Removes what was written. */
  abandon(): Promise<void>;
}

/** Begins an entry. Throws `backend/cache` where the folder cannot be written to or has too little room. */
export async function writeEntry(folder: string, name: string, model: GraphModel): Promise<EntryWriter> {
  const partial = join(folder, `${name}.${randomUUID()}.partial`);
  await mkdir(partial, { recursive: true }).catch((cause: unknown) => {
    throw new PaliGemmaError(
      "backend/cache",
      `cacheFolder ${folder} cannot be written to: ${(cause as Error).message}`,
      { cause },
    );
  });
  const abandon = (): Promise<void> => rm(partial, { recursive: true, force: true });
  const [needed, room] = [bytesNeeded(model), await bytesFree(folder)];
  if (room < needed) {
    await abandon();
    throw new PaliGemmaError(
      "backend/cache",
      `cacheFolder ${folder} has room for ${room} bytes, the weights of ${model.name} in float32 are ${needed}; make room, choose another folder, or leave the option out`,
    );
  }
  return {
    options: {
      optimizedModelFilePath: join(partial, MODEL),
      session: {
        optimized_model_external_initializers_file_name: WEIGHTS,
        optimized_model_external_initializers_min_size_in_bytes: String(SMALLEST_OUTSIDE),
      },
    },
    async finish() {
      const files: Record<string, number> = {};
      for (const file of await readdir(partial)) files[file] = await flushed(join(partial, file));
      await writeFile(join(partial, MANIFEST), JSON.stringify({ files } satisfies Manifest), { flush: true });
      await settle(partial, folder, name);
    },
    abandon,
  };
}

/** Gives a whole entry its name. One that is there already is kept if it is whole, else moved away. */
async function settle(partial: string, folder: string, name: string): Promise<void> {
  const entry = join(folder, name);
  // A folder can take the name of another only if that is empty, so nobody's whole entry is lost.
  const taken = await rename(partial, entry).then(
    () => false,
    () => true,
  );
  if (!taken) return;
  if ((await cachedModel(folder, name)) === undefined) {
    const broken = `${partial}.broken`;
    await rename(entry, broken);
    await rename(partial, entry);
    await rm(broken, { recursive: true, force: true });
  }
  await rm(partial, { recursive: true, force: true });
}

/** Size of a file whose bytes are on the disk. */
async function flushed(path: string): Promise<number> {
  await using file = await open(path, "r+");
  await file.sync();
  return (await file.stat()).size;
}

/** True for the formats that become float32 when a graph is compiled. */
export function isHalf(dtype: DType): boolean {
  return dtype === "bfloat16" || dtype === "float16";
}

function bytesNeeded(model: GraphModel): number {
  return model.initializers.reduce(
    (sum, { dtype, shape }) => sum + bytesFor(isHalf(dtype) ? "float32" : dtype, sizeOf(shape)),
    0,
  );
}

async function bytesFree(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}
