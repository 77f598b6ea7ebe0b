import { decodeSegments } from "@paligemma/masks";
import { markupIds, parseDetectionIds, type ParsedDetection, type ParsedDetections } from "@paligemma/parsers";
import { decodeImage } from "@paligemma/processor/browser";
import { promptOf } from "../tasks.ts";
import type { OpenModel } from "./load.ts";
import type { Answered, Found, Question } from "./protocol.ts";

/** Who hears of an answer while it is written. */
export interface Listener {
  readonly signal: AbortSignal;
  onText(text: string): void;
  onFound(found: readonly Found[], size: Answered["size"]): void;
}

/** New tokens at most: 30 objects with boxes, or a long text. */
const MAX_NEW_TOKENS = 256;

/** Answers a question about a picture, telling the listener of every piece; stopped by the listener, it answers what it has. */
export async function answerQuestion(
  open: OpenModel,
  { task, text }: Question,
  picture: Blob,
  listener: Listener,
): Promise<Answered> {
  const { signal } = listener;
  const start = performance.now();
  const image = await decodeImage(picture, { signal });
  const size = { width: image.width, height: image.height };
  const objects = task === "detect" || task === "segment";
  const tokens: number[] = [];
  let written = "";
  let first = 0;
  let seen = 0;
  const stopped = await settled(async () => {
    for await (const piece of open.model.stream(
      { image, prompt: promptOf(task, text) },
      { maxNewTokens: MAX_NEW_TOKENS, signal },
    )) {
      first ||= (performance.now() - start) / 1000;
      if (piece.token !== undefined) tokens.push(piece.token);
      written += piece.text;
      if (!objects) listener.onText(written);
      else {
        const { items } = read(open, tokens, size);
        if (items.length > seen) listener.onFound(items.map(boxOnly), size);
        seen = items.length;
      }
    }
  }, signal);
  const ended = open.model.config.eosTokenIds.includes(tokens.at(-1) ?? -1);
  const parsed = objects ? read(open, tokens, size) : undefined;
  return {
    text: open.model.processor.decode(tokens, { skipSpecialTokens: true }).trim(),
    found: parsed && (await withMasks(open, parsed.items, size)),
    rest: parsed?.rest ?? "",
    stoppedBy: stopped ? "you" : ended ? "end" : "length",
    size,
    tokens: tokens.length,
    first,
    seconds: (performance.now() - start) / 1000,
  };
}

/** Runs `work`; true where it ended because the signal fired. */
async function settled(work: () => Promise<void>, signal: AbortSignal): Promise<boolean> {
  try {
    await work();
    return false;
  } catch (error) {
    if (signal.aborted) return true;
    throw error;
  }
}

function read(
  { model: { processor } }: OpenModel,
  tokens: readonly number[],
  size: Answered["size"],
): ParsedDetections {
  const decode = (ids: number[]): string => processor.decode(ids, { skipSpecialTokens: true });
  return parseDetectionIds(tokens, size, { decode, markup: markupIds((piece) => processor.tokenizer.idOf(piece)) });
}

const boxOnly = ({ label, box }: ParsedDetection): Found => ({ label, box });

async function withMasks(open: OpenModel, items: readonly ParsedDetection[], size: Answered["size"]): Promise<Found[]> {
  const coded = items.filter(
    (item): item is ParsedDetection & { codes: readonly number[] } => item.codes !== undefined,
  );
  const codec = coded.length > 0 ? await open.codec() : undefined;
  if (!codec) return items.map(boxOnly);
  const rasters = new Map(
    decodeSegments(codec, coded, size).map(({ raster }, i) => [coded[i] as ParsedDetection, raster]),
  );
  return items.map((item) => {
    const mask = rasters.get(item);
    return { ...boxOnly(item), ...(mask && { mask }) };
  });
}
