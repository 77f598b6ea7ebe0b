import { bindPlan } from "./bind-plan.ts";
import { checkOptions } from "./check-options.ts";
import type { GenerateOptions } from "./options.ts";
import { planOf } from "./plan.ts";
import { transform, transformsOf } from "./transforms.ts";

/**
 * The scores [vocabulary] that are left of `logits` [vocabulary] after every transform that the options ask for, for a
 * request with the first of `promptIds` as prompt and `tokens` as the answer so far. The options' constraint is at its start.
 */
export function transformScores(
  logits: Float32Array,
  tokens: readonly number[],
  options: GenerateOptions,
): Float32Array {
  checkOptions(options, false);
  const plan = bindPlan(planOf(options), 1);
  const prompt = plan.prompts[0]!;
  const scores = logits.slice();
  const view = { ids: [...prompt, ...tokens], promptLength: prompt.length, request: 0 };
  const constraint = plan.constraints[0];
  transform(transformsOf(plan), [{ scores, view }], [constraint?.allowed(constraint.start)]);
  return scores;
}
