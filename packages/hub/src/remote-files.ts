import { nearest, PaliGemmaError } from "@paligemma/core";
import type { ByteSource, ModelFiles } from "@paligemma/weights";
import { createClient, HUB_OPTIONS, refuseUnknown, type HubOptions } from "./client.ts";
import { parseRepository, type RepositoryFile } from "./repository.ts";
import { retrying, Transient } from "./retry.ts";

/** How to reach the Hub. */
export interface RemoteOptions extends HubOptions {
  readonly signal?: AbortSignal;
}

/**
 * A repository of the Hub, read where it lies: every read is a request, nothing is kept. For browsers, and to look at a
 * header without downloading the file. In Node, `hubFiles` of `@paligemma/hub/node` keeps what it reads.
 */
export async function remoteFiles(name: string, options: RemoteOptions = {}): Promise<ModelFiles> {
  refuseUnknown(options, [...HUB_OPTIONS, "signal"]);
  const repository = parseRepository(name, options.revision);
  const client = createClient(repository, options);
  const { commit, files } = await client.list(options.signal);
  const source = (file: RepositoryFile): ByteSource => ({
    name: `${repository.id}/${file.path}`,
    size: file.size,
    read: async (start, end, signal) => {
      if (!(start >= 0 && start <= end && end <= file.size)) {
        throw new PaliGemmaError(
          "weights/range",
          `bytes ${start} to ${end} of ${file.path}, which has bytes 0 to ${file.size}`,
        );
      }
      return retrying(`reading ${file.path} of ${repository.id}`, client.retry, signal, async () => {
        if (start === end) return new Uint8Array(0);
        const bytes = new Uint8Array(
          await new Response(await client.range(commit, file, start, end, signal)).arrayBuffer(),
        );
        if (bytes.byteLength !== end - start)
          throw new Transient(`${bytes.byteLength} of ${end - start} bytes arrived`);
        return bytes;
      });
    },
  });
  return {
    name: `${repository.id}@${repository.revision}`,
    paths: new Set(files.keys()),
    open: async (path) => {
      const file = files.get(path);
      if (file) return source(file);
      const meant = nearest(path, files.keys());
      throw new PaliGemmaError(
        "weights/no-file",
        `${repository.id}@${repository.revision} has no ${path}${meant ? `; the nearest is ${meant}` : ""}`,
      );
    },
  };
}
