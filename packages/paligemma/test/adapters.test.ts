import { readdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Backend } from "@paligemma/backend";
import { createNodeBackend } from "@paligemma/backend-node";
import {
  canonicalNames,
  checkpointOf,
  mergeAdapter,
  openAdapter,
  openSafetensors,
  type Adapter,
} from "@paligemma/weights";
import { fileSource, folderFiles } from "@paligemma/weights/node";
import { writeExport } from "@paligemma/onnx/node";
import { createModel, type CheckpointModel } from "paligemma";
import { loadPaliGemma } from "paligemma/node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TOLERANCES } from "../../../tooling/tolerances.ts";
import { INPUTS, NAMES, farthest, int64, openTiny, pixels, type Tiny } from "./hf-tiny.ts";

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
  expect(farthest(logits.data, data as Float32Array)).toBeLessThan(TOLERANCES["hf-tiny/logits"]);
});

const inputs = { inputIds: int64(INPUTS.A), pixelValues: pixels(1) };
const open = async (name: string): Promise<Adapter> => openAdapter(await folderFiles(new URL(`${name}/`, FIXTURES)));

/** Largest difference between the model's logits and transformers' with this adapter kept apart by PEFT, or without it. */
async function difference(model: CheckpointModel, name: string, which: "apart" | "base"): Promise<number> {
  const expected = await openSafetensors(await fileSource(new URL(`${name}/expected.safetensors`, FIXTURES)));
  const { data } = await expected.read(`logits.${which}`);
  const { logits } = await model.forward(inputs);
  return farthest(logits.data, data as Float32Array);
}

/** The backend, counting what it is asked to make. */
function counting(): { readonly backend: Backend; readonly made: { sessions: number; uploads: number } } {
  const made = { sessions: 0, uploads: 0 };
  const counted: Backend = {
    name: backend.name,
    target: backend.target,
    compile: (...args) => ((made.sessions += 1), backend.compile(...args)),
    upload: (...args) => ((made.uploads += 1), backend.upload(...args)),
    allocate: (...args) => backend.allocate(...args),
    download: (...args) => backend.download(...args),
    copy: (...args) => backend.copy(...args),
    dispose: () => backend.dispose(),
    [Symbol.asyncDispose]: () => backend.dispose(),
  };
  return { backend: counted, made };
}

/** The checkpoint, counting how often its bytes are read. */
function countingReads({ checkpoint }: Tiny): {
  readonly checkpoint: Tiny["checkpoint"];
  readonly reads: () => number;
} {
  let reads = 0;
  const refs = [...checkpoint.tensors.values()].map((ref) => {
    const { path: _, ...source } = ref.source;
    const read: typeof ref.source.read = (...args) => ((reads += 1), ref.source.read(...args));
    return { ...ref, source: { ...source, name: ref.source.name, size: ref.source.size, read } };
  });
  return { checkpoint: checkpointOf(refs), reads: () => reads };
}

