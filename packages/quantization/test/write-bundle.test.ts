import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { toFloat32, viewAs } from "@paligemma/core";
import { dequantizeMatrix } from "@paligemma/quantization";
import { writeBundle } from "@paligemma/quantization/node";
import { findQuantized } from "@paligemma/weights";
import { folderFiles, openCheckpoint, writeSafetensors } from "@paligemma/weights/node";
import { afterAll, beforeEach, expect, it } from "vitest";
import { TOLERANCES } from "../../../tooling/tolerances.ts";
import { gaussian, relativeError, tensorOf } from "./matrices.ts";

const TABLE = "language_model.model.embed_tokens.weight";
const NORM = "language_model.model.norm.weight";
const root = await mkdtemp(join(tmpdir(), "paligemma-bundle-"));
afterAll(() => rm(root, { recursive: true }));

let folder = "";
let from = "";
let count = 0;
const table = gaussian([300, 96], 1);
beforeEach(async () => {
  folder = join(root, String(count++));
  from = join(folder, "from");
  await mkdir(from, { recursive: true });
  await writeSafetensors(join(from, "model.safetensors"), [tensorOf(TABLE, table), tensorOf(NORM, gaussian([96], 2))]);
  for (const name of ["config.json", "tokenizer.json", "notes.txt", "optimizer.pt"])
    await writeFile(join(from, name), name);
});

it("writes a folder like any other, and says what was done", async () => {
  const reports: number[] = [];
  const made = await writeBundle(join(folder, "to"), await folderFiles(from), {
    dtype: "int8",
    onProgress: ({ done }) => reports.push(done),
  });
  expect(await readdir(folder)).toEqual(["from", "to"]);
  expect((await readdir(join(folder, "to"))).toSorted()).toEqual([...made.files].toSorted());
  expect(made.files).toEqual(["config.json", "tokenizer.json", "model.safetensors", "quantization.json"]);
  expect(await readFile(join(folder, "to/tokenizer.json"), "utf8")).toBe("tokenizer.json");
  expect(reports.length).toBeGreaterThan(1);

  const checkpoint = await openCheckpoint(join(folder, "to"));
  const back = await dequantizeMatrix(findQuantized(checkpoint, TABLE)!, 96);
  expect(relativeError(table.data, back.data)).toBeLessThan(TOLERANCES["quantization/int8 weights"]);
  expect((await checkpoint.read(NORM)).data).toEqual(gaussian([96], 2).data);
  const { matrices, ...rest } = JSON.parse(await readFile(join(folder, "to/quantization.json"), "utf8"));
  expect(rest).toEqual({ version: 1, dtype: "int8", vision: "float32", calibrated: false });
  expect(matrices).toEqual({
    [TABLE]: {
      shape: [300, 96],
      bits: 8,
      blockSize: 96,
      zeroPoints: false,
      relativeError: Number(made.matrices[0]!.relativeError.toPrecision(3)),
    },
  });
});

it("writes a vision encoder as float32, and goes on with it where it was stopped", async () => {
  const name = "vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight";
  const half = tensorOf(name, gaussian([1200, 1100], 3), "bfloat16");
  await writeSafetensors(join(from, "model.safetensors"), [tensorOf(TABLE, table), half]);
  const how = { dtype: "int8" } as const;
  const stop = new AbortController();
  const stopped = writeBundle(join(folder, "to"), await folderFiles(from), {
    ...how,
    signal: stop.signal,
    // One piece of the two that it is copied in is written.
    onProgress: ({ done }) => done > 2 ** 22 && stop.abort(new Error("enough")),
  });
  await expect(stopped).rejects.toThrow(/enough/);
  const reports: number[] = [];
  await writeBundle(join(folder, "to"), await folderFiles(from), {
    ...how,
    onProgress: ({ done }) => reports.push(done),
  });
  expect(reports[0]).toBeGreaterThan(0);
  const { dtype, shape, data } = await (await openCheckpoint(join(folder, "to"))).read(name);
  expect([dtype, shape]).toEqual(["float32", [1200, 1100]]);
  const bytes = await half.source.read(half.start, half.end);
  expect(data).toEqual(
    toFloat32({ dtype: "bfloat16", shape: [bytes.length / 2], data: viewAs("bfloat16", bytes) }).data,
  );
});

it("writes over nothing", async () => {
  await expect(writeBundle(from, await folderFiles(from), { dtype: "int8" })).rejects.toThrow(/quantization\/exists/);
  await expect(writeBundle(join(from, "config.json"), await folderFiles(from), { dtype: "int8" })).rejects.toThrow(
    /quantization\/exists/,
  );
  await mkdir(join(folder, "to"));
  await writeBundle(join(folder, "to"), await folderFiles(from), { dtype: "int4" });
  await expect(
    writeBundle(join(folder, "to"), await folderFiles(join(folder, "to")), { dtype: "int4" }),
  ).rejects.toThrow(/quantization\/exists/);
});

it("leaves nothing behind when it fails or is stopped", async () => {
  const stop = AbortSignal.abort(new Error("enough"));
  await expect(
    writeBundle(join(folder, "to"), await folderFiles(from), { dtype: "int8", signal: stop }),
  ).rejects.toThrow("enough");
  const bad = gaussian([300, 96], 1);
  bad.data[100] = Number.POSITIVE_INFINITY;
  await writeSafetensors(join(from, "model.safetensors"), [tensorOf(TABLE, bad)]);
  await expect(writeBundle(join(folder, "to"), await folderFiles(from), { dtype: "int8" })).rejects.toThrow(
    /not-finite.*row 1/,
  );
  expect(await readdir(folder)).toEqual(["from"]);
});
