import type { CompileOptions } from "@paligemma/backend";
import { PaliGemmaError } from "@paligemma/core";
import type { GraphModel } from "@paligemma/graph";
import { cachedModel, entryName, isCacheable, writeEntry, type EntryWriter } from "./cache.ts";
import type { WorkerLink } from "./link.ts";
import type { NodeBackendOptions } from "./options.ts";
import { profileFolder } from "./profile.ts";
import type { Slot } from "./protocol.ts";
import { sessionOptions } from "./session-options.ts";
import { encodeWithWeights, type Encoded } from "./weight-files.ts";

/** Compiles a graph in the worker and resolves to the number of its session there. */
export async function compileGraph(
  link: WorkerLink,
  model: GraphModel,
  options: NodeBackendOptions,
  { onProgress, signal }: CompileOptions,
): Promise<number> {
  signal?.throwIfAborted();
  const slots = { inputs: slotsOf(model.inputs), outputs: slotsOf(model.outputs) };
  const encoded = await encodeWithWeights(model, { onProgress, signal });
  const task = `compile ${model.name}`;

  async function ask(what: {
    readonly model: Uint8Array<ArrayBuffer> | string;
    readonly handed?: Encoded["handed"];
    readonly options: object;
    readonly profile?: string | undefined;
  }): Promise<number> {
    const handed = (what.handed ?? []).map(({ path, data }) => ({ path, data: alone(data) }));
    const move = [
      ...(typeof what.model === "string" ? [] : [what.model.buffer]),
      ...handed.map(({ data }) => data.buffer),
    ];
    const [id, session] = [link.fresh(), link.fresh()];
    await link
      .ask({ kind: "compile", id, session, ...slots, ...what, handed }, task, { move, signal })
      .catch((error: unknown) => {
        // Aborted while it ran: whatever comes of it is freed.
        link.post({ kind: "release", id: link.fresh(), session });
        throw error;
      });
    return session;
  }

  onProgress?.({ task, done: 0, total: 1, unit: "items" });
  const { cacheFolder } = options;
  const profile = options.profile === true ? await profileFolder() : undefined;
  let session: number;
  if (cacheFolder === undefined || !isCacheable(model)) {
    session = await ask({
      model: alone(encoded.bytes),
      handed: encoded.handed,
      options: sessionOptions(model, options, { folder: encoded.root, profile }),
      profile,
    });
  } else {
    const name = entryName(encoded);
    if ((await cachedModel(cacheFolder, name)) === undefined) {
      await write(await writeEntry(cacheFolder, name, model));
    }
    const path = await cachedModel(cacheFolder, name);
    if (path === undefined)
      throw new PaliGemmaError(
        "backend/cache",
        `the entry ${name} that was just written to ${cacheFolder} is not there; does something else clear the folder?`,
      );
    session = await ask({ model: path, options: sessionOptions(model, options, { profile }), profile });
  }
  onProgress?.({ task, done: 1, total: 1, unit: "items" });
  return session;

  /** Compiles for the sake of what the runtime writes; the session itself, whose weights are in memory, is given up again. */
  async function write(entry: EntryWriter): Promise<void> {
    try {
      const written = await ask({
        model: alone(encoded.bytes),
        options: sessionOptions(model, options, { folder: encoded.root, write: entry.options }),
      });
      await link.ask({ kind: "release", id: link.fresh(), session: written }, task);
      await entry.finish();
    } catch (error) {
      // An abort leaves the worker writing: the folder can go when it has done with it.
      const idle = link.closed
        ? Promise.resolve()
        : link.ask({ kind: "release", id: link.fresh(), session: 0 }, task).then(
            () => undefined,
            () => undefined,
          );
      void idle.then(() => entry.abandon()).catch(() => undefined);
      throw error;
    }
  }
}

function slotsOf(ports: GraphModel["inputs"]): Slot[] {
  return ports.map(({ name, dtype }) => {
    if (dtype === "bfloat16") {
      throw new PaliGemmaError(
        "backend/compile",
        `${name} is bfloat16, which onnxruntime-node cannot take in or give out; cast to float32 inside the graph`,
      );
    }
    return { name, dtype };
  });
}

/** The bytes in a buffer of their own, which can be moved between threads. (`slice` of a Buffer would share its memory.) */
function alone(view: Uint8Array): Uint8Array<ArrayBuffer> {
  return view.byteLength === view.buffer.byteLength ? (view as Uint8Array<ArrayBuffer>) : new Uint8Array(view);
}
