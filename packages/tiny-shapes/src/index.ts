/**
 * The folder of the model, ending in "/": a `file:` URL in Node (`fileURLToPath(folder)` is its path), an address to
 * fetch from in a browser whose bundler keeps `new URL(…, import.meta.url)`, as Vite does.
 */
export const folder: URL = new URL("../model/", import.meta.url);

/** The files in `folder`, so that a browser, which cannot list it, knows what to fetch. */
export const files: readonly string[] = [
  "config.json",
  "generation_config.json",
  "mask-codec.safetensors",
  "model.safetensors",
  "preprocessor_config.json",
  "self-check.json",
  "tokenizer.json",
  "tokenizer_config.json",
];
