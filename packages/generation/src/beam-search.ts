import { PaliGemmaError } from "./errors.ts";
import type { Generated } from "./generate.ts";
import type { Plan } from "./plan.ts";
import type { LogitsSource } from "./source.ts";

export async function beamSearch(_source: LogitsSource, plan: Plan): Promise<Generated> {
  throw new PaliGemmaError("generation/option", `numBeams is ${plan.beams}: not there yet`);
}
