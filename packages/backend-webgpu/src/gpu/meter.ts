import { MAP_READ } from "./usage.ts";

/**
 * Counts what passes over a device by standing before its `createBuffer`: everything that is created and mapped, the
 * runtime's own buffers included.
 */
export class Meter {
  buffersCreated = 0;
  bufferBytesNow = 0;
  bufferBytesPeak = 0;
  bytesFromDevice = 0;

  constructor(device: GPUDevice) {
    const create = device.createBuffer.bind(device);
    device.createBuffer = (descriptor) => {
      const buffer = create(descriptor);
      this.#count(buffer, descriptor);
      return buffer;
    };
  }

  #count(buffer: GPUBuffer, { size, usage }: GPUBufferDescriptor): void {
    this.buffersCreated++;
    this.bufferBytesNow += size;
    this.bufferBytesPeak = Math.max(this.bufferBytesPeak, this.bufferBytesNow);
    const destroy = buffer.destroy.bind(buffer);
    let alive = true;
    buffer.destroy = () => {
      if (alive) this.bufferBytesNow -= size;
      alive = false;
      destroy();
    };
    if ((usage & MAP_READ) === 0) return;
    const map = buffer.mapAsync.bind(buffer);
    buffer.mapAsync = async (mode, offset = 0, length = size - offset) => {
      await map(mode, offset, length);
      this.bytesFromDevice += length;
    };
  }
}
