import { memorySource, type ModelFiles } from "@paligemma/weights";

const NAMES = [
  "config.json",
  "model.safetensors",
  "preprocessor_config.json",
  "self-check.json",
  "tokenizer.json",
  "tokenizer_config.json",
];

/** The embedded model as a browser gets it from the tests' server. */
export async function embeddedFiles(): Promise<ModelFiles> {
  const read = async (name: string): Promise<Uint8Array> => {
    const response = await fetch(`/packages/tiny-shapes/model/${name}`);
    if (!response.ok) throw new Error(`${name}: ${response.status}`);
    return new Uint8Array(await response.arrayBuffer());
  };
  const sources = new Map(
    await Promise.all(NAMES.map(async (name) => [name, memorySource(await read(name), name)] as const)),
  );
  return {
    name: "tiny-shapes",
    paths: new Set(sources.keys()),
    open: (path) => Promise.resolve(sources.get(path)!),
  };
}
