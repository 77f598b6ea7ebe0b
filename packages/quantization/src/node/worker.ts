import { parentPort } from "node:worker_threads";
import { quantizeRows } from "../rows.ts";
import { PROTOCOL, type Reply, type Request } from "./protocol.ts";

// A thread that does nothing but arithmetic: bytes come in and go out by messages, files are the other side's.

const port = parentPort!;

function answer(reply: Reply): void {
  const parts = "data" in reply ? [reply.data, reply.scales, reply.zeroPoints, reply.sums] : [];
  port.postMessage(
    reply,
    parts.flatMap((part) => (part ? [part.buffer] : [])),
  );
}

port.on("message", ({ id, ...job }: Request) => {
  try {
    answer({ id, ...quantizeRows(job) });
  } catch (error) {
    answer({ id, fault: error instanceof Error ? error.message : String(error) });
  }
});
port.postMessage(PROTOCOL);
