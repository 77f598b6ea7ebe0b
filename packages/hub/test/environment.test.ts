import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { readEnvironment } from "@paligemma/hub/node";
import { expect, it } from "vitest";
import { newCache } from "./fixtures.ts";

it.each([
  [{}, "/home/u/.cache/huggingface/hub"],
  [{ XDG_CACHE_HOME: "/x" }, "/x/huggingface/hub"],
  [{ HF_HOME: "/hf", XDG_CACHE_HOME: "/x" }, "/hf/hub"],
  [{ HF_HOME: "~/hf" }, "/home/u/hf/hub"],
  [{ HF_HUB_CACHE: "/cache", HF_HOME: "/hf" }, "/cache"],
  [{ HUGGINGFACE_HUB_CACHE: "/old" }, "/old"],
  [{ HF_HUB_CACHE: "" }, "/home/u/.cache/huggingface/hub"],
])("%j: the cache is %s", async (variables, cache) => {
  expect((await readEnvironment({ HOME: "/home/u", ...variables })).cache).toBe(cache);
});

it.each(["1", "true", "YES", "on"])("HF_HUB_OFFLINE=%s", async (value) => {
  expect((await readEnvironment({ HF_HUB_OFFLINE: value })).offline).toBe(true);
  expect((await readEnvironment({ TRANSFORMERS_OFFLINE: value })).offline).toBe(true);
});

it("reads the token from the variable, else from where `hf auth login` puts it", async () => {
  const home = newCache();
  await mkdir(home, { recursive: true });
  await writeFile(join(home, "token"), "hf_saved\n");
  expect((await readEnvironment({ HF_HOME: home })).token).toBe("hf_saved");
  expect((await readEnvironment({ HF_HOME: home, HF_TOKEN: " hf_named " })).token).toBe("hf_named");
  expect((await readEnvironment({ HF_HOME: home, HF_HUB_DISABLE_IMPLICIT_TOKEN: "1" })).token).toBeUndefined();
  expect((await readEnvironment({ HF_HOME: "/none", HF_TOKEN_PATH: join(home, "token") })).token).toBe("hf_saved");
  expect(await readEnvironment({ HF_HOME: "/none" })).toMatchObject({
    token: undefined,
    offline: false,
    endpoint: undefined,
  });
});
