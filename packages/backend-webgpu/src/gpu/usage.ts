// Flags of the WebGPU specification (§5.1 buffer usages, §5.3 map modes). The browser's own namespaces of this name are not
// there in every thread and have no types.

/** What buffers of tensors are used for: read and written by shaders, copied from and to. */
export const STORAGE: number = 0x80 | 0x04 | 0x08;
/** Buffers that are copied to and then read by the processor. */
export const READBACK: number = 0x01 | 0x08;
/** Bit of a buffer that the processor may map for reading. */
export const MAP_READ: number = 0x01;
/** `mapAsync` for reading. */
export const MODE_READ: number = 0x01;
