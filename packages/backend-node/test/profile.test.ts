import { mkdtemp, readdir, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createNodeBackend, type NodeBackend } from "@paligemma/backend-node";
import { ndArray } from "@paligemma/core";
import { buildGraph, matMul, type GraphModel } from "@paligemma/graph";
import { afterAll, expect, it } from "vitest";

function power(name: string, backend: NodeBackend, times: number): GraphModel {
  return buildGraph(name, backend.target, (g) => {
    const x = g.input("x", "float32", ["n", "n"]);
    let y = x;
    for (let i = 0; i < times; i++) y = matMul(y, x);
    return { y };
  });
}

// A place for temporary files that no other test uses.
const root = await realpath(await mkdtemp(join(tmpdir(), "profile-test-")));
process.env["TMPDIR"] = root;
afterAll(() => rm(root, { recursive: true }));

const x = ndArray("float32", [2, 2], Float32Array.of(1, 2, 3, 4));
const folders = async (): Promise<readonly string[]> =>
  (await readdir(root)).filter((name) => name.startsWith("paligemma-profile-"));

it("counts the operators of every graph, disposed ones too, and leaves no file", async () => {
  const before = await folders();
  await using backend = await createNodeBackend({ profile: true, threads: 1 });
  {
    await using once = await backend.compile(power("once", backend, 1));
    await once.run({ x }, { host: ["y"] });
  }
  await using thrice = await backend.compile(power("thrice", backend, 3));
  for (const _ of [1, 2]) await thrice.run({ x }, { host: ["y"] });
  await using _idle = await backend.compile(power("idle", backend, 1));
  const profile = await backend.endProfile();
  const calls = profile.map(({ graph, runs, operators }) => ({
    graph,
    runs,
    products: operators.find(({ operator }) => operator === "MatMul")?.calls ?? 0,
  }));
  expect(calls).toEqual([
    { graph: "once", runs: 1, products: 1 },
    { graph: "thrice", runs: 2, products: 6 },
    { graph: "idle", runs: 0, products: 0 },
  ]);
  for (const { milliseconds, operators } of profile) {
    const inOperators = operators.map((operator) => operator.milliseconds);
    expect(inOperators).toEqual(inOperators.toSorted((a, b) => b - a));
    expect(inOperators.reduce((a, b) => a + b, 0)).toBeLessThanOrEqual(milliseconds);
  }
  // Runs go on, and are not measured any more.
  expect((await thrice.run({ x }, { host: ["y"] })).host["y"]!.shape).toEqual([2, 2]);
  expect(await backend.endProfile()).toEqual(profile);
  expect(await folders()).toEqual(before);
});

it("is made on request only", async () => {
  const before = await folders();
  await using backend = await createNodeBackend({ threads: 1 });
  await expect(backend.endProfile()).rejects.toThrow(/backend\/option: there is no profile/);
  await expect(createNodeBackend({ profile: 1 as never })).rejects.toThrow(/backend\/option.*profile is 1/);
  await using forgotten = await createNodeBackend({ profile: true, threads: 1 });
  await forgotten.compile(power("forgotten", forgotten, 1));
  await forgotten.dispose();
  expect(await folders()).toEqual(before);
});
