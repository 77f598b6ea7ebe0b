import {
  DTYPES,
  PaliGemmaError,
  allocate,
  bitsOf,
  bytesFor,
  fromFloat32,
  isPaliGemmaError,
  ndArray,
  nearest,
  toFloat32,
  unknownKeys,
  viewAs,
  zeros,
} from "@paligemma/core";
import { describe, expect, it } from "vitest";

describe("arrays", () => {
  it("are allocated in every format with the bytes that the format takes", () => {
    for (const dtype of DTYPES) {
      expect(allocate(dtype, 5).byteLength).toBe(bytesFor(dtype, 5));
      expect(bytesFor(dtype, 8)).toBe(bitsOf(dtype));
      expect(zeros(dtype, [2, 3]).shape).toEqual([2, 3]);
    }
  });

  it("refuse data of another size than their shape", () => {
    expect(() => ndArray("float32", [3], new Float32Array(2))).toThrow(/core\/shape: data has 2 elements.*needs 3/);
    expect(ndArray("int4", [3], new Uint8Array(2)).data.length).toBe(2);
    expect(ndArray("float32", [], new Float32Array(1)).shape).toEqual([]);
  });

  it("are viewed in place where aligned, copied where not", () => {
    const bytes = new Uint8Array(12).fill(1);
    expect(viewAs("float32", bytes.subarray(4)).buffer).toBe(bytes.buffer);
    expect([...viewAs("int32", bytes.subarray(1, 9))]).toEqual([0x0101_0101, 0x0101_0101]);
    expect(() => viewAs("float32", bytes.subarray(0, 5))).toThrow(/core\/bytes/);
  });

  it("change between floating-point formats", () => {
    const values = ndArray("float32", [3], Float32Array.of(1, -0.5, 65504));
    for (const dtype of ["float16", "bfloat16", "float32"] as const) {
      const back = toFloat32(fromFloat32(values, dtype)).data;
      expect([...back.subarray(0, 2)]).toEqual([1, -0.5]);
    }
    expect([...toFloat32(ndArray("int64", [2], BigInt64Array.of(-3n, 4n))).data]).toEqual([-3, 4]);
    expect(() => toFloat32(zeros("int4", [2]))).toThrow(/core\/dtype/);
  });
});

describe("errors", () => {
  it("carry a code and a cause, and are known across copies of the package", () => {
    const cause = new Error("why");
    const error = new PaliGemmaError("area/what", "prose", { cause });
    expect(error.message).toBe("area/what: prose");
    expect(error.cause).toBe(cause);
    expect(isPaliGemmaError(error, "area/what")).toBe(true);
    expect(isPaliGemmaError(error, "area/other")).toBe(false);
    expect(isPaliGemmaError(Object.assign(new Error("copy"), { name: "PaliGemmaError", code: "a/b" }))).toBe(true);
    expect(isPaliGemmaError(cause)).toBe(false);
  });
});

describe("suggestions", () => {
  it("name what was probably meant, or nothing", () => {
    expect(nearest("temperatur", ["topK", "temperature"])).toBe("temperature");
    expect(nearest("zebra", ["topK", "temperature"])).toBeUndefined();
    expect(unknownKeys({ topk: 1, topP: 1 }, ["topK", "topP"])).toEqual([{ key: "topk", meant: "topK" }]);
  });
});
