import { remoteFiles } from "@paligemma/hub";
import { afterAll, expect, it } from "vitest";
import { MODEL } from "./fixtures.ts";
import { startStandIn } from "./stand-in.ts";

const hub = await startStandIn({ "owner/model": MODEL });
afterAll(() => hub[Symbol.asyncDispose]());

it("reads ranges of files where they lie, and tries again", async () => {
  const files = await remoteFiles("owner/model", { endpoint: hub.endpoint, retry: { delayMs: 1 } });
  expect(files.paths.size).toBe(9);
  const path = "model-00001-of-00002.safetensors";
  const source = await files.open(path);
  let broken = 0;
  hub.fault = () => (broken++ === 0 ? { kind: "break", after: 10 } : undefined);
  expect(await source.read(1_000, 2_000)).toEqual(MODEL.files[path]!.slice(1_000, 2_000));
  expect(await source.read(5, 5)).toEqual(new Uint8Array(0));
  await expect(source.read(0, 300_001)).rejects.toMatchObject({ code: "weights/range" });
  await expect(files.open("config.jsn")).rejects.toThrow("the nearest is config.json");
  expect(hub.sent.get(path)).toBe(1_010);
});
