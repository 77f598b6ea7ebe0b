import { PaliGemmaError } from "@paligemma/core";
import type { ByteSource } from "@paligemma/weights";
import { outOfMemory } from "../gpu/faults.ts";
import { toWords, type Transfer } from "../gpu/transfer.ts";
import { STORAGE } from "../gpu/usage.ts";
import type { ConstantsRead } from "./inline.ts";
import type { LoadedWeight } from "./plan.ts";
import { loadedAs, loadedBytes, streamWeights, type StreamOptions } from "./stream.ts";

/** Bytes handed to the GPU before waiting for it: bounds what the browser holds on their way. */
const IN_FLIGHT_BYTES = 64 * 2 ** 20;

interface Entry {
  readonly key: string;
  readonly buffer: GPUBuffer;
  users: number;
}

/** Weights on the GPU. The same bytes in the same format are there once, however many graphs use them. */
export class WeightStore {
  readonly #device: GPUDevice;
  readonly #transfer: Transfer;
  /** Bytes that one tensor has at most. */
  readonly maxBufferSize: number;
  readonly #entries = new Map<string, Entry>();
  readonly #sources = new WeakMap<ByteSource, number>();
  #sourceCount = 0;
  #tail: Promise<unknown> = Promise.resolve();

  constructor(device: GPUDevice, transfer: Transfer, maxBufferSize: number) {
    this.#device = device;
    this.#transfer = transfer;
    this.maxBufferSize = maxBufferSize;
  }

  /**
   * Buffers of the tensors, by name, read from their files where they are not there yet. `release` the returned holder when
   * the graph is done. One load after another, so that none finds what another has only begun. Constants that are missing
   * are read with them: they lie between. Throws `backend/memory` where a tensor does not fit.
   */
  load(weights: readonly LoadedWeight[], constants: ConstantsRead, options: StreamOptions): Promise<HeldWeights> {
    const loading = this.#tail.then(() => this.#load(weights, constants, options));
    this.#tail = loading.catch(() => undefined);
    return loading;
  }

  async #load(
    weights: readonly LoadedWeight[],
    constants: ConstantsRead,
    options: StreamOptions,
  ): Promise<HeldWeights> {
    const held: Entry[] = [];
    const buffers = new Map<string, GPUBuffer>();
    const missing: LoadedWeight[] = [];
    const begun = new Set<string>();
    try {
      for (const weight of weights) {
        const key = this.#key(weight);
        let entry = this.#entries.get(key);
        if (!entry) {
          entry = await this.#create(key, weight);
          begun.add(key);
          missing.push(weight);
        }
        entry.users++;
        held.push(entry);
        buffers.set(weight.name, entry.buffer);
      }
      await this.#fill(missing, buffers, constants, options);
    } catch (error) {
      for (const key of begun) this.#drop(key);
      this.#release(held.filter(({ key }) => !begun.has(key)));
      throw error;
    }
    return { buffers, release: () => this.#release(held.splice(0)) };
  }

  async #fill(
    weights: readonly LoadedWeight[],
    buffers: ReadonlyMap<string, GPUBuffer>,
    constants: ConstantsRead,
    options: StreamOptions,
  ): Promise<void> {
    let inFlight = 0;
    await streamWeights(
      [...weights, ...constants.missing],
      async (weight, offset, bytes) => {
        const buffer = buffers.get(weight.name);
        if (!buffer) return await constants.put(weight, offset, bytes);
        this.#transfer.write(buffer, bytes, offset);
        inFlight += bytes.byteLength;
        if (inFlight < IN_FLIGHT_BYTES) return;
        inFlight = 0;
        await this.#device.queue.onSubmittedWorkDone();
      },
      options,
    );
  }

  clear(): void {
    for (const key of this.#entries.keys()) this.#drop(key);
  }

  #release(held: readonly Entry[]): void {
    for (const entry of held) if (--entry.users === 0) this.#drop(entry.key);
  }

  #drop(key: string): void {
    this.#entries.get(key)?.buffer.destroy();
    this.#entries.delete(key);
  }

  async #create(key: string, weight: LoadedWeight): Promise<Entry> {
    const size = toWords(loadedBytes(weight));
    if (size > this.maxBufferSize) {
      throw new PaliGemmaError(
        "backend/memory",
        `${weight.name} takes ${size} bytes as ${weight.dtype}, one buffer of this GPU holds ${this.maxBufferSize}. Take a quantised model (4 or 8 bits) or the precision "float16".`,
      );
    }
    this.#device.pushErrorScope("out-of-memory");
    const buffer = this.#device.createBuffer({ size, usage: STORAGE });
    const fault = await this.#device.popErrorScope().catch(() => null);
    if (fault) {
      buffer.destroy();
      throw outOfMemory(`${weight.name} (${size} bytes)`, fault.message);
    }
    const entry = { key, buffer, users: 0 };
    this.#entries.set(key, entry);
    return entry;
  }

  #key(weight: LoadedWeight): string {
    const { source } = weight.ref;
    let id = this.#sources.get(source);
    if (id === undefined) {
      id = this.#sourceCount++;
      this.#sources.set(source, id);
    }
    return `${id}:${loadedAs(weight)}`;
  }
}

/** Weights that a graph holds on to. */
export interface HeldWeights {
  readonly buffers: ReadonlyMap<string, GPUBuffer>;
  release(): void;
}
