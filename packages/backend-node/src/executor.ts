import { rm } from "node:fs/promises";
import { allocate, viewAs } from "@paligemma/core";
import type * as Runtime from "onnxruntime-node";
import { prepareRun, type Compiled, type Data, type Prepared } from "./prepare-run.ts";
import {
  type CompileRequest,
  type CopyRequest,
  type RepeatRequest,
  type RequantizeRequest,
  type Reply,
  type Request,
  type RunNumbers,
  type RunRequest,
} from "./protocol.ts";
import { readProfile } from "./profile.ts";
import { addResult } from "./result-ring.ts";
import { sharedOut, UnpackHelper } from "./unpack-helper.ts";
import { errorOf, Unpacker, type Unpacking } from "./unpacker.ts";

/** A session, and what is still to be told of it. */
interface Kept extends Compiled {
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

/** Threads that unpack at most: a layer has three large matrices, and its others are together as large as a part of one. */
const MOST_UNPACKING = 4;

/** Bytes of a tensor from which on its memory is given back when it is freed, which costs a message: 128 KiB. */
const LARGE_BYTES = 2 ** 17;

/** Does what requests ask for: keeps the sessions and the tensors, both by number. */
export class Executor {
  readonly #ort: typeof Runtime;
  /** Milliseconds that were spent in runs. */
  #running = 0;
  /** Milliseconds that were spent in so many unpackings. */
  #unpacking = 0;
  #unpackings = 0;
  readonly #sessions = new Map<number, Kept>();
  readonly #tensors = new Map<number, Data>();
  /** What runs that will be repeated are given, and which elements have been what ends them. */
  readonly #repeated = new Map<Request, { readonly prepared: readonly Prepared[]; readonly ended: boolean[] }>();

  /** Threads that unpack matrices, this one included, and what they do it with; made when it is needed. */
  readonly #threads: number;
  #unpacker: Unpacker | undefined;
  #helpers: UnpackHelper[] | undefined;

  constructor(ort: typeof Runtime, threads: number) {
    this.#ort = ort;
    this.#threads = Math.min(threads, MOST_UNPACKING);
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
      case "requantize": {
        const begin = performance.now();
        await this.#requantize(request);
        this.#unpacking += performance.now() - begin;
        this.#unpackings++;
        return done(request.id);
      }
      case "release": {
        const session = this.#sessions.get(request.session);
        this.#sessions.delete(request.session);
        if (session) await release(session);
        return done(request.id);
      }
      case "profile":
        return { reply: await this.#profile(request), move: [] };
      case "free":
        this.#free(request.tensor);
        return undefined;
      case "count":
        return { reply: this.#count(request.id), move: [] };
      case "cancel":
      case "close":
        return undefined;
    }
  }

  /** A request that was to be done again will not be. */
  forget(request: Request): void {
    this.#repeated.delete(request);
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
      unpackMilliseconds: this.#unpacking,
      unpackings: this.#unpackings,
    };
  }

  /** Frees all sessions and tensors. */
  async close(): Promise<void> {
    this.#tensors.clear();
    for (const helper of this.#helpers ?? []) await helper.close();
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

  #prepare(run: RunNumbers): Prepared {
    return prepareRun(run, this.#sessions.get(run.session)!, (tensor) => this.#data(tensor), this.#ort.Tensor);
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
    // The runtime hands out a copy of what it wrote into a tensor of the store.
    for (const name of kept) {
      const { buffer, byteLength } = results[name]!.data as Data;
      if (byteLength >= LARGE_BYTES && buffer !== (wanted[name]!.data as Data).buffer) giveBack(buffer as ArrayBuffer);
    }
    return { shapes, buffers };
  }

  #copy({ from, fromStart, to, toStart, slots }: CopyRequest): void {
    this.#window(to, toStart, slots).set(this.#window(from, fromStart, slots) as never);
  }

  /** One run of those that are asked for, with what follows it, and what is left to do. */
  async #repeat(request: RepeatRequest): Promise<Answer> {
    const { until, ring, followedBy } = request;
    const state = this.#repeated.get(request) ?? {
      prepared: [request, ...(followedBy ? [followedBy] : [])].map((run) => this.#prepare(run)),
      ended: [],
    };
    const { prepared, ended } = state;
    this.#repeated.delete(request);
    let results: Results = { shapes: [], buffers: [] };
    for (const run of prepared) results = await this.#go(run);
    const ends = until !== undefined && hasEnded(until, results.buffers[until.buffer]!, ended);
    request.left--;
    if (ends || request.left === 0) return ran(request.id, results);
    for (const { moving } of prepared) for (const window of moving) window.moveOn(request.left);
    this.#repeated.set(request, state);
    if (!ring) {
      const { reply, move } = ran(request.id, results);
      return { reply: { ...reply, more: true }, move, again: request };
    }
    addResult(ring, results.buffers);
    return { reply: undefined, move: [], again: request };
  }

