import { isPaliGemmaError, type PaliGemmaError, type DType, type ErrorCode, type NdArray } from "@paligemma/core";
import {
  buildGraph,
  cast,
  type Graph,
  type GraphModel,
  type GraphOptions,
  type Target,
  type Value,
} from "@paligemma/graph";
import type { ByteSource, Checkpoint, TensorRef } from "@paligemma/weights";
import { expect } from "vitest";
import type { Backend, Feeds } from "../backend.ts";
import { memory } from "./arrays.ts";

/** What the tests of the suite are written with. */
export interface Bench {
  /** The backend under test; only inside a test. */
  readonly backend: Backend;
  /** Another one of the same kind, of the test itself. */
  readonly create: () => Promise<Backend>;
  readonly tolerances: BackendTolerances;
  /** Ways to keep bytes that weights are read from, by name. */
  readonly sources: Readonly<Record<string, MakeSource>>;
  readonly test: (name: string, body: () => Promise<void>) => void;
}

/** Puts bytes somewhere and gives the source that reads them. */
export type MakeSource = (bytes: Uint8Array) => Promise<ByteSource>;

/** Distances that count as equal, relative to the largest expected magnitude (or absolute, where all are below 1). */
export interface BackendTolerances {
  /** One operator of a few hundred terms. */
  readonly operator: number;
  /** Numbers that are only moved. */
  readonly moved: number;
}

/** What float32 arithmetic reaches. */
export const BACKEND_TOLERANCES: BackendTolerances = { operator: 1e-5, moved: 0 };

/** What float16 arithmetic reaches, whose inputs are rounded to 11 bits, and sums of convolutions as well. */
export const HALF_TOLERANCES: BackendTolerances = { operator: 5e-3, moved: 2 ** -11 };

/**
 * The graph with its float32 inputs and constants brought to the arithmetic format: tests are written in float32, whatever
 * the backend computes in.
 */
export function inArithmeticFormat(g: Graph): Graph {
  const { compute } = g.target;
  const brought = (value: Value): Value => (value.dtype === "float32" ? cast(value, compute) : value);
  return {
    ...g,
    input: (name, dtype, shape) => brought(g.input(name, dtype, shape)),
    constant: (array) => brought(g.constant(array)),
  };
}

/** Builds, compiles and runs a graph once, and brings all its outputs to the host, in float32 where they are numbers. */
export async function runOnce(
  backend: Backend,
  feeds: Feeds,
  define: (g: Graph) => Readonly<Record<string, Value>>,
  target: Target = backend.target,
  options: GraphOptions = {},
): Promise<Readonly<Record<string, NdArray>>> {
  const inFloat32 = (g: Graph): Readonly<Record<string, Value>> => {
    const outputs = Object.entries(define(inArithmeticFormat(g)));
    return Object.fromEntries(
      outputs.map(([name, value]) => [name, value.dtype === target.compute ? cast(value, "float32") : value]),
    );
  };
  const model = buildGraph("test", target, inFloat32, options);
  await using session = await backend.compile(model);
  const { host } = await session.run(feeds, { host: model.outputs.map((port) => port.name) });
  return host;
}

/** A checkpoint that holds the arrays one after another in one source, the first at byte `offset`. */
export async function checkpointWith(
  arrays: Readonly<Record<string, NdArray>>,
  {
    offset = 0,
    source: make = (bytes) => Promise.resolve(memory(bytes)),
  }: { readonly offset?: number; readonly source?: MakeSource } = {},
): Promise<Checkpoint> {
  const entries = Object.entries(arrays);
  const bytes = new Uint8Array(entries.reduce((sum, [, array]) => sum + array.data.byteLength, offset));
  const places = new Map<string, { readonly start: number; readonly array: NdArray }>();
  let start = offset;
  for (const [name, array] of entries) {
    bytes.set(new Uint8Array(array.data.buffer, array.data.byteOffset, array.data.byteLength), start);
    places.set(name, { start, array });
    start += array.data.byteLength;
  }
  const source = await make(bytes);
  const tensors = new Map<string, TensorRef>();
  for (const [name, { start: at, array }] of places) {
    tensors.set(name, {
      name,
      dtype: array.dtype,
      shape: array.shape,
      source,
      start: at,
      end: at + array.data.byteLength,
    });
  }
  return { tensors, metadata: {}, read: (name) => Promise.resolve(arrays[name]!) };
}

/** Expects `act` to fail with an error of this code, thrown at once or by its promise. */
export async function expectCode(code: ErrorCode, act: () => unknown): Promise<PaliGemmaError> {
  let failure: unknown;
  try {
    await act();
  } catch (error) {
    failure = error;
  }
  expect(failure, `should have failed with ${code}`).toBeInstanceOf(Error);
  expect(isPaliGemmaError(failure) ? failure.code : String(failure)).toBe(code);
  return failure as PaliGemmaError;
}

/** A tiny graph: `y = x + x`, x [n]. */
export function doubling(target: Target, dtype: DType = "float32"): GraphModel {
  return buildGraph("doubling", target, (g) => {
    const x = g.input("x", dtype, ["n"]);
    return { y: g.node({ op: "Add", inputs: [x, x], outputs: [x] })[0]! };
  });
}
