// Gives Node what a browser has: `navigator.gpu`, by Dawn (the WebGPU of Chromium) on the Vulkan driver of the environment.
import { setFlagsFromString } from "node:v8";
import { create, globals } from "webgpu";

// The optimising compiler of Node 20 takes half a minute for the runtime's 27 MB.
setFlagsFromString("--liftoff-only");

Object.assign(globalThis, globals);
Object.defineProperty(globalThis, "navigator", { value: { gpu: create([]) }, configurable: true });

// The runtime writes from its shared memory, which browsers take and Dawn's binding does not. It gives places and sizes in
// bytes, of a Uint8Array or a buffer.
const { prototype } = GPUQueue;
const write = Reflect.get(prototype, "writeBuffer") as GPUQueue["writeBuffer"];
prototype.writeBuffer = function (buffer, offset, data, start = 0, size) {
  const view = ArrayBuffer.isView(data) ? (data as Uint8Array) : new Uint8Array(data as ArrayBuffer);
  const shared = view.buffer instanceof SharedArrayBuffer;
  if (shared && view.BYTES_PER_ELEMENT !== 1) throw new Error("writeBuffer from a shared array of more than bytes");
  const taken = shared ? view.slice(start, size === undefined ? undefined : start + size) : data;
  return shared
    ? write.call(this, buffer, offset, taken as Uint8Array<ArrayBuffer>)
    : write.call(this, buffer, offset, taken as Uint8Array<ArrayBuffer>, start, size);
};
