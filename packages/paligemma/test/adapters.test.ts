import { readdirSync } from "node:fs";
import type { Backend } from "@paligemma/backend";
import { createNodeBackend } from "@paligemma/backend-node";
import { canonicalNames, mergeAdapter, openAdapter, openSafetensors } from "@paligemma/weights";
import { fileSource, folderFiles } from "@paligemma/weights/node";
import { createModel } from "paligemma";
import { afterAll, beforeAll, expect, it } from "vitest";
import { TOLERANCES } from "../../../tooling/tolerances.ts";
import { INPUTS, NAMES, int64, openTiny, pixels } from "./hf-tiny.ts";

const FIXTURES = new URL("../../../tooling/fixtures/adapters/", import.meta.url);
const cases = readdirSync(FIXTURES, { withFileTypes: true }).flatMap((entry) =>
  entry.isDirectory() ? [entry.name] : [],
);

let backend: Backend;
beforeAll(async () => {
  backend = await createNodeBackend();
});
afterAll(() => backend.dispose());

// PEFT keeps adapters of tied tables apart rightly and merges them wrongly (it says so): `logits.apart` is what is right.
it.each(cases)("with the adapter %s merged, logits are transformers' with it kept apart", async (name) => {
  const adapter = await openAdapter(await folderFiles(new URL(`${name}/`, FIXTURES)));
  const base = NAMES.find((tiny) => tiny === adapter.config.baseModel) ?? "pg1-tiny";
  const { config, checkpoint } = await openTiny(base);
  const { checkpoint: merged, untied } = mergeAdapter(canonicalNames(checkpoint), adapter);
  const text = untied ? { ...config.text, tieWordEmbeddings: false } : config.text;
  await using model = await createModel({ config: { ...config, text }, checkpoint: merged, backend });
  const { logits } = await model.forward({ inputIds: int64(INPUTS.A), pixelValues: pixels(1) });
  const expected = await openSafetensors(await fileSource(new URL(`${name}/expected.safetensors`, FIXTURES)));
  const { data } = await expected.read("logits.apart");
  const most = logits.data.reduce((largest, x, i) => Math.max(largest, Math.abs(x - Number(data[i]))), 0);
  expect(most).toBeLessThan(TOLERANCES["hf-tiny/logits"]);
});
