import { parentPort } from "node:worker_threads";
import type { UnpackReply, UnpackRequest } from "./unpack-helper.ts";
import { FileChanged, Unpacker } from "./unpacker.ts";

// A thread that unpacks matrices beside the one that onnxruntime lives in. The arrays come with a request and go back with its reply.

const unpacker = new Unpacker();

parentPort!.on("message", ({ work }: UnpackRequest) => {
  let fault: UnpackReply["fault"];
  try {
    for (const unpacking of work) unpacker.unpack(unpacking);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    fault = { text, changed: error instanceof FileChanged };
  }
  const reply: UnpackReply = { work, ...(fault && { fault }) };
  parentPort!.postMessage(
    reply,
    work.flatMap(({ data, scales }) => [data.buffer, scales.buffer]),
  );
});
