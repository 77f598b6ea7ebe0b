import { createWebGpuBackend } from "@paligemma/backend-webgpu";
import { parseConfig } from "@paligemma/config";
import { ndArray } from "@paligemma/core";
import { openSafetensors, urlSource } from "@paligemma/weights";
import { createModel } from "paligemma";
import { pixels } from "./request.ts";

window.load = async ({ model: folder, inputIds, imageSize }) => {
  const config = parseConfig(await (await fetch(`${folder}config.json`)).json());
  const checkpoint = await openSafetensors(await urlSource(new URL(`${folder}model.safetensors`, location.href)));
  const backend = await createWebGpuBackend();
  const model = await createModel({ config, checkpoint, backend });
  const inputs = {
    pixelValues: ndArray("float32", [1, 3, imageSize, imageSize], pixels(imageSize)),
    inputIds: ndArray("int64", [1, inputIds.length], BigInt64Array.from(inputIds, BigInt)),
  };
  window.once = async (tokens) => {
    const times = [performance.now()];
    const ids: number[] = [];
    using state = await model.start(inputs, { expectedTokens: tokens });
    while (ids.length < tokens && !config.eosTokenIds.includes(ids.at(-1)!)) {
      const [[id]] = (await state.advanceGreedy(1, [])) as [[number]];
      ids.push(id);
      times.push(performance.now());
    }
    const steps = times.slice(1).map((time, i) => time - times[i]!);
    return { prefill: steps[0]!, steps: steps.slice(1), ids };
  };
};
