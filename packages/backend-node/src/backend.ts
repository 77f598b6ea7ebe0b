import { isNumbers, type CompileOptions, type Requantization, type Session, type Tensor } from "@paligemma/backend";
import { PaliGemmaError, bytesFor, sizeOf, unknownKeys, viewAs, type DType, type NdArray } from "@paligemma/core";
import { CPU, CUDA, formatShape, sameShape, type GraphModel, type Target } from "@paligemma/graph";
import { bytesOf, checkShape } from "./array-bytes.ts";
import { compileGraph } from "./compile.ts";
import type { WorkerLink } from "./link.ts";
import type { NodeBackendOptions } from "./options.ts";
import type { GraphProfile } from "./profile.ts";
import { requantizeRequest } from "./requantize.ts";
import { NodeSession } from "./session.ts";
import type { NodeBackend, NodeBackendStats } from "./stats.ts";
import { NodeTensor, slotsOf } from "./tensor.ts";

/** What unpacking is called in a profile. */
const UNPACKING = "matrices that become panels";

/** onnxruntime-node behind the worker's link. */
export class WorkerBackend implements NodeBackend {
  readonly name: string;
  readonly target: Target;
  readonly requantize?: (work: readonly Requantization[]) => Promise<void>;
  readonly #link: WorkerLink;
  readonly #options: NodeBackendOptions;
  /** Names of sessions whose profile was not read yet. */
  readonly #profiled = new Map<number, string>();
  readonly #profiles: GraphProfile[] = [];
  #ended = false;

  constructor(link: WorkerLink, version: string, options: NodeBackendOptions, target?: Target) {
    const { device = "cpu" } = options;
    this.name = `onnxruntime-node ${version} on ${device}`;
    this.target = target ?? (device === "cuda" ? CUDA : CPU);
    this.#link = link;
    this.#options = options;
    if (this.target.fused.has("MatMulInteger"))
      this.requantize = async (work) => {
        link.mustBeOpen();
        const names = work.map(({ matrix }) => (isNumbers(matrix) ? matrix : matrix.data).name).join(", ");
        await link.ask(requantizeRequest(link, work), `unpack ${names}`);
      };
  }

  compile(model: GraphModel, options: CompileOptions = {}): Promise<Session> {
    this.#link.mustBeOpen();
    const [unknown] = unknownKeys(options, ["onProgress", "signal"]);
    if (unknown)
      throw new PaliGemmaError(
        "backend/option",
        `compile has no option ${unknown.key}${unknown.meant ? `; is ${unknown.meant} meant?` : ""}`,
      );
    return compileGraph(this.#link, model, this.#options, options).then((session) => {
      if (this.#options.profile !== true) return new NodeSession(this.#link, session, model);
      this.#profiled.set(session, model.name);
      return new NodeSession(this.#link, session, model, () => this.#readProfile(session));
    });
  }

  allocate(dtype: DType, shape: readonly number[]): Promise<Tensor> {
    this.#link.mustBeOpen();
    checkShape(shape, "the tensor to allocate");
    const tensor = this.#link.fresh();
    const request = { kind: "allocate", id: this.#link.fresh(), tensor, dtype, count: sizeOf(shape) } as const;
    const made = NodeTensor.of(this.#link, tensor, dtype, [...shape]);
    return this.#link
      .ask(request, `allocate ${dtype} ${formatShape(shape)}, ${bytesFor(dtype, sizeOf(shape))} bytes`)
      .then(() => made);
  }

  upload(array: NdArray): Promise<Tensor> {
    this.#link.mustBeOpen();
    const { dtype, shape } = array;
    const bytes = bytesOf(array, "the array to upload").slice().buffer;
    const tensor = this.#link.fresh();
    const made = NodeTensor.of(this.#link, tensor, dtype, [...shape]);
    return this.#link
      .ask({ kind: "upload", id: this.#link.fresh(), tensor, dtype, bytes }, `upload ${dtype} ${formatShape(shape)}`, {
        move: [bytes],
      })
      .then(() => made);
  }

  async #download({ id: tensor, start, slots: count, dtype, shape }: NodeTensor): Promise<NdArray> {
    const reply = await this.#link.ask(
      { kind: "download", id: this.#link.fresh(), tensor, start, slots: count },
      `download ${dtype} ${formatShape(shape)}`,
    );
    if (reply.kind !== "bytes")
      throw new PaliGemmaError("backend/worker", `a download was answered with ${reply.kind}`);
    return { dtype, shape, data: viewAs(dtype, new Uint8Array(reply.bytes)) };
  }

  download(tensor: Tensor): Promise<NdArray> {
    this.#link.mustBeOpen();
    return this.#download(NodeTensor.use(tensor, this.#link, "the tensor to download"));
  }

  copy(from: Tensor, to: Tensor): Promise<void> {
    this.#link.mustBeOpen();
    const a = NodeTensor.use(from, this.#link, "the tensor to copy from");
    const b = NodeTensor.use(to, this.#link, "the tensor to copy to");
    if (a.dtype !== b.dtype || !sameShape(a.shape, b.shape)) {
      throw new PaliGemmaError(
        "backend/shape",
        `cannot copy ${a.dtype} ${formatShape(a.shape)} to ${b.dtype} ${formatShape(b.shape)}: types and shapes must be equal`,
      );
    }
    if (a.id === b.id && a.start < b.start + b.slots && b.start < a.start + a.slots) {
      throw new PaliGemmaError(
        "backend/overlap",
        `cannot copy between overlapping rows of one tensor; copy by way of another tensor`,
      );
    }
    const request = {
      kind: "copy",
      id: this.#link.fresh(),
      from: a.id,
      fromStart: a.start,
      to: b.id,
      toStart: b.start,
      slots: slotsOf(a.dtype, a.shape),
    } as const;
    return this.#link.ask(request, "copy").then(() => undefined);
  }

  stats(): Promise<NodeBackendStats> {
    this.#link.mustBeOpen();
    return this.#link.ask({ kind: "count", id: this.#link.fresh() }, "count").then((reply) => {
      if (reply.kind !== "counted")
        throw new PaliGemmaError("backend/worker", `a count was answered with ${reply.kind}`);
      const { tensors, tensorBytes, sessions, runMilliseconds, unpackMilliseconds, unpackings } = reply;
      return { tensors, tensorBytes, sessions, runMilliseconds, unpackMilliseconds, unpackings };
    });
  }

  async #readProfile(session: number): Promise<void> {
    const graph = this.#profiled.get(session);
    if (graph === undefined) return;
    this.#profiled.delete(session);
    const reply = await this.#link.ask({ kind: "profile", id: this.#link.fresh(), session }, `profile ${graph}`);
    if (reply.kind !== "profiled")
      throw new PaliGemmaError("backend/worker", `a profile was answered with ${reply.kind}`);
    this.#profiles.push({ graph, ...reply.profile });
  }

  async endProfile(): Promise<readonly GraphProfile[]> {
    this.#link.mustBeOpen();
    if (this.#options.profile !== true)
      throw new PaliGemmaError(
        "backend/option",
        "there is no profile: make the backend with createNodeBackend({ profile: true })",
      );
    for (const session of this.#profiled.keys()) await this.#readProfile(session);
    if (!this.#ended) {
      const { unpackMilliseconds: milliseconds, unpackings: runs } = await this.stats();
      // No graph, but what runs that use the matrices wait for.
      if (runs > 0) this.#profiles.push({ graph: UNPACKING, runs, milliseconds, operators: [] });
    }
    this.#ended = true;
    return [...this.#profiles];
  }

  dispose(): Promise<void> {
    return this.#link.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}
