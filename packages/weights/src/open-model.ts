import { PaliGemmaError } from "@paligemma/core";
import type { ByteSource } from "./byte-source.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { LIMITS } from "./limits.ts";
import type { ModelFiles } from "./model-files.ts";
import { fromBigVision, type FromBigVisionOptions } from "./npz/from-big-vision.ts";
import { openNpz } from "./npz/open.ts";
import { openSafetensors } from "./safetensors/open.ts";
import { joinSources } from "./sources.ts";
import { isObject, parseStrictJson } from "./strict-json.ts";

const SINGLE = "model.safetensors";
const INDEX = "model.safetensors.index.json";

/** How to open a model. */
export interface OpenModelOptions extends FromBigVisionOptions {
  readonly signal?: AbortSignal;
}

/**
 * The weights among these files: `model.safetensors`, or the shards that `model.safetensors.index.json` lists, or the only
 * `.safetensors` there is, or big_vision's `.npz` (whole or in `.part*`) under released names. Reads headers only. Throws `weights/no-file` where there are none.
 */
export async function openModel(files: ModelFiles, options: OpenModelOptions = {}): Promise<Checkpoint> {
  const { signal } = options;
  if (files.paths.has(SINGLE)) return openSafetensors(await files.open(SINGLE, signal), options);
  if (files.paths.has(INDEX)) return openSharded(files, signal);
  const others = [...files.paths].filter((path) => /^[^/]+\.safetensors$/.test(path) && !path.startsWith("adapter_"));
  if (others.length === 1) return openSafetensors(await files.open(others[0]!, signal), options);
  const npz = others.length === 0 ? npzPaths(files) : [];
  if (npz.length > 0) {
    const parts = await openAll(files, npz, signal);
    return fromBigVision(await openNpz(parts.length === 1 ? parts[0]! : joinSources(parts), options), options);
  }
  throw new PaliGemmaError("weights/no-file", noWeights(files, others));
}

/** Paths of the weight files that `openModel` would read, index included: what to download of a repository. */
export async function weightPaths(files: ModelFiles, signal?: AbortSignal): Promise<readonly string[]> {
  if (files.paths.has(SINGLE)) return [SINGLE];
  if (files.paths.has(INDEX)) return [INDEX, ...new Set((await readIndex(files, signal)).values())];
  const safetensors = [...files.paths].filter(
    (path) => /^[^/]+\.safetensors$/.test(path) && !path.startsWith("adapter_"),
  );
  return safetensors.length > 0 ? safetensors : npzPaths(files);
}

/** The one `.npz`, or the `.npz.part*` that it was cut into, in their order: `.part10` comes after `.part9`. */
function npzPaths(files: ModelFiles): readonly string[] {
  const whole = [...files.paths].filter((path) => /^[^/]+\.npz$/.test(path));
  const parts = [...files.paths].filter((path) => /^[^/]+\.npz\.part[^/]*$/.test(path));
  const names = new Set(parts.map((path) => path.slice(0, path.lastIndexOf(".part"))));
  if (whole.length + names.size !== 1) return [];
  return whole.length === 1 ? whole : parts.toSorted((a, b) => a.localeCompare(b, "en", { numeric: true }));
}

async function openSharded(files: ModelFiles, signal: AbortSignal | undefined): Promise<Checkpoint> {
  const index = await readIndex(files, signal);
  const shards = [...new Set(index.values())];
  const sources = await openAll(files, shards, signal);
  const checkpoint = await openSafetensors(sources, signal ? { signal } : {});
  const home = new Map(sources.map((source, i) => [source, shards[i]!]));
  const astray = [...index].filter(([name, path]) => {
    const ref = checkpoint.tensors.get(name);
    return ref === undefined || home.get(ref.source) !== path;
  });
  if (astray.length === 0) return checkpoint;
  const shown = astray.slice(0, LIMITS.listed).map(([name, path]) => `  ${name} is not in ${path}`);
  throw new PaliGemmaError(
    "weights/index",
    `${INDEX} of ${files.name} does not describe its files (${astray.length} wrong); download it again:\n${shown.join("\n")}`,
  );
}

/** All files at once, which may download them. Where one fails the others are aborted, and have stopped when it is told. */
async function openAll(
  files: ModelFiles,
  paths: readonly string[],
  signal: AbortSignal | undefined,
): Promise<readonly ByteSource[]> {
  const failed = new AbortController();
  const either = signal ? AbortSignal.any([signal, failed.signal]) : failed.signal;
  const opening = paths.map((path) => files.open(path, either));
  try {
    return await Promise.all(opening);
  } catch (error) {
    failed.abort(error);
    await Promise.allSettled(opening);
    throw error;
  }
}

/** Tensor → file of an index. */
async function readIndex(files: ModelFiles, signal: AbortSignal | undefined): Promise<ReadonlyMap<string, string>> {
  const source = await files.open(INDEX, signal);
  if (source.size > LIMITS.indexBytes)
    throw new PaliGemmaError(
      "weights/limit",
      `${source.name} has ${source.size} bytes, at most ${LIMITS.indexBytes} are read`,
    );
  const { weight_map: map } = parseStrictJson(await source.read(0, source.size, signal), source.name, "weights/index");
  if (!isObject(map) || Object.keys(map).length === 0)
    throw new PaliGemmaError("weights/index", `${source.name} has no weight_map of tensors and files`);
  const index = new Map<string, string>();
  for (const [name, path] of Object.entries(map)) {
    // A name with a slash could lead out of the folder, and no released index has one.
    if (typeof path !== "string" || !/^[^/\\]+\.safetensors$/.test(path)) {
      throw new PaliGemmaError(
        "weights/index",
        `${source.name} places ${name} in ${JSON.stringify(path)?.slice(0, 80)}; allowed is a .safetensors file beside it`,
      );
    }
    index.set(name, path);
  }
  const shards = new Set(index.values()).size;
  if (shards > LIMITS.shards)
    throw new PaliGemmaError(
      "weights/limit",
      `${source.name} lists ${shards} files, at most ${LIMITS.shards} are opened`,
    );
  return index;
}

function noWeights(files: ModelFiles, safetensors: readonly string[]): string {
  const there = [...files.paths];
  if (safetensors.length > 1)
    return `${files.name} has several .safetensors and no index: ${safetensors.slice(0, LIMITS.listed).join(", ")}; open one of them by name`;
  if (there.some((path) => path.startsWith("adapter_model.")))
    return `${files.name} is an adapter: open the model it was trained on, and apply the adapter to it`;
  if (there.some((path) => /\.(?:bin|pt|pth|ckpt|h5)$/.test(path)))
    return `${files.name} has weights only as a pickle or HDF5, which are not read; convert them to safetensors`;
  return `${files.name} has no .safetensors; it has ${there.length === 0 ? "no files" : there.slice(0, LIMITS.listed).join(", ")}`;
}
