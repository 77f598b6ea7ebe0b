import { rm } from "node:fs/promises";
import { allocate, viewAs, type ArrayTypes, type DType } from "@paligemma/core";
import type * as Runtime from "onnxruntime-node";
import {
  IN_PAYLOAD,
  TO_DEVICE,
  TO_HOST,
  type CompileRequest,
  type CopyRequest,
  type RepeatRequest,
  type Reply,
  type Request,
  type RunRequest,
  type Slot,
} from "./protocol.ts";
import { readProfile } from "./profile.ts";

type Data = ArrayTypes[DType];

interface Compiled {
  readonly runtime: Runtime.InferenceSession;
  readonly inputs: readonly Slot[];
  readonly outputs: readonly Slot[];
  /** Folder of its profile, until that was read. */
  profile: string | undefined;
}

/** A reply and the buffers in it that are moved, not copied. */
export interface Answer {
  /** Absent where nobody waits for one, or what it would say is in shared memory. */
  readonly reply: Reply | undefined;
  readonly move: readonly ArrayBuffer[];
  /** What is to be done again when everything else that waits had its turn. */
  readonly again?: Request;
}

type Ran = Extract<Reply, { readonly kind: "ran" }>;

/** Outputs that come to the host, in the order asked for, and the shapes of those and of the new tensors. */
interface Results {
  readonly shapes: readonly (readonly number[])[];
  readonly buffers: readonly ArrayBuffer[];
}

/**
 * Runs whose windows are made at once: between two runs of a large model all caches are full of weights, and what is done there takes
 * ten times as long as in a loop.
 */
const AT_ONCE = 64;

/** A window of a tensor that the runtime sees. */
interface Window {
  readonly slot: Slot;
  readonly data: Data;
  start: number;
  readonly slots: number;
  readonly dims: number[];
}

/** A window that moves on from run to run, and where it is given to the runtime. */
interface Moving extends Window {
  readonly move: number;
  readonly of: Record<string, Runtime.Tensor | null>;
  /** What is seen in the next runs, the last first. */
  readonly next: Runtime.Tensor[];
}

/** Slots that windows move on by from run to run. */
interface Moves {
  readonly feeds: Float64Array;
  readonly fetches: Float64Array;
}

interface Returned {
  readonly slot: Slot;
  readonly device: number | undefined;
}

/** A run, as the runtime takes it. */
interface Prepared {
  readonly runtime: Runtime.InferenceSession;
  readonly fed: Record<string, Runtime.Tensor>;
  readonly wanted: Record<string, Runtime.Tensor | null>;
  readonly returned: readonly Returned[];
  /** Outputs that are written into tensors of the store. */
  readonly kept: ReadonlySet<string>;
  readonly moving: readonly Moving[];
}

/** Does what requests ask for: keeps the sessions and the tensors, both by number. */
export class Executor {
  readonly #ort: typeof Runtime;
  #running = 0;
  readonly #sessions = new Map<number, Compiled>();
  readonly #tensors = new Map<number, Data>();
  /** What repeated runs are given, from the first to the last. */
  readonly #repeated = new WeakMap<RepeatRequest, Prepared>();

  constructor(ort: typeof Runtime) {
    this.#ort = ort;
  }

