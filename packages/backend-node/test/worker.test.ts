import { setMaxListeners } from "node:events";
import type { Worker } from "node:worker_threads";
import { createNodeBackend } from "@paligemma/backend-node";
import type { Backend, Session } from "@paligemma/backend";
import { isPaliGemmaError, type NdArray } from "@paligemma/core";
import { buildGraph, matMul } from "@paligemma/graph";
import { afterAll, beforeAll, expect, test } from "vitest";

let backend: Backend;
let session: Session;
const SIZE = 1200;
const x: NdArray = { dtype: "float32", shape: [SIZE, SIZE], data: new Float32Array(SIZE * SIZE).fill(1e-3) };

/** x to the ninth: some hundred milliseconds. */
async function heavy(on: Backend): Promise<Session> {
  const model = buildGraph("heavy", on.target, (g) => {
    const value = g.input("x", "float32", [SIZE, SIZE]);
    let y = value;
    for (let i = 0; i < 8; i++) y = matMul(y, value);
    return { y };
  });
  return on.compile(model);
}

beforeAll(async () => {
  backend = await createNodeBackend({ threads: 1 });
  session = await heavy(backend);
});
afterAll(() => backend.dispose());

test("the caller's thread stays free while a graph runs", async () => {
  // A run on this thread would leave one gap as long as itself; what the scheduler does on a busy machine is far shorter.
  using tensor = await backend.upload(x);
  let gap = 0;
  let last = performance.now();
  const tick = (): void => {
    const now = performance.now();
    gap = Math.max(gap, now - last);
    last = now;
  };
  const timer = setInterval(tick, 1);
  const start = performance.now();
  await session.run({ x: tensor }, { device: ["y"] });
  const duration = performance.now() - start;
  tick();
  clearInterval(timer);
  expect(gap).toBeLessThan(duration / 2);
});

test("runs that were aborted while they waited are not run", async () => {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  using tensor = await backend.upload(x);
  const first = session.run({ x: tensor }, { device: ["y"] });
  const dropped = Array.from({ length: 1000 }, () =>
    session.run({ x: tensor }, { device: ["y"], signal: controller.signal }),
  );
  controller.abort(new Error("enough"));
  for (const run of await Promise.allSettled(dropped)) expect(run.status).toBe("rejected");
  (await first).device["y"]!.dispose();
  // 1000 runs would take minutes, the test's own time limit is one.
  (await session.run({ x: tensor }, { device: ["y"] })).device["y"]!.dispose();
});

test("a worker that dies rejects what waits and everything after", async () => {
  const worker = new Promise<Worker>((resolve) => process.once("worker", resolve));
  const doomed = await createNodeBackend({ threads: 1 });
  const heavySession = await heavy(doomed);
  const runs = [heavySession.run({ x }, { host: ["y"] }), heavySession.run({ x }, { host: ["y"] })];
  // Nothing that this package sends: stands for an error in the worker.
  (await worker).postMessage(null);
  const [first, second] = await Promise.allSettled(runs);
  const toldWhy = (run: PromiseSettledResult<unknown>): boolean =>
    run.status === "rejected" && isPaliGemmaError(run.reason, "backend/worker");
  // The first may have begun before the worker died, and then it ends as usual.
  expect(first!.status === "fulfilled" || toldWhy(first!)).toBe(true);
  expect(toldWhy(second!)).toBe(true);
  expect(() => doomed.allocate("float32", [1])).toThrow(/backend\/worker/);
  await doomed.dispose();
});

test("several backends live side by side", async () => {
  await using other = await createNodeBackend({ threads: 1 });
  await using second = await heavy(other);
  const [a, b] = await Promise.all([session.run({ x }, { host: ["y"] }), second.run({ x }, { host: ["y"] })]);
  expect(a.host["y"]!.data.slice(0, 9)).toEqual(b.host["y"]!.data.slice(0, 9));
});

test("bfloat16 at the border of a graph is refused with a remedy", async () => {
  const model = buildGraph("half", backend.target, (g) => ({ y: g.input("x", "bfloat16", [1]) }));
  await expect(backend.compile(model)).rejects.toThrow(/backend\/compile: x is bfloat16.*cast to float32/);
});
