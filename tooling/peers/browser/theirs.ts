import { LogLevel, PaliGemmaForConditionalGeneration, Tensor, env } from "@huggingface/transformers";
import { pixels } from "./request.ts";

env.allowRemoteModels = false;
env.allowLocalModels = true;
env.localModelPath = "/";
env.useBrowserCache = false;
env.useWasmCache = false;
env.logLevel = LogLevel.NONE;
env.backends.onnx.wasm!.wasmPaths = {
  mjs: new URL("/runtime/ort-wasm-simd-threaded.asyncify.mjs", location.href).href,
  wasm: new URL("/runtime/ort-wasm-simd-threaded.asyncify.wasm", location.href).href,
};

window.load = async ({ model: folder, dtype, inputIds, imageSize }) => {
  const model = await PaliGemmaForConditionalGeneration.from_pretrained(folder.replace(/^\/|\/$/g, ""), {
    device: "webgpu",
    dtype: dtype as "fp32",
    local_files_only: true,
  });
  const shape = [1, inputIds.length];
  const inputs = {
    input_ids: new Tensor("int64", BigInt64Array.from(inputIds, BigInt), shape),
    attention_mask: new Tensor(
      "int64",
      BigInt64Array.from(inputIds, () => 1n),
      shape,
    ),
    pixel_values: new Tensor("float32", pixels(imageSize), [1, 3, imageSize, imageSize]),
  };
  window.once = async (tokens) => {
    const times: number[] = [];
    const streamer = { put: () => void times.push(performance.now()), end: () => undefined };
    const begun = performance.now();
    const made = (await model.generate({
      ...inputs,
      max_new_tokens: tokens,
      do_sample: false,
      streamer,
    } as never)) as Tensor;
    const ids = Array.from(made.data as BigInt64Array, Number).slice(inputIds.length);
    // The first call hands over the prompt.
    const own = times.slice(1);
    return { prefill: own[0]! - begun, steps: own.slice(1).map((time, i) => time - own[i]!), ids };
  };
};
