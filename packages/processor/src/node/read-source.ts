import { readFile, stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { PaliGemmaError } from "@paligemma/core";
import { checkEncodedSize, type DecodeSettings } from "../decode-options.ts";

/** An encoded image: its bytes, a Blob, the path of a file, or its `file:` URL. */
export type ImageSource = Uint8Array | ArrayBuffer | Blob | string | URL;

/** The bytes of a source, once their number is allowed; `name` is for errors. */
export async function readSource(
  source: ImageSource,
  settings: DecodeSettings,
): Promise<{ readonly bytes: Uint8Array; readonly name: string }> {
  if (source instanceof Uint8Array || source instanceof ArrayBuffer) {
    const bytes = source instanceof Uint8Array ? source : new Uint8Array(source);
    checkEncodedSize(bytes.length, settings, "the image");
    return { bytes, name: "the image" };
  }
  if (source instanceof Blob) {
    checkEncodedSize(source.size, settings, "the image");
    return { bytes: new Uint8Array(await source.arrayBuffer()), name: "the image" };
  }
  const path = pathOf(source);
  try {
    const info = await stat(path);
    if (!info.isFile()) throw new PaliGemmaError("processor/decode", `${path} is no file`);
    checkEncodedSize(info.size, settings, path);
    const bytes = await readFile(path, settings.signal ? { signal: settings.signal } : {});
    return { bytes, name: path };
  } catch (error) {
    settings.signal?.throwIfAborted();
    if (error instanceof PaliGemmaError) throw error;
    throw new PaliGemmaError("processor/decode", `${path} cannot be read: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

function pathOf(source: string | URL): string {
  const text = String(source);
  if (typeof source === "string" && !text.startsWith("file:") && !/^(https?|data):/i.test(text)) return text;
  if (typeof source !== "string" && !(source instanceof URL)) {
    throw new PaliGemmaError(
      "processor/decode",
      `an image source is bytes, a Blob, a path or a file: URL; this is ${source === null ? "null" : typeof source}`,
    );
  }
  if (text.startsWith("file:")) return fileURLToPath(text);
  throw new PaliGemmaError(
    "processor/decode",
    `${text.slice(0, 80)} is not on this machine; fetch it first and pass its bytes`,
  );
}
