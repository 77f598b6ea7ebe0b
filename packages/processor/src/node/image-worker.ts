import { parentPort, workerData } from "node:worker_threads";
import type { DecodeImageOptions } from "../decode-options.ts";
import type { ImageLike } from "../image.ts";
import { preprocessImages } from "../pixels.ts";
import type { PreprocessorConfig } from "../preprocessor-config.ts";
import { decodeImage } from "./decode-image.ts";
import type { ImageSource } from "./read-source.ts";

/** What the worker is started with. */
export interface WorkerSettings {
  readonly config: PreprocessorConfig;
  readonly decode: DecodeImageOptions;
}

/** What the worker answers to each picture, in order: its size, its numbers and their shape, or why there are none. */
export type WorkerAnswer =
  | { readonly width: number; readonly height: number; readonly shape: readonly number[]; readonly data: Float32Array }
  | { readonly code: string | undefined; readonly message: string };

const { config, decode } = workerData as WorkerSettings;

parentPort?.on("message", (picture: ImageSource | ImageLike) => {
  void answer(picture).then((reply) => {
    parentPort?.postMessage(reply, "data" in reply ? [reply.data.buffer as ArrayBuffer] : []);
  });
});

async function answer(picture: ImageSource | ImageLike): Promise<WorkerAnswer> {
  try {
    const image = typeof picture === "object" && "channels" in picture ? picture : await decodeImage(picture, decode);
    const { shape, data } = preprocessImages([image], config);
    return { width: image.width, height: image.height, shape, data };
  } catch (error) {
    const { code, message } = error as Error & { code?: string };
    return { code, message };
  }
}