  /** Carries out one request; undefined where no answer is wanted. */
  async execute(request: Request): Promise<Answer | undefined> {
    switch (request.kind) {
      case "compile":
        await this.#compile(request);
        return done(request.id);
      case "run":
        return this.#run(request);
      case "repeat":
        return this.#repeat(request);
      case "allocate":
        this.#tensors.set(request.tensor, allocate(request.dtype, request.count));
        return done(request.id);
      case "upload":
        this.#tensors.set(request.tensor, viewAs(request.dtype, new Uint8Array(request.bytes)));
        return done(request.id);
      case "download": {
        const bytes = this.#window(request.tensor, request.start, request.slots).slice().buffer;
        return { reply: { kind: "bytes", id: request.id, bytes }, move: [bytes] };
      }
      case "copy":
        this.#copy(request);
        return done(request.id);
      case "release": {
        const session = this.#sessions.get(request.session);
        this.#sessions.delete(request.session);
        if (session) await release(session);
        return done(request.id);
      }
      case "profile":
        return { reply: await this.#profile(request), move: [] };
      case "free":
        this.#tensors.delete(request.tensor);
        return undefined;
      case "count":
        return { reply: this.#count(request.id), move: [] };
      case "cancel":
      case "close":
        return undefined;
    }
  }

  #count(id: number): Reply {
    const tensors = [...this.#tensors.values()];
    const tensorBytes = tensors.reduce((sum, { byteLength }) => sum + byteLength, 0);
    return {
      kind: "counted",
      id,
      tensors: tensors.length,
      tensorBytes,
      sessions: this.#sessions.size,
      runMilliseconds: this.#running,
    };
  }

  /** Frees all sessions and tensors. */
  async close(): Promise<void> {
    this.#tensors.clear();
    const sessions = [...this.#sessions.values()];
    this.#sessions.clear();
    for (const session of sessions) await release(session);
  }

  async #profile({ id, session }: { readonly id: number; readonly session: number }): Promise<Reply> {
    const compiled = this.#sessions.get(session);
    const folder = compiled?.profile;
    if (!compiled || folder === undefined) throw new Error(`session ${session} has no profile`);
    compiled.profile = undefined;
    compiled.runtime.endProfiling();
    return { kind: "profiled", id, profile: await readProfile(folder) };
  }

  async #compile({ session, model, handed, options, inputs, outputs, profile }: CompileRequest): Promise<void> {
    const all = handed.length > 0 ? { ...options, externalData: handed } : options;
    const runtime = await this.#create(model, all);
    this.#sessions.set(session, { runtime, inputs, outputs, profile });
  }

  #create(model: Uint8Array | string, options: object): Promise<Runtime.InferenceSession> {
    const { InferenceSession } = this.#ort;
    return typeof model === "string"
      ? InferenceSession.create(model, options)
      : InferenceSession.create(model, options);
  }

  async #run(request: RunRequest): Promise<Answer> {
    return ran(request.id, await this.#go(this.#prepare(request)));
  }

