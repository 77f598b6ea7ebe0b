import type { RunResult, Tensor } from "@paligemma/backend";
import type { NdArray } from "@paligemma/core";
import { UNSETTLED } from "@paligemma/graph";
import type { KeyValueCache } from "./cache.ts";
import type { DecoderParts } from "./decoder.ts";
import { cacheNames, hasPositionFirst, hasWindow } from "./decoder-graph.ts";
import { stepMasks } from "./mask.ts";
import { positionsServed } from "./network.ts";
import { isUnsettled, MOST_SCREENED } from "./screening.ts";
import { int64, stepFeeds, takenBy, type Place } from "./step.ts";

/** Steps that follow each other on the device, each fed with the tokens that the one before it chose. */
export interface StepsAhead extends Disposable {
  /**
   * What the next of them handed out, with `next` [rows, 1]; "unsettled" where it could not tell the best token, which is left to be
   * asked of the whole output layer; undefined when there are no more.
   */
  next(): Promise<RunResult | "unsettled" | undefined>;
  /** Ends them: one that is under way ends by itself. It has written beyond the cache's length only. */
  dispose(): void;
}

/** Steps at most: each looks at the places of all of them, and is told which to see. */
const MOST_STEPS = 64;
/** And at least: one is a run like any other. */
const FEWEST_STEPS = 2;

interface AheadOptions {
  /** The first token to take in, of each row. */
  readonly first: readonly number[];
  /** Tokens that are wanted at most. */
  readonly wanted: number;
  /** Tokens that nobody reads before all of them are there. */
  readonly together: number;
  /** The step after which every row has had one of these is the last. */
  readonly stopAt: readonly number[];
  readonly weights: Readonly<Record<string, Tensor>>;
  readonly signal: AbortSignal | undefined;
}

/** Begins as many steps after `place` as are wanted and have room in the cache; undefined where that is one, or the device steps by itself only. */
export async function stepsAhead(
  parts: DecoderParts,
  cache: KeyValueCache,
  place: Place,
  { first: tokens, wanted, together, stopAt, weights, signal }: AheadOptions,
): Promise<StepsAhead | undefined> {
  const { backend, config, imageTokenIndex } = parts;
  const rows = tokens.length;
  const session = await parts.sessionFor(rows, rows, false);
  const past = place.valid[0]!.length;
  const screening = rows <= MOST_SCREENED ? parts.screening : undefined;
  const screen = session.repeat && (await screening?.ready());
  const most = screening && !screen ? Math.max(screening.stepsBefore, FEWEST_STEPS) : Infinity;
  const times = Math.min(wanted, cache.room, positionsServed(config) - past - 1, MOST_STEPS, most);
  // What a step chooses is a column, and so must be what the next one takes.
  if (!session.repeat || times < FEWEST_STEPS || (rows > 1 && hasPositionFirst(backend.target))) return undefined;

  const asked = tokens.map((_, row) => row);
  const first = stepFeeds(parts, cache, place, { ids: tokens.map((token) => [token]), prompt: undefined }, asked);
  const { data: fed } = first["input_ids"] as { readonly data: BigInt64Array };
  const { data: positions } = first["position_ids"] as { readonly data: BigInt64Array };
  const masks = { valid: place.valid, steps: times, compute: backend.target.compute };
  // What moves is on the device for all steps at once, a step after the other.
  const arrays: Record<string, NdArray> = {
    input_ids: int64(
      [(times + 1) * rows, 1],
      [...Array.from(fed, Number), ...Array.from({ length: times * rows }, () => 0)],
    ),
    position_ids: int64(
      [times * rows, 1],
      Array.from({ length: times * rows }, (_, i) => Number(positions[i % rows]!) + Math.floor(i / rows)),
    ),
    mask: stepMasks(masks),
    ...(hasWindow(config) && { sliding_mask: stepMasks({ ...masks, window: config.slidingWindow }) }),
  };
  const made: Record<string, Tensor> = {};
  let hidden: Tensor | undefined;
  const free = (): void => [...Object.values(made), hidden].forEach((tensor) => tensor?.dispose());
  try {
    for (const [name, array] of Object.entries(arrays)) made[name] = await backend.upload(array);
    if (screen) hidden = await backend.allocate("float32", [rows, config.hiddenSize]);
  } catch (error) {
    free();
    throw error;
  }
  const moving = Object.fromEntries(Object.entries(made).map(([name, tensor]) => [name, tensor.rows(0, rows)]));
  // The cache is the same for every step: what no step has written yet is masked.
  const feeds = { ...first, ...cache.past(past + times - 1), ...weights, ...moving };
  const written = cache.present(past, past + 1);
  const moves = {
    ...Object.fromEntries(Object.keys(moving).map((name) => [name, rows])),
    ...Object.fromEntries(cacheNames(config).map((name) => [`present.${name}`, 1])),
  };
  const chosen = { into: { next: made["input_ids"]!.rows(rows, 2 * rows) }, moves: { next: rows } };
  const steps = {
    times,
    together,
    host: ["next"],
    until: {
      output: "next",
      values: stopAt,
      // An image token is looked up as another one, which the next call puts in.
      atOnce: [UNSETTLED, ...(imageTokenIndex === undefined ? [] : [imageTokenIndex])],
    },
    ...(signal && { signal }),
  };
  const results = hidden
    ? session.repeat(takenBy(session, { ...feeds, scored_rows: int64([0], []) }), {
        ...steps,
        into: { ...written, hidden },
        moves,
        followedBy: { session: screen!.session, feeds: { ...screen!.feeds, hidden }, ...chosen },
      })
    : session.repeat(takenBy(session, feeds), {
        ...steps,
        into: { ...written, ...chosen.into },
        moves: { ...moves, ...chosen.moves },
      });
  const dispose = (): void => {
    // Nobody waits for the end of it.
    results.return().catch(() => undefined);
    free();
  };
  return {
    async next() {
      try {
        const { value, done } = await results.next();
        if (done) return undefined;
        const unsettled = isUnsettled(value.host["next"]!.data as BigInt64Array);
        screening?.count(!screen ? "whole" : unsettled ? "unsettled" : "settled");
        return unsettled ? "unsettled" : value;
      } catch (error) {
        dispose();
        throw error;
      }
    },
    dispose,
    [Symbol.dispose]: dispose,
  };
}
