import type { Constraint } from "./constraint.ts";
import { PaliGemmaError } from "./errors.ts";
import type { BoundPlan, Plan } from "./plan.ts";

/** Seeds drawn from the system are below this. */
const SYSTEM_SEEDS = 2 ** 52;

/** The plan for `requests` rows, each per-request option spread over them; lists of another length are an error. */
export function bindPlan(plan: Plan, requests: number): BoundPlan {
  const { options } = plan;
  const prompts = options.promptIds ?? Array.from({ length: requests }, () => []);
  sameLength("promptIds", prompts.length, requests);
  const prefixes: readonly (readonly number[])[] = spread(
    "responsePrefix",
    options.responsePrefix ?? [],
    requests,
    isPerRequest,
  );
  const constraints: readonly (Constraint | undefined)[] = spread(
    "constraint",
    options.constraint,
    requests,
    Array.isArray,
  );
  for (const [i, prefix] of prefixes.entries()) checkPrefix(prefix, constraints[i]);
  const seeds =
    typeof options.seed === "number" || options.seed === undefined
      ? Array.from({ length: requests }, (_, i) =>
          options.seed === undefined ? Math.floor(Math.random() * SYSTEM_SEEDS) : (options.seed as number) + i,
        )
      : options.seed;
  sameLength("seed", seeds.length, requests);
  const limits = prompts.map((prompt) => {
    const limit = plan.maxNewTokens ?? plan.maxLength! - prompt.length;
    if (limit < 1) {
      throw new PaliGemmaError(
        "generation/option",
        `maxLength is ${plan.maxLength}, but a prompt already has ${prompt.length} tokens (image tokens count); raise it, or use maxNewTokens`,
      );
    }
    return limit;
  });
  for (const [i, prefix] of prefixes.entries()) {
    if (prefix.length < limits[i]!) continue;
    throw new PaliGemmaError(
      "generation/option",
      `responsePrefix has ${prefix.length} tokens, which leaves none of the ${limits[i]} allowed; it counts as part of the answer`,
    );
  }
  return { ...plan, requests, prompts, prefixes, constraints, seeds, limits };
}

function checkPrefix(prefix: readonly number[], constraint: Constraint | undefined): void {
  if (constraint === undefined) return;
  let state: unknown = constraint.start;
  for (const token of prefix) {
    state = constraint.next(state, token);
    if (state === undefined) {
      throw new PaliGemmaError(
        "generation/option",
        `responsePrefix does not fit the constraint: token ${token} may not stand there`,
      );
    }
  }
}

function isPerRequest(value: unknown): value is readonly unknown[] {
  return Array.isArray(value) && Array.isArray(value[0]);
}

function spread(
  name: string,
  value: unknown,
  requests: number,
  perRequest: (value: unknown) => value is readonly unknown[],
): readonly never[] {
  if (!perRequest(value)) return Array.from({ length: requests }, () => value as never);
  sameLength(name, value.length, requests);
  return value as readonly never[];
}

function sameLength(name: string, length: number, requests: number): void {
  if (length === requests) return;
  throw new PaliGemmaError(
    "generation/option",
    `${name} has ${length} entries, the source has ${requests} rows; one per row is needed`,
  );
}
