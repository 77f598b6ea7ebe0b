// A row to learn from, as Hugging Face's processor makes it. No runtime is installed or loaded for this.
import { readFile } from "node:fs/promises";
import { createProcessor } from "@paligemma/processor";
import { decodeImage } from "@paligemma/processor/node";
import { folder } from "@paligemma/tiny-shapes";

const read = async (name: string): Promise<unknown> => JSON.parse(await readFile(new URL(name, folder), "utf8"));
const processor = createProcessor({
  tokenizer: { tokenizerJson: await read("tokenizer.json"), tokenizerConfig: await read("tokenizer_config.json") },
  preprocessor: await read("preprocessor_config.json"),
  imageSeqLength: 64,
  decodeImage,
});

const picture = new URL("../../apps/cli/assets/demo.png", import.meta.url);
const { pixelValues, inputIds, labels } = await processor.process([
  { image: picture, prompt: "caption en", suffix: "an orange triangle" },
  { image: picture, prompt: "answer en is there a star?", suffix: "no" },
]);

console.log("pixels", pixelValues.shape.join(" × "));
console.log("ids", inputIds.shape.join(" × "));
const [rows = 0, tokens = 0] = inputIds.shape;
for (let row = 0; row < rows; row++) {
  const taught = [...labels!.data.subarray(row * tokens, (row + 1) * tokens)].filter((label) => label >= 0n);
  console.log(`row ${row} learns ${JSON.stringify(processor.decode(taught))}`);
}
