import { randomUUID } from "node:crypto";
import { mkdir, open, readdir, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { configToJson, formatConfig, type PaliGemmaConfig } from "@paligemma/config";
import { PaliGemmaError, type OnProgress } from "@paligemma/core";
import { encodeOnnx, type ExternalLocation, type GraphModel } from "@paligemma/graph";
import { castTensor, checkpointOf, tensorPieces, type Checkpoint, type TensorRef } from "@paligemma/weights";
import { exportGraphs } from "../export-graphs.ts";
import { PARTS, dataPath, partPath, type ExportDType, type Part } from "../layout.ts";

/** What to write. */
export interface WriteExportOptions {
  readonly config: PaliGemmaConfig;
  /** Any PaliGemma checkpoint; a quantised one stays as it is packed. */
  readonly checkpoint: Checkpoint;
  /** `config.json` as it was, whose other fields are kept. */
  readonly configJson?: Readonly<Record<string, unknown>>;
  /** Precision of what is not quantised. Default "float32". */
  readonly dtype?: "float32" | "float16";
  /** Bytes of a file of weights at most, unless one tensor alone has more. Default 1.9 GB: a browser's longest buffer has 2. */
  readonly maxFileBytes?: number;
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
}

/** What was written. */
export interface Export {
  /** What transformers.js calls the precision. */
  readonly dtype: ExportDType;
  /** Files of the folder, relative to it. */
  readonly files: readonly string[];
  readonly tensors: number;
  /** Of all tensors; the token table is in two of the files. */
  readonly bytes: number;
}

const MAX_FILE_BYTES = 1.9e9;
/** Mappings begin at pages. */
const ALIGNMENT = 4096;

/** A file of weights beside a model. */
interface DataFile {
  readonly name: string;
  readonly entries: { readonly ref: TensorRef; readonly offset: number }[];
  size: number;
}

/**
 * Writes the folder that transformers.js 4.3 loads: `onnx/*.onnx`, their weights in `onnx/*.onnx_data` and `config.json`,
 * which says what is where. Tokenizer and preprocessor are the caller's to add. Weights are copied piece by piece. The
 * folder appears when it is complete; throws `onnx/exists` where it has files already.
 */
export async function writeExport(folder: string, options: WriteExportOptions): Promise<Export> {
  const { config, maxFileBytes = MAX_FILE_BYTES, signal } = options;
  const path = resolve(folder);
  await mustBeFree(path);
  const { checkpoint, dtype } = storedAs(options.checkpoint, options.dtype ?? "float32");
  const graphs = exportGraphs(config, checkpoint);
  const plans = PARTS.map((part) => plan(graphs[part], partPath(part, dtype), maxFileBytes));
  const total = plans.flatMap(({ data }) => data).reduce((sum, { size }) => sum + size, 0);
  let done = 0;
  const onPiece = (bytes: number): void => {
    done += bytes;
    options.onProgress?.({ task: `write ${basename(path)}`, done, total, unit: "bytes" });
  };

  const partial = join(dirname(path), `.${basename(path)}.${randomUUID()}.partial`);
  await mkdir(join(partial, "onnx"), { recursive: true });
  try {
    for (const { model, bytes, data } of plans) {
      for (const file of data) await writeData(join(partial, "onnx", file.name), file, onPiece, signal);
      await writeFile(join(partial, model), bytes, { flush: true });
    }
    const json = exportConfig(config, options.configJson, dtype, Object.fromEntries(plans.map(chunksOf)));
    await writeFile(join(partial, "config.json"), formatConfig(json), { flush: true });
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    throw error;
  }
  const entries = plans.flatMap(({ data }) => data.flatMap((file) => file.entries));
  return {
    dtype,
    files: ["config.json", ...plans.flatMap(({ model, data }) => [model, ...data.map(({ name }) => `onnx/${name}`)])],
    tensors: entries.length,
    bytes: entries.reduce((sum, { ref }) => sum + ref.end - ref.start, 0),
  };
}

interface Plan {
  readonly part: Part;
  readonly model: string;
  readonly bytes: Uint8Array;
  readonly data: readonly DataFile[];
}

/** Gives every tensor of a graph its place in the files beside it. */
function plan(graph: GraphModel, model: string, maxFileBytes: number): Plan {
  const files: DataFile[] = [];
  const places = new Map<TensorRef, ExternalLocation>();
  for (const { ref } of graph.initializers) {
    if (!ref || places.has(ref)) continue;
    const length = ref.end - ref.start;
    const last = files.at(-1);
    const offset = last ? Math.ceil(last.size / ALIGNMENT) * ALIGNMENT : 0;
    const fits = last && offset + length <= maxFileBytes;
    const file = fits ? last : { name: dataPath(basename(model), files.length), entries: [], size: 0 };
    if (!fits) files.push(file);
    const place = { location: file.name, offset: fits ? offset : 0, length };
    file.entries.push({ ref, offset: place.offset });
    file.size = place.offset + length;
    places.set(ref, place);
  }
  const { bytes } = encodeOnnx(graph, (ref) => places.get(ref)!);
  return { part: graph.name as Part, model, bytes, data: files };
}

async function writeData(
  path: string,
  { entries }: DataFile,
  onPiece: (bytes: number) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  await using file = await open(path, "wx");
  for (const { ref, offset } of entries) {
    let at = offset;
    for await (const piece of tensorPieces(ref, signal)) {
      signal?.throwIfAborted();
      for (let from = 0; from < piece.byteLength;) {
        const { bytesWritten } = await file.write(piece, from, piece.byteLength - from, at + from);
        from += bytesWritten;
      }
      at += piece.byteLength;
      onPiece(piece.byteLength);
    }
  }
  await file.sync();
}

const FLOATS = new Set(["float32", "float16", "bfloat16", "float64"]);

/** The checkpoint in a precision that every provider reads; quantised matrices and their scales stay. */
function storedAs(
  checkpoint: Checkpoint,
  dtype: "float32" | "float16",
): { readonly checkpoint: Checkpoint; readonly dtype: ExportDType } {
  const refs = [...checkpoint.tensors.values()];
  const packed = (bits: number): boolean => refs.some(({ name }) => name.endsWith(`.int${bits}`));
  const float = { float32: "fp32", float16: "fp16" } as const;
  return {
    dtype: packed(4) ? "q4" : packed(8) ? "q8" : float[dtype],
    checkpoint: checkpointOf(
      refs.map((ref) => (FLOATS.has(ref.dtype) && !ref.name.endsWith(".scales") ? castTensor(ref, dtype) : ref)),
      checkpoint.metadata,
    ),
  };
}

function chunksOf({ model, data }: Plan): readonly [string, number] {
  return [basename(model), data.length];
}

function exportConfig(
  config: PaliGemmaConfig,
  given: Readonly<Record<string, unknown>> = {},
  dtype: ExportDType,
  chunks: Readonly<Record<string, number>>,
): Readonly<Record<string, unknown>> {
  const own = configToJson(config);
  const inner = (key: string): object => ({ ...(own[key] as object), ...(given[key] as object | undefined) });
  return {
    ...own,
    ...given,
    tie_word_embeddings: config.text.tieWordEmbeddings,
    text_config: inner("text_config"),
    vision_config: inner("vision_config"),
    "transformers.js_config": { dtype, use_external_data_format: chunks },
  };
}

/** An empty folder may be taken: renaming replaces it. */
async function mustBeFree(path: string): Promise<void> {
  const there = await readdir(path).catch((error: NodeJS.ErrnoException) => (error.code === "ENOENT" ? [] : ["it"]));
  if (there.length === 0) return;
  throw new PaliGemmaError("onnx/exists", `${path} is there already and is not replaced; name another folder`);
}
