import { checkRun, isTensor, type RunOptions, type Tensor } from "@paligemma/backend";
import { ndArray, type DType, type NdArray } from "@paligemma/core";
import { CPU, buildGraph, concat } from "@paligemma/graph";
import { describe, expect, test } from "vitest";

const MODEL = buildGraph("cache", CPU, (g) => {
  const [past, fresh] = [g.input("past", "float32", ["past", 2]), g.input("fresh", "float32", ["tokens", 2])];
  g.input("ids", "int64", ["tokens"]);
  return { all: concat([past, fresh], 0, "total"), fresh2: fresh };
});

function tensor(dtype: DType, shape: readonly number[]): Tensor {
  const made: Tensor = { dtype, shape, rows: () => made, dispose: () => undefined, [Symbol.dispose]: () => undefined };
  return made;
}

function floats(...shape: number[]): NdArray {
  return ndArray("float32", shape, new Float32Array(shape.reduce((a, b) => a * b, 1)));
}

const IDS = ndArray("int64", [3], new BigInt64Array(3));
const FEEDS = { past: floats(5, 2), fresh: floats(3, 2), ids: IDS };
const HOST: RunOptions = { host: ["all"] };

describe("checkRun", () => {
  test("takes what fits, arrays and tensors, also of nothing", () => {
    checkRun(MODEL, FEEDS, HOST);
    checkRun(
      MODEL,
      { ...FEEDS, past: tensor("float32", [0, 2]) },
      { device: ["all"], into: { fresh2: tensor("float32", [3, 2]) } },
    );
  });

  test("lists all that is wrong with the feeds", () => {
    const feeds = { past: floats(5, 3), fresh: tensor("float16", [3, 2]), other: IDS };
    expect(() => checkRun(MODEL, feeds, HOST)).toThrow(
      "backend/feeds: the graph cache cannot be fed so: past is [5, 3], the graph takes [past, 2]; fresh is float16, the graph takes float32; ids is missing; other is no input. Inputs are past, fresh, ids",
    );
  });

  test("one name is one size", () => {
    expect(() => checkRun(MODEL, { ...FEEDS, fresh: floats(4, 2) }, HOST)).toThrow("tokens is 4 in fresh and 3 in ids");
  });

  test("outputs must exist, be asked for, and once", () => {
    expect(() => checkRun(MODEL, FEEDS, {})).toThrow(
      "backend/outputs: graph cache: no output was asked for. Outputs are all, fresh2",
    );
    expect(() => checkRun(MODEL, FEEDS, { host: ["al"] })).toThrow("al is unknown or asked for twice");
    expect(() => checkRun(MODEL, FEEDS, { host: ["all"], device: ["all"] })).toThrow(
      "all is unknown or asked for twice",
    );
  });

  test("an output fits the tensor it is written into, as far as the run's sizes are known", () => {
    expect(() => checkRun(MODEL, FEEDS, { into: { fresh2: tensor("float32", [4, 2]) } })).toThrow(
      "backend/outputs: graph cache: fresh2 is float32 [3, 2] and cannot be written into float32 [4, 2]",
    );
    expect(() => checkRun(MODEL, FEEDS, { into: { fresh2: tensor("int64", [3, 2]) } })).toThrow("into int64 [3, 2]");
    expect(() => checkRun(MODEL, FEEDS, { into: { all: tensor("float32", [8]) } })).toThrow(
      "all is float32 [total, 2]",
    );
    checkRun(MODEL, FEEDS, { into: { all: tensor("float32", [8, 2]) } });
  });

  test("unknown options are errors", () => {
    expect(() => checkRun(MODEL, FEEDS, { hots: ["all"] } as object)).toThrow(
      "backend/option: run has no option hots; is host meant?",
    );
  });
});

test("isTensor tells tensors from arrays", () => {
  expect([isTensor(tensor("float32", [1])), isTensor(IDS)]).toEqual([true, false]);
});
