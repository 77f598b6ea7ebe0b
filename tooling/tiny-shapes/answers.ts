import type { Scene } from "./score.ts";

/** Where the answers of Node are kept, beside this file. */
export const ANSWERS = "evaluation/answers.json";

/** Token ids of the answers to `pickTasks`, by precision of the weights; quantised, only those to the first tasks. */
export interface RecordedAnswers {
  readonly float32: readonly (readonly number[])[];
  readonly int8: readonly (readonly number[])[];
  readonly int4: readonly (readonly number[])[];
}

/** One task of each scene, every kind in turn. */
export function pickTasks(
  scenes: readonly Scene[],
): readonly { readonly scene: Scene; readonly task: Scene["tasks"][number] }[] {
  return scenes.map((scene, i) => ({ scene, task: scene.tasks[i % scene.tasks.length]! }));
}