describe("adapters kept apart", () => {
  it.each(NAMES.slice(0, 2))(
    "of %s are swapped and reload nothing; logits are transformers', and the base's without",
    async (base) => {
      const all = await Promise.all(cases.map(open));
      const own = Object.fromEntries(
        all.flatMap((adapter, i) => (adapter.config.baseModel === base ? [[cases[i]!, adapter]] : [])),
      );
      expect(Object.keys(own).length).toBeGreaterThan(2);
      const tiny = await openTiny(base);
      const { checkpoint, reads } = countingReads(tiny);
      const counted = counting();
      await using model = await createModel({
        config: tiny.config,
        checkpoint,
        backend: counted.backend,
        adapters: own,
      });
      expect(model.adapters.names.toSorted()).toEqual(Object.keys(own).toSorted());
      const before = { ...counted.made, reads: reads() };
      expect(before.sessions).toBe(2);
      const names = Object.keys(own);
      for (const name of [...names, ...names.toReversed()]) {
        model.adapters.use(name);
        expect(model.adapters.used).toBe(name);
        expect(await difference(model, name, "apart")).toBeLessThan(TOLERANCES["hf-tiny/logits"]);
        model.adapters.use(null);
        expect(await difference(model, name, "base")).toBeLessThan(TOLERANCES["hf-tiny/logits"]);
      }
      expect({ ...counted.made, reads: reads() }).toEqual(before);
    },
  );

  it.each(cases)("%s alone, and beside its absence", async (name) => {
    const adapter = await open(name);
    const { config, checkpoint } = await openTiny(
      NAMES.find((tiny) => tiny === adapter.config.baseModel) ?? "pg1-tiny",
    );
    await using model = await createModel({ config, checkpoint, backend, adapters: { it: adapter } });
    expect(await difference(model, name, "base")).toBeLessThan(TOLERANCES["hf-tiny/logits"]);
    model.adapters.use("it");
    expect(await difference(model, name, "apart")).toBeLessThan(TOLERANCES["hf-tiny/logits"]);
    model.adapters.remove("it");
    expect(model.adapters.used).toBe(null);
    expect(await difference(model, name, "base")).toBeLessThan(TOLERANCES["hf-tiny/logits"]);
  });

  it("takes in others that change no more, and refuses those that do", async () => {
    const { config, checkpoint } = await openTiny("pg2-tiny");
    const [wide, dora] = [await open("all-linear-rslora"), await open("dora")];
    await using model = await createModel({ config, checkpoint, backend, adapters: { wide } });
    await model.adapters.add("again", wide);
    model.adapters.use("again");
    expect(await difference(model, "all-linear-rslora", "apart")).toBeLessThan(TOLERANCES["hf-tiny/logits"]);
    await expect(model.adapters.add("dora", dora)).rejects.toMatchObject({
      code: "paligemma/adapter",
      message: expect.stringContaining("for which no place was made"),
    });
    await expect(model.adapters.add("wide", wide)).rejects.toMatchObject({ code: "paligemma/adapter" });
    expect(() => model.adapters.use("wyde")).toThrow("is wide meant?");
  });

  it("are opened and swapped by loadPaliGemma, and refused for exports", async () => {
    const folder = fileURLToPath(new URL("fixtures/hf-tiny/pg1-tiny", import.meta.url));
    const adapters = { one: await folderFiles(new URL("text-q-v/", FIXTURES)) };
    await using model = await loadPaliGemma(folder, { backend, adapters });
    const base = await model.generateIds(inputs);
    model.adapters.use("one");
    const own = await model.generateIds(inputs);
    model.adapters.use(null);
    expect(await model.generateIds(inputs)).toEqual(base);
    expect(own).not.toEqual(base);

    const exported = await mkdtemp(join(tmpdir(), "paligemma-adapters-"));
    const { config, checkpoint } = await openTiny("pg1-tiny");
    await writeExport(exported, { config, checkpoint });
    await expect(loadPaliGemma(exported, { backend, adapters })).rejects.toMatchObject({ code: "paligemma/option" });
    await using plain = await loadPaliGemma(exported, { backend });
    expect(() => plain.adapters).toThrow("an ONNX export has no adapters");
    await rm(exported, { recursive: true });
  });

  it("an answer keeps the adapter that it began with", async () => {
    const { config, checkpoint } = await openTiny("pg1-tiny");
    const adapters = { one: await open("text-q-v") };
    await using model = await createModel({ config, checkpoint, backend, adapters });
    const write = async (swap: boolean): Promise<readonly number[]> => {
      model.adapters.use("one");
      using state = await model.start(inputs);
      if (swap) model.adapters.use(null);
      for (const token of [20, 21, 22]) await state.advance([token]);
      return [...(await state.logits()).data];
    };
    expect(await write(true)).toEqual(await write(false));
  });
});