  /** Everything that the runtime is given, looked up once. */
  #prepare({ session, feeds, fetches, payload }: Omit<RunRequest, "kind" | "id">, moves?: Moves): Prepared {
    const { runtime, inputs, outputs } = this.#sessions.get(session)!;
    const fed: Record<string, Runtime.Tensor> = {};
    const moving: Moving[] = [];
    const window = (slot: Slot, tensor: number, numbers: Float64Array, at: number): Window => {
      const [start, slots, rank] = [numbers[at]!, numbers[at + 1]!, numbers[at + 2]!];
      return { slot, data: this.#data(tensor), start, slots, dims: [...numbers.subarray(at + 3, at + 3 + rank)] };
    };
    let at = 0;
    inputs.forEach((slot, place) => {
      const rank = feeds[at + 3]!;
      if (feeds[at] === IN_PAYLOAD) {
        const bytes = new Uint8Array(payload!, feeds[at + 1], feeds[at + 2]);
        fed[slot.name] = this.#tensor(slot.dtype, viewAs(slot.dtype, bytes), [
          ...feeds.subarray(at + 4, at + 4 + rank),
        ]);
      } else {
        const seen = window(slot, feeds[at]!, feeds, at + 1);
        fed[slot.name] = this.#seen(seen);
        const move = moves?.feeds[place] ?? 0;
        if (move > 0) moving.push({ ...seen, move, of: fed, next: [] });
      }
      at += 4 + rank;
    });
    const wanted: Record<string, Runtime.Tensor | null> = {};
    const returned: Returned[] = [];
    const kept = new Set<string>();
    for (let place = 0, i = 0; i < fetches.length; place++) {
      const slot = outputs[fetches[i]!]!;
      const to = fetches[i + 1]!;
      if (to === TO_HOST || to === TO_DEVICE) {
        wanted[slot.name] = null;
        returned.push({ slot, device: to === TO_DEVICE ? fetches[i + 2]! : undefined });
        i += to === TO_DEVICE ? 3 : 2;
        continue;
      }
      const seen = window(slot, fetches[i + 2]!, fetches, i + 3);
      kept.add(slot.name);
      wanted[slot.name] = this.#seen(seen);
      const move = moves?.fetches[place] ?? 0;
      if (move > 0) moving.push({ ...seen, move, of: wanted, next: [] });
      i += 6 + seen.dims.length;
    }
    return { runtime, fed, wanted, returned, kept, moving };
  }

  async #go({ runtime, fed, wanted, returned, kept }: Prepared): Promise<Results> {
    const begin = performance.now();
    const results = await runtime.run(fed, wanted);
    this.#running += performance.now() - begin;
    const buffers: ArrayBuffer[] = [];
    const shapes = returned.map(({ slot, device }) => {
      const { data, dims } = results[slot.name]!;
      const bytes = kept.has(slot.name) ? copyOf(data as Data) : owned(data as Data);
      if (device === undefined) buffers.push(bytes);
      else this.#tensors.set(device, viewAs(slot.dtype, new Uint8Array(bytes)));
      return dims;
    });
    return { shapes, buffers };
  }

  #copy({ from, fromStart, to, toStart, slots }: CopyRequest): void {
    this.#window(to, toStart, slots).set(this.#window(from, fromStart, slots) as never);
  }

  /** One run of those that are asked for, and what is left to do. */
  async #repeat(request: RepeatRequest): Promise<Answer> {
    const { until, ring } = request;
    const prepared =
      this.#repeated.get(request) ?? this.#prepare(request, { feeds: request.feedMoves, fetches: request.fetchMoves });
    const results = await this.#go(prepared);
    const ends =
      until && until.values.includes(Number(viewAs(until.dtype, new Uint8Array(results.buffers[until.buffer]!))[0]));
    request.left--;
    if (ends || request.left === 0) return ran(request.id, results);
    for (const window of prepared.moving) {
      if (window.next.length === 0) this.#moveOn(window, Math.min(request.left, AT_ONCE));
      window.of[window.slot.name] = window.next.pop()!;
    }
    this.#repeated.set(request, prepared);
    if (!ring) {
      const { reply, move } = ran(request.id, results);
      return { reply: { ...reply, more: true }, move, again: request };
    }
    let at = Atomics.load(ring.count, 0) * ring.bytes;
    for (const buffer of results.buffers) {
      ring.data.set(new Uint8Array(buffer), at);
      at += buffer.byteLength;
    }
    Atomics.add(ring.count, 0, 1);
    Atomics.notify(ring.count, 0);
    return { reply: undefined, move: [], again: request };
  }

  /** Makes what the runtime sees through a window in the next runs. */
  #moveOn(window: Moving, runs: number): void {
    for (let run = 0; run < runs; run++) {
      window.start += window.move;
      window.next.unshift(this.#seen(window));
    }
  }

  #seen({ slot, data, start, slots, dims }: Window): Runtime.Tensor {
    return this.#tensor(slot.dtype, data.subarray(start, start + slots), dims);
  }

  #window(tensor: number, start: number, slots: number): Data {
    return this.#data(tensor).subarray(start, start + slots);
  }

  #data(tensor: number): Data {
    const data = this.#tensors.get(tensor);
    if (!data) throw new Error(`tensor ${tensor} is not in the store`);
    return data;
  }

  #tensor(dtype: DType, data: Data, dims: number[]): Runtime.Tensor {
    return new this.#ort.Tensor(dtype as "float32", data as Float32Array, dims);
  }
}

/** Frees a session, and with it a profile that nobody asked for. */
async function release({ runtime, profile }: Compiled): Promise<void> {
  await runtime.release();
  if (profile !== undefined) await rm(profile, { recursive: true, force: true });
}

function ran(id: number, { shapes, buffers }: Results): Answer & { readonly reply: Ran } {
  return { reply: { kind: "ran", id, shapes, buffers }, move: buffers };
}

function done(id: number): Answer {
  return { reply: { kind: "done", id }, move: [] };
}

/** The bytes in a buffer of their own, which may be moved. */
function owned(data: Data): ArrayBuffer {
  const whole = data.byteOffset === 0 && data.byteLength === data.buffer.byteLength;
  return whole ? (data.buffer as ArrayBuffer) : copyOf(data);
}

function copyOf(data: Data): ArrayBuffer {
  return data.slice().buffer;
}
