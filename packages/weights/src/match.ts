import { nearest, PaliGemmaError } from "@paligemma/core";
import type { Checkpoint } from "./checkpoint.ts";
import { LIMITS } from "./limits.ts";
import { findQuantized, quantizedFits, tensorsOf } from "./quantized.ts";

/** What `matchTensors` lets pass. */
export interface MatchOptions {
  /** Names that may be there or not, such as a tied output layer. */
  readonly optional?: Iterable<string>;
}

/**
 * Holds a checkpoint against the tensors a model needs: name → shape. Throws one `weights/mismatch` with all that are missing
 * (each with the nearest superfluous name), superfluous, and of another shape. A quantised matrix stands for the one it was
 * made from.
 */
export function matchTensors(
  checkpoint: Checkpoint,
  expected: ReadonlyMap<string, readonly number[]>,
  options: MatchOptions = {},
): void {
  const { tensors } = checkpoint;
  const optional = new Set(options.optional);
  const quantized = new Map(
    [...expected.keys(), ...optional].flatMap((name) => {
      const found = tensors.has(name) ? undefined : findQuantized(checkpoint, name);
      return found ? [[name, found] as const] : [];
    }),
  );
  const parts = new Set([...quantized.values()].flatMap(tensorsOf));
  const has = (name: string): boolean => tensors.has(name) || quantized.has(name);
  const missing = [...expected.keys()].filter((name) => !has(name) && !optional.has(name));
  const superfluous = [...tensors]
    .filter(([name, ref]) => !expected.has(name) && !optional.has(name) && !parts.has(ref))
    .map(([name]) => name);
  const misshapen = [...expected].flatMap(([name, shape]) => {
    const packed = quantized.get(name);
    const found = packed?.data ?? tensors.get(name);
    const fits = packed ? quantizedFits(packed, shape) : !found || same(found.shape, shape);
    return fits ? [] : [`${found!.name} is [${found!.shape.join(", ")}], needed is [${shape.join(", ")}]`];
  });
  if (missing.length + superfluous.length + misshapen.length === 0) return;
  throw new PaliGemmaError(
    "weights/mismatch",
    [
      `the checkpoint does not fit the configuration: ${expected.size} tensors are needed, it has ${tensors.size}`,
      ...section("missing", missing, (name) => withNearest(name, superfluous)),
      ...section("superfluous", superfluous),
      ...section("of another shape", misshapen),
      "Check that config.json belongs to these weights.",
    ].join("\n"),
  );
}

function section(
  title: string,
  lines: readonly string[],
  show: (line: string) => string = (line) => line,
): readonly string[] {
  if (lines.length === 0) return [];
  const more = lines.length - LIMITS.listed;
  return [
    `${lines.length} ${title}:`,
    ...lines.slice(0, LIMITS.listed).map((line) => `  ${show(line)}`),
    ...(more > 0 ? [`  and ${more} more`] : []),
  ];
}

function withNearest(name: string, candidates: readonly string[]): string {
  const meant = nearest(name, candidates);
  return meant ? `${name} (there is ${meant})` : name;
}

function same(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((length, i) => length === b[i]);
}