  #window(tensor: number, start: number, slots: number): Data {
    return this.#data(tensor).subarray(start, start + slots);
  }

  /** Unpacks matrices, in several threads where there are several. */
  async #requantize({ work }: RequantizeRequest): Promise<void> {
    const all = work.map(({ from, tensors }): Unpacking => {
      const panels = Object.entries(tensors).map(([part, tensor]) => [part, this.#data(tensor)]);
      return { from, tensors, panels: Object.fromEntries(panels) as Unpacking["panels"] };
    });
    this.#unpacker ??= new Unpacker();
    this.#helpers ??= Array.from({ length: this.#threads - 1 }, () => new UnpackHelper());
    const [own = [], ...others] = sharedOut(all, this.#threads);
    const helped = others.map(async (share, i) => {
      if (share.length === 0) return undefined;
      const reply = await this.#helpers![i]!.unpack(share);
      for (const { tensors, panels } of reply.work) {
        for (const part of Object.keys(tensors) as (keyof typeof tensors)[])
          this.#tensors.set(tensors[part]!, panels[part]!);
      }
      return reply.fault;
    });
    const faults = [this.#unpacker.unpack(own), ...(await Promise.all(helped))];
    const fault = faults.find((one) => one !== undefined);
    if (fault) throw errorOf(fault);
  }

  #free(tensor: number): void {
    const data = this.#tensors.get(tensor);
    this.#tensors.delete(tensor);
    if (!data || data.byteLength < LARGE_BYTES) return;
    // Runs that go on although their caller has gone still see it; the collector has it when they end.
    const isSeen = [...this.#repeated.values()].some(({ prepared }) => prepared.some((run) => sees(run, data.buffer)));
    if (!isSeen) giveBack(data.buffer as ArrayBuffer);
  }

  #data(tensor: number): Data {
    const data = this.#tensors.get(tensor);
    if (!data) throw new Error(`tensor ${tensor} is not in the store`);
    return data;
  }
}

/** Marks the elements that are what ends runs, and tells whether they do. */
function hasEnded(
  { dtype, values, atOnce }: NonNullable<RepeatRequest["until"]>,
  buffer: ArrayBuffer,
  ended: boolean[],
): boolean {
  const elements = Array.from(viewAs(dtype, new Uint8Array(buffer)), Number);
  elements.forEach((element, i) => (ended[i] ||= values.includes(element)));
  return ended.every(Boolean) || elements.some((element) => atOnce.includes(element));
}

function sees({ fed, wanted }: Prepared, buffer: ArrayBufferLike): boolean {
  return [...Object.values(fed), ...Object.values(wanted)].some((tensor) => (tensor?.data as Data)?.buffer === buffer);
}

const { port1: closed } = new MessageChannel();
closed.close();

/**
 * Frees the memory at once, which the collector of garbage might do in minutes, or never: a message to a closed port is dropped, with
 * everything that was moved into it.
 */
function giveBack(buffer: ArrayBuffer): void {
  closed.postMessage(undefined, [buffer]);
}

/** Frees a session, and with it a profile that nobody asked for. */
async function release({ runtime, profile }: Kept): Promise<void> {
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
