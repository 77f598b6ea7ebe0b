import { PaliGemmaError, isPaliGemmaError } from "@paligemma/core";
import { parseRepository, remoteFiles } from "@paligemma/hub";
import { storedFiles } from "@paligemma/hub/browser";
import type { ByteSource, ModelFiles } from "@paligemma/weights";
import type { OpenOptions } from "./files.ts";
import { keptModels } from "./kept-models.ts";
import type { ModelChoice } from "./protocol.ts";

const HUB = "https://huggingface.co";

/**
 * A repository of the Hub, whose files the browser keeps whole and checked: what was downloaded once is read without a network
 * the next time. Where the browser has no place for them they are read from the Hub each time, and `onProgress` says so.
 */
export async function hubFiles(
  { repository, token }: Extract<ModelChoice, { kind: "hub" }>,
  { onProgress, signal }: OpenOptions,
): Promise<ModelFiles> {
  const { id } = parseRepository(repository);
  const asking = { signal, ...(token && { token }) };
  const inWords = async <T>(work: Promise<T>): Promise<T> =>
    await work.catch((error: unknown) => {
      throw forThePage(error, id, token !== undefined);
    });
  let remote: Promise<ModelFiles> | undefined;
  const unkept = (): Promise<ModelFiles> => {
    onProgress(NO_ROOM);
    return (remote ??= remoteFiles(repository, asking));
  };
  const folder = await keptModels();
  if (!folder) return await inWords(unkept());
  const kept = { ...asking, folder, onProgress };
  const files = await inWords(
    storedFiles(repository, { ...kept, offline: !navigator.onLine }).catch(async (error: unknown) => {
      // The list of files is kept as well, and may be what there is no room for.
      if (hasNoRoom(error)) return await unkept();
      if (!isPaliGemmaError(error, "hub/network")) throw error;
      // The Hub does not answer: what was listed the last time will do, if there was one.
      return await storedFiles(repository, { ...kept, offline: true }).catch(() => Promise.reject(error as Error));
    }),
  );
  const open = async (path: string, stop?: AbortSignal): Promise<ByteSource> =>
    await files.open(path, stop).catch(async (error: unknown) => {
      if (!hasNoRoom(error)) throw error;
      return await (await unkept()).open(path, stop);
    });
  return { ...files, open: (path, stop) => inWords(open(path, stop)) };
}

const NO_ROOM = {
  task: "the browser has no room to keep this model; it will be downloaded again next time",
  done: 0,
  unit: "items",
} as const;

/** True where a file, or the folder for it, could not be kept. */
function hasNoRoom(error: unknown): boolean {
  return isPaliGemmaError(error, "hub/disk") || (error instanceof DOMException && error.name === "QuotaExceededError");
}

/** What there is to do on this page, where the library speaks of command lines and variables. */
function forThePage(error: unknown, id: string, token: boolean): unknown {
  if (!isPaliGemmaError(error)) return error;
  const account = token ? "the account of your token" : "your account";
  const own = token
    ? "A fine-grained token must be allowed to read public gated repositories."
    : `Then make a token with read access (${HUB}/settings/tokens) and enter it where models are chosen.`;
  const words: Readonly<Record<string, string>> = {
    "hub/gated": `${id} wants its licence accepted first: open ${HUB}/${id} with ${account} and accept it. ${own}`,
    "hub/network": `The Hub does not answer, and ${id} is not kept in this browser as a whole. What has arrived is kept: load it again when there is a network.`,
    "hub/offline": `There is no network, and ${id} is not kept in this browser as a whole. Load it once with a network.`,
  };
  const missing = `There is no repository ${id} on the Hub, or it is private. Check the spelling${token ? ", and that your token may see it" : "; a private one needs a token"}.`;
  const wrongName = error.code === "hub/not-found" && /there is no repository/.test(error.message);
  const text = wrongName ? missing : words[error.code];
  return text === undefined ? error : new PaliGemmaError(error.code, text, { cause: error });
}
