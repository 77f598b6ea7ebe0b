import { open, realpath, stat } from "node:fs/promises";
import { PaliGemmaError, ndArray } from "@paligemma/core";
import { buildGraph, CPU } from "@paligemma/graph";
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

/** Bytes of a row, and rows: enough for the widest kernels, and for the one that takes a single row. */
const [WIDTH, ROWS] = [256, 32];
const [HIGH_BYTE, HIGHEST] = [255, 127];

/**
 * True where the runtime adds products of bytes without loss on this processor. x86 without VNNI adds two of them in 16 bits,
 * and what does not fit is cut off in silence.
 */
export async function multipliesBytes(backend: Backend): Promise<boolean> {
  const model = buildGraph("bytes", CPU, (g) => ({
    sums: g.node({
      op: "MatMulInteger",
      inputs: [
        g.input("x", "uint8", ["rows", WIDTH]),
        g.constant(ndArray("int8", [1, WIDTH, WIDTH], new Int8Array(WIDTH * WIDTH).fill(HIGHEST))),
      ],
      outputs: [{ dtype: "int32", shape: [1, "rows", WIDTH] }],
    })[0]!,
  }));
  await using session = await backend.compile(model);
  for (const rows of [1, ROWS]) {
    const x = ndArray("uint8", [rows, WIDTH], new Uint8Array(rows * WIDTH).fill(HIGH_BYTE));
    const { host } = await session.run({ x }, { host: ["sums"] });
    if ((host["sums"]!.data as Int32Array).some((sum) => sum !== WIDTH * HIGHEST * HIGH_BYTE)) return false;
  }
  return true;
}

async function bytesAt(path: string): Promise<Uint8Array> {
  await using file = await open(path);
  const { buffer } = await file.read(new Uint8Array(LENGTH), 0, LENGTH, OFFSET);
  return buffer;
}
