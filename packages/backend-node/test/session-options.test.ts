import { mkdtemp, open, readFile, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Worker } from "node:worker_threads";
import { createNodeBackend } from "@paligemma/backend-node";
import type { Backend } from "@paligemma/backend";
import { ndArray } from "@paligemma/core";
import {
  CPU,
  add,
  buildGraph,
  cast,
  checkpointWeights,
  concat,
  encodeOnnx,
  geluTanh,
  linear,
  matMul,
  mul,
  type GraphModel,
  type Value,
} from "@paligemma/graph";
import type { DType } from "@paligemma/core";
import type { Checkpoint } from "@paligemma/weights";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";

// The runtime takes any key in silence, right or wrong. So each key is tested for what it does.

type Options = InferenceSession.SessionOptions & {
  readonly extra: { readonly session: Record<string, string>; readonly optimization: Record<string, string> };
};

let folder = "";
let backend: Backend;
let worker: Worker;

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), "session-options-")));
  const started = new Promise<Worker>((resolve) => process.once("worker", resolve));
  backend = await createNodeBackend({ threads: 1 });
  worker = await started;
});
afterAll(async () => {
  await backend.dispose();
  await rm(folder, { recursive: true });
});

/** The options with which the backend has the runtime compile a graph. */
async function optionsFor(model: GraphModel): Promise<Options> {
  const post = vi.spyOn(worker, "postMessage");
  await using session = await backend.compile(model);
  expect(session.model).toBe(model);
  const request = post.mock.calls
    .map(([message]) => message as { kind: string; options: Options })
    .find(({ kind }) => kind === "compile");
  post.mockRestore();
  return request!.options;
}

const half = buildGraph("half", CPU, (g) => {
  const weight = g.constant(ndArray("bfloat16", [64], new Uint16Array(64).fill(0x3f80)));
  return { y: add(g.input("x", "float32", [64]), cast(weight, "float32")) };
});

/** A checkpoint of one tensor of zeros in a file that takes no room on the disk. */
async function zeros(dtype: DType, shape: readonly [number, number], width: number): Promise<Checkpoint> {
  const path = join(folder, `zeros.${dtype}`);
  const size = shape[0] * shape[1] * width;
  await using file = await open(path, "w");
  await file.truncate(size);
  const source = { name: path, path, size, read: () => Promise.reject(new Error("mapped")) };
  return {
    tensors: new Map([["weight", { name: "weight", dtype, shape, source, start: 0, end: size }]]),
    metadata: {},
    read: () => Promise.reject(new Error("unused")),
  };
}

/** Bytes of memory that belong to this process alone and are no file. */
async function privateBytes(): Promise<number> {
  const [, kilobytes] = /^Anonymous:\s+(\d+) kB$/m.exec(await readFile("/proc/self/smaps_rollup", "utf8"))!;
  return Number(kilobytes) * 1024;
}

