import { createRequire } from "node:module";
import { parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import type * as Runtime from "onnxruntime-node";
import { Executor } from "./executor.ts";
import {
  BUSY,
  PROTOCOL,
  STOP,
  type Fault,
  type Greeting,
  type Reply,
  type Request,
  type WorkerData,
} from "./protocol.ts";
import { FileChanged } from "./unpacker.ts";

// The thread that onnxruntime lives in: its calls block whoever makes them.

const port = parentPort!;
const { flags, threads } = workerData as WorkerData;
const waiting: Request[] = [];
let busy = false;
let closing = false;

function receive(request: Request): void {
  if (request.kind === "cancel") drop(request.id);
  else if (request.kind === "close") closing = true;
  else waiting.push(request);
}

function drop(id: number): void {
  const place = waiting.findIndex((request) => "id" in request && request.id === id);
  if (place < 0) return;
  for (const request of waiting.splice(place, 1)) executor?.forget(request);
  answer({ kind: "dropped", id });
}

function answer(reply: Reply, move: readonly ArrayBuffer[] = []): void {
  port.postMessage(reply, move);
}

/** Works through the queue, in order. Before each request the port is emptied, so that cancelling overtakes. */
async function work(executor: Executor): Promise<void> {
  if (busy) return;
  busy = true;
  for (;;) {
    for (let late = receiveMessageOnPort(port); late; late = receiveMessageOnPort(port))
      receive(late.message as Request);
    if (closing) break;
    const request = waiting.shift();
    if (!request || !begin()) break;
    try {
      const made = await executor.execute(request);
      if (made?.reply) answer(made.reply, made.move);
      if (made?.again) waiting.push(made.again);
    } catch (error) {
      if ("id" in request) answer({ kind: "failed", id: request.id, fault: faultOf(request, error) });
    } finally {
      end();
    }
  }
  busy = false;
  if (closing && begin()) {
    await executor.close();
    end();
    port.close();
  }
}

/** Says that the runtime is going to be used; false where that is too late. */
function begin(): boolean {
  Atomics.store(flags, BUSY, 1);
  if (Atomics.load(flags, STOP) === 0) return true;
  end();
  return false;
}

function end(): void {
  Atomics.store(flags, BUSY, 0);
  Atomics.notify(flags, BUSY);
}

function faultOf(request: Request, error: unknown): Fault {
  const text = error instanceof Error ? error.message : String(error);
  if (error instanceof FileChanged) return { code: "backend/changed", text };
  if (error instanceof RangeError && /allocat|array length|grow memory/i.test(text))
    return { code: "backend/memory", text };
  if (/bad_alloc|failed to allocate memory/i.test(text)) return { code: "backend/memory", text };
  if (request.kind === "compile") return { code: "backend/compile", text };
  if (request.kind === "run") return { code: "backend/run", text };
  return { code: "backend/worker", text };
}

function load(): Executor | undefined {
  try {
    const require = createRequire(import.meta.url);
    const ort = require("onnxruntime-node") as typeof Runtime;
    // What goes wrong is thrown; the runtime's own log would only repeat it on stderr.
    ort.env.logLevel = "fatal";
    const greeting: Greeting = { kind: "ready", protocol: PROTOCOL, version: ort.env.versions.node ?? "" };
    port.postMessage(greeting);
    return new Executor(ort, threads);
  } catch (error) {
    const greeting: Greeting = { kind: "broken", text: error instanceof Error ? error.message : String(error) };
    port.postMessage(greeting);
    return undefined;
  }
}

const executor = load();
if (executor) {
  port.on("message", (request: Request) => {
    receive(request);
    void work(executor);
  });
}
