import { spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Backend } from "@paligemma/backend";
import { createNodeBackend } from "@paligemma/backend-node";
import { loadPaliGemma, type NodeLoadOptions } from "paligemma/node";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { INPUTS, int64, openTiny, pixels } from "./hf-tiny.ts";

const TINY = fileURLToPath(new URL("fixtures/hf-tiny/pg1-tiny", import.meta.url));
const SERVER = fileURLToPath(new URL("../../hub/test/serve.ts", import.meta.url));

/** The Hub's stand-in, with the tiny model as the gated repository google/gated; its token is hf_right. */
let server: ChildProcess;
let endpoint: string;
let home: string;
let backend: Backend;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "paligemma-home-"));
  server = spawn(process.execPath, ["--conditions=@paligemma/source", "--import", "tsx", SERVER, TINY], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const lines = createInterface({ input: server.stdout! })[Symbol.asyncIterator]();
  endpoint = (await lines.next()).value as string;
  backend = await createNodeBackend();
}, 120_000);
afterAll(async () => {
  vi.unstubAllEnvs();
  server.stdin!.end();
  await backend.dispose();
  await rm(home, { recursive: true, force: true });
});

async function ids(name: string, options: Partial<NodeLoadOptions> = {}): Promise<readonly number[]> {
  await using model = await loadPaliGemma(name, { backend, ...options });
  const inputs = { pixelValues: pixels(1), inputIds: int64(INPUTS.A) };
  return (await model.generateIds(inputs, { maxNewTokens: 8 })).sequences[0]!;
}

it("loads a repository by its name, as the HF_… variables say, then offline from the same cache", async () => {
  const { answers } = await openTiny("pg1-tiny");
  const expected = answers["gen.greedy"]!.new_tokens[0]!.slice(0, 8);
  vi.stubEnv("HF_ENDPOINT", endpoint);
  vi.stubEnv("HF_HOME", home);
  vi.stubEnv("HF_TOKEN", "");
  await expect(ids("google/gated")).rejects.toMatchObject({ code: "hub/gated" });

  vi.stubEnv("HF_TOKEN", "hf_right");
  expect(await ids("google/gated")).toEqual(expected);
  for (const branch of ["bfloat16", "float16"]) expect(await ids(`google/gated@${branch}`)).toEqual(expected);
  const repository = join(home, "hub/models--google--gated");
  expect((await readdir(join(repository, "refs"))).toSorted()).toEqual(["bfloat16", "float16", "main"]);
  // What the model does not need was not fetched: of the folder, the expectations of other tests.
  const [commit] = await readdir(join(repository, "snapshots"));
  expect((await readdir(join(repository, "snapshots", commit!))).toSorted()).toEqual([
    "config.json",
    "model.safetensors",
  ]);

  vi.stubEnv("HF_ENDPOINT", "http://127.0.0.1:9");
  vi.stubEnv("HF_HUB_OFFLINE", "1");
  expect(await ids("google/gated@bfloat16")).toEqual(expected);
  await expect(ids("owner/model")).rejects.toMatchObject({ code: "hub/offline" });
});

it("takes the same as options", async () => {
  vi.stubEnv("HF_HUB_OFFLINE", "0");
  const hub = { endpoint, cache: join(home, "other"), token: "hf_right", revision: "float16", environment: {} };
  const { answers } = await openTiny("pg1-tiny");
  expect(await ids("google/gated", { hub })).toEqual(answers["gen.greedy"]!.new_tokens[0]!.slice(0, 8));
});
