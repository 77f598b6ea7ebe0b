// A stand-in for the Hugging Face Hub beside the browser's tests, which cannot start a server themselves.
import { readdir, readFile } from "node:fs/promises";
import type { TestProject } from "vitest/node";
import { MODEL } from "./model.ts";
import { startStandIn, type StandIn } from "./stand-in.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Where the stand-in listens. */
    readonly hub: string;
    /** How many scenes of tiny-shapes' evaluation are asked. */
    readonly scenes: number;
  }
}

const TINY_SHAPES = new URL("../../tiny-shapes/model/", import.meta.url);
const DAMAGED = "damaged.bin";
const BROKEN = "model-00002-of-00002.safetensors";
let hub: StandIn | undefined;

/**
 * Serves "owner/model", whose second shard breaks off once and of which one file is damaged on its way each time, and
 * "owner/tiny-shapes".
 */
export async function setup(project: TestProject): Promise<void> {
  const files = { ...MODEL.files, [DAMAGED]: new Uint8Array(100_000).fill(7) };
  const tinyShapes = await Promise.all(
    (await readdir(TINY_SHAPES)).map(async (name) => [name, await readFile(new URL(name, TINY_SHAPES))] as const),
  );
  const standIn = await startStandIn({
    "owner/model": { files },
    "owner/tiny-shapes": { files: Object.fromEntries(tinyShapes) },
  });
  let breaks = 1;
  standIn.fault = ({ path }) => {
    if (path === DAMAGED) return { kind: "corrupt" };
    return path === BROKEN && breaks-- > 0 ? { kind: "break", after: 70_000 } : undefined;
  };
  project.provide("hub", standIn.endpoint);
  hub = standIn;
}

/** Ends the server. */
export async function teardown(): Promise<void> {
  await hub?.[Symbol.asyncDispose]();
}
