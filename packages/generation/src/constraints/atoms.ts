import type { Vocabulary } from "./vocabulary.ts";

/** How many location and segmentation tokens there are. https://arxiv.org/abs/2407.07726, section 3.2 */
export const COUNTS = { loc: 1024, seg: 128 } as const;

/** The first and last id of the location or segmentation tokens, if the vocabulary has them all, in order. */
export function atomRange(
  vocabulary: Vocabulary,
  kind: "loc" | "seg",
): readonly [first: number, last: number] | undefined {
  const count = COUNTS[kind];
  const width = kind === "loc" ? 4 : 3;
  const first = vocabulary.atom(`<${kind}${"0".repeat(width)}>`);
  if (first === undefined) return undefined;
  for (let i = 0; i < count; i++) {
    if (vocabulary.atom(`<${kind}${String(i).padStart(width, "0")}>`) !== first + i) return undefined;
  }
  return [first, first + count - 1];
}
