import { open, realpath, stat } from "node:fs/promises";
import { PaliGemmaError, ndArray } from "@paligemma/core";
import { buildGraph, CPU, type Value } from "@paligemma/graph";
import type { Backend } from "@paligemma/backend";
import type { ByteSource } from "@paligemma/weights";

/** Odd, as tensors of real checkpoints often lie. */
const OFFSET = 1;
const LENGTH = 16;

/**
 * Runs a graph whose weights are bytes of the file at `path`, and throws `backend/unavailable` unless they arrive: whether
 * a runtime maps files from anywhere has changed between its versions, and nothing else shows it.
 */
export async function checkMappedWeights(backend: Backend, path: string): Promise<void> {
  const real = await realpath(path);
  const { size } = await stat(real);
  const source: ByteSource = {
    name: real,
    path: real,
    size,
    read: () => Promise.reject(new Error("a mapped file is not read")),
  };
  const model = buildGraph("self-test", backend.target, (g) => {
    const bytes = g.external("bytes", "uint8", [LENGTH], {
      name: "bytes",
      dtype: "uint8",
      shape: [LENGTH],
      source,
      start: OFFSET,
      end: OFFSET + LENGTH,
    });
    return {
      joined: g.node({
        op: "Concat",
        inputs: [bytes, g.input("x", "uint8", [1])],
        attributes: { axis: { int: 0 } },
        outputs: [{ dtype: "uint8", shape: [LENGTH + 1] }],
      })[0]!,
    };
  });
  await using session = await backend.compile(model);
  const { host } = await session.run({ x: ndArray("uint8", [1], Uint8Array.of(7)) }, { host: ["joined"] });
  const expected = [...(await bytesAt(real)), 7];
  if (expected.join() !== host["joined"]!.data.join()) {
    throw new PaliGemmaError(
      "backend/unavailable",
      `${backend.name} does not read weights from files as it should: ${real} came out as other bytes. Use the version of onnxruntime-node that this package pins`,
    );
  }
}

/** Bytes of a row: enough for the widest kernels. */
const WIDTH = 256;
const [HIGH_BYTE, HIGHEST, MIDDLE] = [255, 127, 128];

/**
 * True where the runtime adds products of bytes without loss on this processor. x86 without VNNI adds two of them in 16 bits,
 * and what does not fit is cut off in silence.
 */
export async function multipliesBytes(backend: Backend): Promise<boolean> {
  const model = buildGraph("bytes", CPU, (g) => {
    const scalar = (dtype: "uint8" | "float32", data: Uint8Array | Float32Array): Value =>
      g.constant({ dtype, shape: [], data });
    const weight = ndArray("int8", [WIDTH, WIDTH], new Int8Array(WIDTH * WIDTH).fill(HIGHEST));
    const ones = ndArray("float32", [WIDTH], new Float32Array(WIDTH).fill(1));
    const zeros = ndArray("int8", [WIDTH], new Int8Array(WIDTH));
    return {
      sums: g.node({
        op: "QGemm",
        domain: "com.microsoft",
        inputs: [
          g.input("x", "uint8", [1, WIDTH]),
          scalar("float32", Float32Array.of(1)),
          scalar("uint8", Uint8Array.of(MIDDLE)),
          g.constant(weight),
          g.constant(ones),
          g.constant(zeros),
        ],
        attributes: { transB: { int: 1 } },
        outputs: [{ dtype: "float32", shape: [1, WIDTH] }],
      })[0]!,
    };
  });
  await using session = await backend.compile(model);
  const x = ndArray("uint8", [1, WIDTH], new Uint8Array(WIDTH).fill(HIGH_BYTE));
  const { host } = await session.run({ x }, { host: ["sums"] });
  return (host["sums"]!.data as Float32Array).every((sum) => sum === WIDTH * HIGHEST * (HIGH_BYTE - MIDDLE));
}

async function bytesAt(path: string): Promise<Uint8Array> {
  await using file = await open(path);
  const { buffer } = await file.read(new Uint8Array(LENGTH), 0, LENGTH, OFFSET);
  return buffer;
}
