import type { CompileOptions } from "@paligemma/backend";
import { PaliGemmaError, isPaliGemmaError, unknownKeys } from "@paligemma/core";
import type { GraphModel, Target } from "@paligemma/graph";
import type * as Ort from "onnxruntime-common";
import { outOfMemory } from "./gpu/faults.ts";

/** Options of every session: quiet (libraries do not log), all optimisations. */
export const SESSION_OPTIONS: Readonly<Ort.InferenceSession.SessionOptions> = {
  graphOptimizationLevel: "all",
  logSeverityLevel: 4,
};

/** Options of every run: quiet as well; its level is its own. */
export const RUN_OPTIONS: Readonly<Ort.InferenceSession.RunOptions> = { logSeverityLevel: 4 };

/** Throws `backend/option` for options that do not exist, and the signal's reason where it has fired. */
export function checkCompile(options: CompileOptions): void {
  const [unknown] = unknownKeys(options, ["onProgress", "signal"]);
  if (unknown)
    throw new PaliGemmaError(
      "backend/option",
      `compile has no option ${unknown.key}${unknown.meant ? `; is ${unknown.meant} meant?` : ""}`,
    );
  options.signal?.throwIfAborted();
}

/** Throws `backend/target` for a graph that was built for another device. */
export function checkTarget(model: GraphModel, target: Target): void {
  if (model.target.name === target.name && model.target.compute === target.compute) return;
  throw new PaliGemmaError(
    "backend/target",
    `the graph ${model.name} was built for ${model.target.name} in ${model.target.compute}, this backend is ${target.name} in ${target.compute}. Build the graph with backend.target.`,
  );
}

/** The runtime's refusal of a graph, in its own words. */
export function compileError(model: GraphModel, cause: unknown): Error {
  if (isPaliGemmaError(cause)) return cause;
  const text = cause instanceof Error ? cause.message : String(cause);
  if (/out of memory|failed to allocate|bad_alloc|createBuffer/i.test(text))
    return outOfMemory(`the graph ${model.name}`, text);
  return new PaliGemmaError("backend/compile", `the runtime refuses the graph ${model.name}: ${text}`, { cause });
}
