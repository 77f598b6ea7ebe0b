export {
  isNumbers,
  isTensor,
  requantizable,
  rowsOfPanels,
  type Backend,
  type CompileOptions,
  type CreateBackend,
  type Feeds,
  type FollowingRun,
  type Requantization,
  type RepeatOptions,
  type RunOptions,
  type RunResult,
  type Session,
  type Tensor,
} from "./backend.ts";
export { abortable } from "./abortable.ts";
export { checkRepeat, checkRun } from "./check.ts";
export type { FusedOperator, Target } from "@paligemma/graph";
