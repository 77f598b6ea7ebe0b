import { detectionConfidences, type DetectionConfidence, type GenerateOptions } from "@paligemma/generation";
import type { ParsedDetection, ParsedDetections } from "@paligemma/parsers";
import type { Tokenizer } from "@paligemma/processor";
import type { Answer } from "./ask.ts";

/** An object and, where asked for, what the model's own probabilities say about it. */
export interface FoundObject extends ParsedDetection {
  /** With `confidences`: no calibrated score; see `DetectionConfidence` of `@paligemma/generation`. */
  readonly confidence?: DetectionConfidence;
}

/** What `generate` has to record for them. */
export function recording({ locations }: Tokenizer): Pick<GenerateOptions, "outputScores" | "outputDistributions"> {
  if (locations === undefined) return {};
  const { first, count } = locations;
  return { outputScores: true, outputDistributions: { from: first, to: first + count } };
}

/** The objects of a recorded answer, each with its confidence; without a record as they are. */
export function withConfidences(
  found: ParsedDetections,
  { tokens, tokenScores, distributions }: Answer,
  tokenizer: Tokenizer,
  eosTokenId: readonly number[],
): ParsedDetections & { readonly items: readonly FoundObject[] } {
  const { locations, segments } = tokenizer;
  if (!tokenScores || !distributions || !locations) return found;
  const confidences = detectionConfidences(
    { tokens, tokenScores, distributions },
    {
      loc0: locations.first,
      ...(segments && { seg0: segments.first }),
      separators: [...eosTokenId, ...tokenizer.encode(" ; ")],
    },
  );
  const items = found.items.map((item) => {
    const confidence = confidences.find(({ index }) => index >= item.span.start && index < item.span.end);
    return confidence ? { ...item, confidence } : item;
  });
  return { ...found, items };
}
