import type { StreamEvent } from "./events.ts";
import type { StopReason } from "./row.ts";

/** Byte tokens that one character takes at most (UTF-8). */
const LONGEST_CHARACTER = 4;

/** What a tokenizer writes for bytes that are not, or not yet, a character. */
const UNFINISHED = "\uFFFD";

/** Turns tokens into text as they come. */
export interface Detokenizer {
  /** The text that is certain with this token: possibly none, never part of a character. */
  push(token: number): string;
  /** The text that was held back, as it is. */
  end(): string;
}

/**
 * A detokenizer over any `decode`. Each call decodes only the tokens since the last text and the ones before that (so that
 * a decoder that treats the first token differently does so only at the beginning), not the whole answer.
 */
export function createDetokenizer(decode: (ids: readonly number[]) => string): Detokenizer {
  let before: number[] = [];
  let waiting: number[] = [];
  const take = (): string => {
    const text = decode([...before, ...waiting]).slice(decode(before).length);
    [before, waiting] = [waiting, []];
    return text;
  };
  return {
    push(token) {
      waiting.push(token);
      if (waiting.length < LONGEST_CHARACTER && decode([...before, ...waiting]).endsWith(UNFINISHED)) return "";
      return take();
    },
    end: () => (waiting.length === 0 ? "" : take()),
  };
}

/** A piece of an answer's text. */
export interface TextPiece {
  readonly row: number;
  /** Whole characters; empty while a character is not complete. */
  readonly text: string;
  /** The token that brought the piece, with its number and, where asked for, its score; absent in the last piece. */
  readonly token?: number;
  readonly index?: number;
  readonly score?: number;
  /** In the last piece of a row: why it ended. */
  readonly stoppedBy?: StopReason;
  /** Milliseconds since decoding began. */
  readonly time: number;
}

/**
 * A stream of tokens as text: one piece per token, and a last one per row. It asks for the next event only when the next
 * piece is asked for, and leaving it leaves the stream.
 */
export async function* textPieces(
  events: AsyncIterable<StreamEvent>,
  decode: (ids: readonly number[]) => string,
): AsyncGenerator<TextPiece, void> {
  const rows = new Map<number, Detokenizer>();
  for await (const event of events) {
    const { row, time } = event;
    let detokenizer = rows.get(row);
    if (detokenizer === undefined) rows.set(row, (detokenizer = createDetokenizer(decode)));
    if (event.type === "stop") {
      rows.delete(row);
      yield { row, text: detokenizer.end(), stoppedBy: event.reason, time };
    } else {
      const { token, index, score } = event;
      yield { row, text: detokenizer.push(token), token, index, ...(score === undefined ? {} : { score }), time };
    }
  }
}
