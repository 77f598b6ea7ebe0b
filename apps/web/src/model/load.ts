import { createWebGpuBackend, type WebGpuBackend } from "@paligemma/backend-webgpu";
import type { OnProgress } from "@paligemma/core";
import { loadMaskCodec, type MaskCodec } from "@paligemma/masks";
import { decodeImage, type BrowserImageSource } from "@paligemma/processor/browser";
import type { ModelFiles } from "@paligemma/weights";
import { loadPaliGemma, type PaliGemma } from "paligemma";
import { openChoice } from "./files.ts";
import type { LoadedModel, Machine, ModelChoice } from "./protocol.ts";

/** A model that answers, and what the page shows about it. */
export interface OpenModel {
  readonly about: LoadedModel;
  readonly model: PaliGemma<BrowserImageSource>;
  /** Undefined where the model came without one: there are no masks then. */
  readonly codec: () => Promise<MaskCodec | undefined>;
  /** Moves a number to the device and back; rejects where that is lost. */
  probe(): Promise<void>;
  dispose(): Promise<void>;
}

/** Names under which a mask codec lies beside the weights. */
const CODEC_FILES = ["mask-codec.safetensors", "vae-oid.npz"];

/** Loads a model onto a machine; everything that was begun is undone where it fails. */
export async function loadChoice(
  choice: ModelChoice,
  machine: Machine,
  options: { readonly onProgress: OnProgress; readonly signal: AbortSignal },
): Promise<OpenModel> {
  const { onProgress, signal } = options;
  const start = performance.now();
  let bytes = 0;
  const counting: OnProgress = (progress) => {
    if (progress.unit === "bytes") bytes = Math.max(bytes, progress.total ?? progress.done);
    onProgress(progress);
  };
  onProgress({ task: machine.device === "wasm" ? "start the processor" : "open the GPU", done: 0, unit: "items" });
  // The model may be read while the device is being opened.
  const [backend, files] = await both(
    createWebGpuBackend(machine),
    openChoice(choice, { onProgress: counting, signal }),
  );
  try {
    const model = await loadPaliGemma(files, {
      backend,
      decodeImage: (source: BrowserImageSource) => decodeImage(source),
      onProgress: counting,
      signal,
    });
    const codecFile = CODEC_FILES.find((name) => files.paths.has(name));
    const about: LoadedModel = {
      name: files.name,
      backend: backend.name,
      software: backend.name.includes("software"),
      imageSize: model.config.vision.imageSize,
      masks: codecFile !== undefined,
      seconds: (performance.now() - start) / 1000,
      bytes,
      heapBytes: (await backend.stats()).wasmHeapBytes,
    };
    async function dispose(): Promise<void> {
      await model.dispose();
      await backend.dispose();
    }
    async function probe(): Promise<void> {
      using tensor = await backend.upload({ dtype: "float32", shape: [1], data: Float32Array.of(1) });
      await backend.download(tensor);
    }
    return { about, model, codec: codecOf(files, codecFile), probe, dispose };
  } catch (error) {
    await backend.dispose();
    throw error;
  }
}

async function both(
  opening: Promise<WebGpuBackend>,
  reading: Promise<ModelFiles>,
): Promise<[WebGpuBackend, ModelFiles]> {
  const [backend, files] = await Promise.allSettled([opening, reading]);
  if (backend.status === "fulfilled" && files.status === "fulfilled") return [backend.value, files.value];
  if (backend.status === "fulfilled") await backend.value.dispose();
  // A machine that cannot do it is what there is to say, before a file that did not arrive.
  throw backend.status === "rejected" ? backend.reason : (files as PromiseRejectedResult).reason;
}

/** Reads the codec when it is first needed. */
function codecOf(files: ModelFiles, path: string | undefined): OpenModel["codec"] {
  let codec: Promise<MaskCodec> | undefined;
  return async () => {
    if (path === undefined) return undefined;
    codec ??= files
      .open(path)
      .then(async (source) => loadMaskCodec(await source.read(0, source.size), { sha256: null }))
      .catch((error: unknown) => {
        // What did not arrive may the next time.
        codec = undefined;
        throw error;
      });
    return await codec;
  };
}
