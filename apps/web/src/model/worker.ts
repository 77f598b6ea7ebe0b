// First of all: what follows defines classes with these symbols.
// oxlint-disable-next-line import/no-unassigned-import
import "../polyfill.ts";
import { PaliGemmaError, isPaliGemmaError, type Progress } from "@paligemma/core";
import { answerQuestion } from "./answer.ts";
import { embeddedAddresses } from "./files.ts";
import { forgetModels } from "./kept-models.ts";
import { loadChoice, type OpenModel } from "./load.ts";
import type { Fault, FromModel, ToModel } from "./protocol.ts";

// Everything that takes time happens here: the page only shows. One thing after another, in the order asked for.

interface Current extends OpenModel {
  readonly embedded: boolean;
  /** Whether the GPU's programs are compiled: they are at their first use. */
  warm: boolean;
  /** Whether the page knows which files are to be kept. */
  told: boolean;
}

let model: Current | undefined;
let queue: Promise<void> = Promise.resolve();
/** What runs while nobody waits for anything; it gives way to whoever comes. */
let idle = new AbortController();
const running = new Map<number, AbortController>();

self.addEventListener("message", ({ data }: MessageEvent<ToModel>) => {
  if (data.kind === "cancel") return running.get(data.id)?.abort(new PaliGemmaError("web/cancelled", "stopped"));
  if (data.kind === "forget") return void (queue = queue.then(forgetModels));
  const abort = new AbortController();
  running.set(data.id, abort);
  idle.abort(new PaliGemmaError("web/cancelled", "somebody asked"));
  queue = queue
    .then(() => handle(data, abort.signal))
    .finally(() => running.delete(data.id))
    .then(whenIdle);
});

async function handle(request: Extract<ToModel, { kind: "load" | "ask" }>, signal: AbortSignal): Promise<void> {
  const { id } = request;
  try {
    signal.throwIfAborted();
    if (request.kind === "load") {
      await model?.dispose();
      model = undefined;
      const onProgress = (progress: Progress): void => post({ kind: "progress", id, progress });
      const embedded = request.choice.kind === "tiny-shapes";
      const open = await loadChoice(request.choice, request.machine, { onProgress, signal });
      model = { ...open, embedded, warm: !embedded, told: false };
      post({ kind: "loaded", id, model: model.about });
    } else {
      if (!model) throw new PaliGemmaError("web/no-model", "no model is loaded; choose one first");
      const answer = await answerQuestion(model, request.question, request.picture, {
        signal,
        onText: (text) => post({ kind: "text", id, text }),
        onFound: (found, size) => post({ kind: "found", id, found, size }),
      });
      post({ kind: "answered", id, answer });
      model.warm = true;
    }
  } catch (caught) {
    const error = await causeOf(caught);
    // A device that is gone takes its model with it.
    if (isPaliGemmaError(error, "backend/device-lost")) model = undefined;
    post({ kind: "failed", id, fault: faultOf(error) });
  }
}

/** What went wrong: with a lost GPU, pictures cannot be read either, which is not the news. */
async function causeOf(caught: unknown): Promise<unknown> {
  return (
    (await model?.probe().then(
      () => undefined,
      (lost: unknown) => lost,
    )) ?? caught
  );
}

/** Does what has time until nobody waits for anything. */
async function whenIdle(): Promise<void> {
  if (running.size > 0 || !model) return;
  idle = new AbortController();
  const { signal } = idle;
  if (!model.warm) await warmUp(model, signal);
  if (signal.aborted || model.told) return;
  post({ kind: "assets", assets: [...assets(), ...(model.embedded ? embeddedAddresses() : [])] });
  model.told = true;
}

/**
 * Asks something that nobody waits for: compiling the GPU's programs is most of the time of a first answer. Whoever asks
 * meanwhile needs the same programs, and goes first.
 */
async function warmUp(current: Current, signal: AbortSignal): Promise<void> {
  const image = { data: new Uint8Array(16 * 16 * 3), width: 16, height: 16, channels: 3 } as const;
  // What goes wrong here goes wrong again when somebody asks, and is told then.
  await current.model.caption(image, { maxNewTokens: 3, signal }).then(
    () => (current.warm = true),
    () => undefined,
  );
}

/** Addresses of everything that this thread loaded from the page's own server, for the service worker to keep. */
function assets(): string[] {
  const { origin } = self.location;
  return performance
    .getEntriesByType("resource")
    .map(({ name }) => name)
    .filter((name) => name.startsWith(origin));
}

function faultOf(error: unknown): Fault {
  if (isPaliGemmaError(error)) return { code: error.code, message: error.message.slice(error.code.length + 2) };
  return { code: "web/fault", message: error instanceof Error ? error.message : String(error) };
}

function post(message: FromModel): void {
  self.postMessage(message);
}
