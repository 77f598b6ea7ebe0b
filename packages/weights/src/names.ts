import { PaliGemmaError } from "@paligemma/core";
import type { Checkpoint, TensorRef } from "./checkpoint.ts";
import { LIMITS } from "./limits.ts";
import { checkpointOf } from "./tensors.ts";

/** Spellings of one tensor's name → the released one. The first that fits is used. */
const SPELLINGS: readonly (readonly [pattern: RegExp, released: string])[] = [
  // With and without the inner `vision_model` (transformers 5 leaves it out), with and without the outer `model`; alone.
  [/^(?:model\.)?vision_tower\.(?:vision_model\.)?(.+)$/, "vision_tower.vision_model.$1"],
  [/^(?:vision_model\.)?((?:embeddings|encoder|post_layernorm)\..+)$/, "vision_tower.vision_model.$1"],
  [/^(?:model\.)?(multi_modal_projector\..+)$/, "$1"],
  [/^(?:model\.)?(?:language_model\.)?(lm_head\..+)$/, "language_model.$1"],
  // Gemma inside a PaliGemma, with and without its inner `model`; Gemma alone.
  [/^(?:model\.)?language_model\.(?:model\.)?(.+)$/, "language_model.model.$1"],
  [/^(?:model\.)?((?:embed_tokens|layers|norm)\..+)$/, "language_model.model.$1"],
];

/** Tables that old versions saved although they follow from the configuration. */
const COMPUTED = /(?:^|\.)(?:position_ids|inv_freq|embed_scale)$/;

/**
 * The same tensors under the names that released PaliGemma checkpoints use, whoever saved them: transformers 4 and 5, a merge by
 * PEFT, or one of the two networks alone. Applying it twice changes nothing. Throws `weights/names` where two tensors get one
 * name. Names that fit no spelling stay as they are.
 */
export function canonicalNames(checkpoint: Checkpoint): Checkpoint {
  const origins = new Map<string, string>();
  const refs: TensorRef[] = [];
  const clashes: string[] = [];
  for (const ref of checkpoint.tensors.values()) {
    if (COMPUTED.test(ref.name)) continue;
    const name = canonicalName(ref.name);
    const other = origins.get(name);
    if (other !== undefined) clashes.push(`${other} and ${ref.name} are both ${name}`);
    origins.set(name, ref.name);
    refs.push(name === ref.name ? ref : { ...ref, name });
  }
  if (clashes.length > 0) {
    const shown = clashes.slice(0, LIMITS.listed).join("\n");
    throw new PaliGemmaError("weights/names", `two spellings of one tensor stand side by side; keep one:\n${shown}`);
  }
  return checkpointOf(refs, checkpoint.metadata);
}

/** The released spelling of one name. */
export function canonicalName(name: string): string {
  const bare = name.replace(/^base_model\.model\./, "");
  for (const [pattern, released] of SPELLINGS) {
    if (pattern.test(bare)) return bare.replace(pattern, released);
  }
  return bare;
}
