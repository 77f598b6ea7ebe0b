import type { CompileOptions, Session } from "@paligemma/backend";
import { encodeOnnx, type GraphModel, type Target } from "@paligemma/graph";
import type * as Ort from "onnxruntime-common";
import { SESSION_OPTIONS, compileError } from "../compile.ts";
import { gpuFormat } from "../formats.ts";
import { bindWeights } from "../weights/inline.ts";
import { planWeights, type WeightPlan } from "../weights/plan.ts";
import type { HeldWeights } from "../weights/store.ts";
import { halfCasts } from "./half-casts.ts";
import { scoped } from "./faults.ts";
import type { GpuParts } from "./parts.ts";
import { GpuSession } from "./session.ts";
import { tellSizes } from "./sizes.ts";
import { addWithinNorms } from "./skip-norms.ts";

/** Tensors up to this size become constants of their graph: norms and biases, some megabytes of a whole model. */
const INLINE_BYTES = 32_768;

/** How a graph is compiled for the GPU. */
export interface GpuCompileOptions extends CompileOptions {
  readonly target: Target;
  /** Refuse operators that the GPU has not. */
  readonly strict: boolean;
}

/** Streams the weights to the GPU, then lets the runtime compile the graph, whose big weights are inputs. */
export async function compileGpu(parts: GpuParts, model: GraphModel, options: GpuCompileOptions): Promise<Session> {
  const { life, runtime, device, weights, constants, sessions, counts } = parts;
  const plan = planWeights(model, options.target, INLINE_BYTES, weights.maxBufferSize);
  const onHeld = (bytes: number): void => void (counts.stagingBytesPeak = Math.max(counts.stagingBytesPeak, bytes));
  const stream = { ...options, onHeld };
  const inline = constants.begin(plan.inline);
  const held = await life.guard(
    weights.load(plan.streamed, inline, { ...stream, task: `move weights of ${model.name} to the GPU` }),
  );
  try {
    constants.keep(inline);
    const { model: bound, sizes } = tellSizes(addWithinNorms(bindWeights(plan, inline.arrays)));
    const { bytes } = encodeOnnx(bound, ({ name, start, end }) => ({
      location: name,
      offset: start,
      length: end - start,
    }));
    options.signal?.throwIfAborted();
    const creating = runtime.exclusive(() =>
      scoped(device, `the graph ${model.name}`, () => createSession(parts, model, bytes, options.strict)),
    );
    const session = await life.guard(creating).catch((cause: unknown) => {
      throw life.over ?? compileError(model, cause);
    });
    const compiled = new GpuSession(parts, model, {
      session,
      held,
      constants: inline.arrays,
      weights: weightTensors(parts, plan, held),
      sizes,
      inputs: new Set(session.inputNames),
    });
    sessions.add(compiled);
    options.onProgress?.({ task: `compile ${model.name}`, done: 1, total: 1, unit: "items" });
    return compiled;
  } catch (error) {
    held.release();
    throw error;
  }
}

function createSession(
  { runtime, device }: GpuParts,
  model: GraphModel,
  bytes: Uint8Array,
  strict: boolean,
): Promise<Ort.InferenceSession> {
  const onProcessor = device.features.has("shader-f16") ? [] : halfCasts(model);
  // The runtime chokes on an empty list.
  const provider = { name: "webgpu", device, ...(onProcessor.length > 0 && { forceCpuNodeNames: onProcessor }) };
  return runtime.ort.InferenceSession.create(bytes, {
    ...SESSION_OPTIONS,
    executionProviders: [provider],
    ...(strict && { extra: { session: { disable_cpu_ep_fallback: "1" } } }),
  });
}

function weightTensors(
  { runtime }: GpuParts,
  { streamed }: WeightPlan,
  { buffers }: HeldWeights,
): Record<string, Ort.Tensor> {
  const tensors = streamed.map(({ name, dtype, shape }) => {
    const tensor = runtime.ort.Tensor.fromGpuBuffer(buffers.get(name)!, {
      dataType: gpuFormat(dtype),
      dims: [...shape],
    });
    return [name, tensor] as const;
  });
  return Object.fromEntries(tensors);
}
