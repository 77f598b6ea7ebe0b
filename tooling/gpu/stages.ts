import type { WebGpuBackend } from "@paligemma/backend-webgpu";
import type { PaliGemmaConfig } from "@paligemma/config";
import { ndArray, type NdArray } from "@paligemma/core";
import type { Checkpoint } from "@paligemma/weights";
import { createModel } from "paligemma";

const WORDS = [2, 10, 11, 12, 108];

/**
 * Takes a checkpoint of full size through everything that an answer needs, from the easiest to the hardest, and says after each
 * stage what it took, a line of JSON with `more`: so that what stops it can be seen.
 */
export async function walkStages(
  backend: WebGpuBackend,
  config: PaliGemmaConfig,
  checkpoint: Checkpoint,
  more: () => object = () => ({}),
): Promise<void> {
  let since = performance.now();
  async function tell(stage: string): Promise<void> {
    const { bufferBytesNow, bufferBytesPeak, bytesToDevice, stagingBytesPeak, wasmHeapBytes } = await backend.stats();
    const seconds = Math.round(performance.now() - since) / 1000;
    const stats = { bufferBytesNow, bufferBytesPeak, bytesToDevice, stagingBytesPeak, wasmHeapBytes };
    console.log(JSON.stringify({ stage, seconds, ...more(), ...stats }));
    since = performance.now();
  }
  const model = await createModel({ config, checkpoint, backend });
  await tell("load and compile");

  const text = await model.start({ inputIds: row(WORDS) }, { expectedTokens: 8 });
  await tell("prompt of 5 tokens, no picture");
  for (let i = 0; i < 3; i++) {
    await text.advanceGreedy(1, []);
    await tell(i === 0 ? "its first token (chosen already)" : "one more token");
  }
  text.dispose();

  const { imageSize } = config.vision;
  const pixels = Float32Array.from({ length: 3 * imageSize ** 2 }, (_, i) => Math.sin(i * 0.37) * 0.9);
  const picture = ndArray("float32", [1, 3, imageSize, imageSize], pixels);
  (await model.encodeImages(picture)).dispose();
  await tell("one picture through SigLIP");
  const ids = [...Array.from({ length: config.numImageTokens }, () => config.imageTokenIndex), ...WORDS];
  const whole = await model.start({ pixelValues: picture, inputIds: row(ids) }, { expectedTokens: 8 });
  await tell(`picture and prompt of ${ids.length} tokens`);
  await whole.advanceGreedy(2, []);
  await tell("a token after it");
}

function row(ids: readonly number[]): NdArray<"int64"> {
  return ndArray("int64", [1, ids.length], BigInt64Array.from(ids, BigInt));
}