describe("options of sessions", () => {
  test("the limit of constant folding: half-precision weights are converted at load, and would not be under a limit", async () => {
    const options = await optionsFor(half);
    const key = Object.keys(options.extra.optimization);
    expect(key).toHaveLength(1);
    expect(options.extra.optimization[key[0]!]).toBe("0");

    async function casts(limit: string): Promise<boolean> {
      const optimizedModelFilePath = join(folder, `limit-${limit}.onnx`);
      const session = await InferenceSession.create(
        encodeOnnx(half, () => {
          throw new Error("no weights outside");
        }).bytes,
        {
          ...options,
          optimizedModelFilePath,
          extra: { ...options.extra, optimization: { [key[0]!]: limit } },
        },
      );
      await session.release();
      // Field 4 of a node (tag 0x22) is its operator.
      return (await readFile(optimizedModelFilePath)).includes(Buffer.from("\u0022\u0004Cast"));
    }
    expect(await casts("0")).toBe(false);
    expect(await casts("16")).toBe(true);
  });

  test.runIf(process.platform === "linux")("prepacking is off: float32 weights in a file stay there", async () => {
    const [out, input] = [4096, 8192];
    const checkpoint = await zeros("float32", [out, input], 4);
    const model = buildGraph("mapped", CPU, (g) => ({
      y: linear(g.input("x", "float32", ["n", input]), checkpointWeights(g, checkpoint), out),
    }));
    const before = await privateBytes();
    await using session = await backend.compile(model);
    const { host } = await session.run({ x: ndArray("float32", [1, input], new Float32Array(input)) }, { host: ["y"] });
    expect(host["y"]!.shape).toEqual([1, out]);
    expect((await privateBytes()) - before).toBeLessThan((out * input * 4) / 2);
  });

  test("prepacking is on where a graph has block-quantised weights", async () => {
    const nbits = buildGraph("nbits", CPU, (g) => {
      const attributes = {
        K: { int: 32 },
        N: { int: 2 },
        bits: { int: 4 },
        block_size: { int: 32 },
        accuracy_level: { int: 4 },
      };
      const inputs = [
        g.input("x", "float32", ["n", 32]),
        g.constant(ndArray("uint8", [2, 1, 16], new Uint8Array(32))),
        g.constant(ndArray("float32", [2], Float32Array.of(1, 1))),
      ];
      return {
        y: g.node({
          op: "MatMulNBits",
          domain: "com.microsoft",
          inputs,
          attributes,
          outputs: [{ dtype: "float32", shape: ["n", 2] }],
        })[0]!,
      };
    });
    expect((await optionsFor(nbits)).extra.session["disable_prepacking"]).toBe("0");
    expect((await optionsFor(half)).extra.session["disable_prepacking"]).toBe("1");
  });

  test("prepacking is on where matrices are converted, which copies them anyway", async () => {
    const checkpoint = await zeros("bfloat16", [64, 64], 2);
    const converted = buildGraph("converted", CPU, (g) => ({
      y: linear(g.input("x", "float32", ["n", 64]), checkpointWeights(g, checkpoint), 64),
    }));
    expect((await optionsFor(converted)).extra.session["disable_prepacking"]).toBe("0");
  });

  test("graphs built here are taken as they are, those of files are optimised", async () => {
    const gelu = buildGraph("gelu", CPU, (g) => ({
      y: geluTanh(add(g.input("x", "float32", ["n", 8]), g.constant(ndArray("float32", [8], new Float32Array(8))))),
    }));
    async function operators(model: GraphModel): Promise<readonly string[]> {
      const optimizedModelFilePath = join(folder, `operators-${model.name}-${model.opset ?? "own"}.onnx`);
      const { bytes } = encodeOnnx(model, () => {
        throw new Error("no weights outside");
      });
      const session = await InferenceSession.create(bytes, { ...(await optionsFor(model)), optimizedModelFilePath });
      await session.release();
      const written = await readFile(optimizedModelFilePath, "latin1");
      return ["FastGelu", "Add", "Mul", "Concat"].filter((name) =>
        written.includes(`\u0022${String.fromCharCode(name.length)}${name}`),
      );
    }
    expect(await operators(gelu)).toEqual(["Add"]);
    expect(await operators({ ...gelu, opset: 23 })).toEqual(["FastGelu"]);
    // What constants make is computed once, but for what takes no time in each run either.
    const constants = (name: string, make: (a: Value, b: Value) => Value): GraphModel =>
      buildGraph(name, CPU, (g) => {
        const [a, b] = [1, 2].map((value) => g.constant(ndArray("float32", [1], Float32Array.of(value))));
        return { y: add(g.input("x", "float32", ["n", 1]), make(a!, b!)) };
      });
    expect(await operators(constants("product", mul))).toEqual(["Add"]);
    expect(await operators(constants("row", (a, b) => concat([a, b], 0)))).toEqual(["Add", "Concat"]);
  });

  test("threads rest when a run has ended", async () => {
    const product = buildGraph("product", CPU, (g) => {
      const x = g.input("x", "float32", [256, 256]);
      return { y: matMul(x, x) };
    });
    const { bytes } = encodeOnnx(product, () => {
      throw new Error("no weights outside");
    });
    const options = await optionsFor(product);
    const x = new Tensor("float32", new Float32Array(256 * 256), [256, 256]);
    /** Processor time after runs, while this thread sleeps for 5 ms each time, in ms. */
    async function restless(value: string): Promise<number> {
      const session = await InferenceSession.create(bytes, {
        ...options,
        intraOpNumThreads: 2,
        extra: { ...options.extra, session: { ...options.extra.session, force_spinning_stop: value } },
      });
      let used = 0;
      for (let i = 0; i < 20; i++) {
        await session.run({ x });
        const before = process.cpuUsage();
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
        const { user, system } = process.cpuUsage(before);
        used += user + system;
      }
      await session.release();
      return used / 1000;
    }
    const set = options.extra.session["force_spinning_stop"]!;
    expect(await restless(set)).toBeLessThan((await restless("0")) / 2);
  });

  test("every value is text, as the runtime wants it", async () => {
    const { extra } = await optionsFor(half);
    for (const group of [extra.session, extra.optimization])
      for (const value of Object.values(group)) expect(value).toBeTypeOf("string");
  });
});
