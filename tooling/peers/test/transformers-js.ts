import {
  AutoProcessor,
  LogLevel,
  PaliGemmaForConditionalGeneration,
  RawImage,
  Tensor,
  env,
} from "@huggingface/transformers";
import type { NdArray } from "@paligemma/core";

env.allowRemoteModels = false;
env.logLevel = LogLevel.NONE;

/** Its options of `generate`, by its own names. */
export type PeerOptions = Readonly<Record<string, number>>;

/** transformers.js on the folder of an export, as its users run it. */
export interface Peer {
  /** New tokens that it writes greedily. */
  greedy(
    inputs: { readonly inputIds: NdArray<"int64">; readonly pixelValues: NdArray<"float32"> },
    options: PeerOptions,
  ): Promise<number[]>;
  /** The same from a picture and a prompt. */
  ask(
    picture: { readonly width: number; readonly height: number; readonly channels: 3; readonly data: Uint8Array },
    prompt: string,
    options: PeerOptions,
  ): Promise<number[]>;
  dispose(): Promise<void>;
}

/** Loads an export. Nothing is fetched: the folder has everything. */
export async function openPeer(folder: string): Promise<Peer> {
  const model = await PaliGemmaForConditionalGeneration.from_pretrained(folder, { local_files_only: true });

  async function generate(inputs: Record<string, Tensor>, options: PeerOptions): Promise<number[]> {
    const made = (await model.generate({ ...inputs, ...options, do_sample: false } as never)) as Tensor;
    return Array.from(made.data as BigInt64Array, Number).slice(inputs["input_ids"]!.dims[1]);
  }

  return {
    greedy({ inputIds, pixelValues }, options) {
      const shape = [...inputIds.shape];
      const inputs = {
        input_ids: new Tensor("int64", inputIds.data, shape),
        attention_mask: new Tensor(
          "int64",
          inputIds.data.map(() => 1n),
          shape,
        ),
        pixel_values: new Tensor("float32", pixelValues.data, [...pixelValues.shape]),
      };
      return generate(inputs, options);
    },
    async ask({ data, width, height, channels }, prompt, options) {
      const processor = await AutoProcessor.from_pretrained(folder, { local_files_only: true });
      const image = new RawImage(new Uint8ClampedArray(data), width, height, channels);
      return await generate((await processor(image, prompt)) as Record<string, Tensor>, options);
    },
    dispose: async () => void (await model.dispose()),
  };
}
