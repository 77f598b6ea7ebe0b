import { parentPort } from "node:worker_threads";
import type { UnpackReply, UnpackRequest } from "./unpack-helper.ts";
import { buffersOf, Unpacker } from "./unpacker.ts";

// A thread that unpacks matrices beside the one that onnxruntime lives in. The arrays come with a request and go back with its reply.

const unpacker = new Unpacker();

parentPort!.on("message", ({ work }: UnpackRequest) => {
  const fault = unpacker.unpack(work);
  const reply: UnpackReply = { work, ...(fault && { fault }) };
  parentPort!.postMessage(reply, buffersOf(work));
});
