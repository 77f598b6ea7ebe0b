import type { RunResult, Tensor } from "@paligemma/backend";
import type { KeyValueCache } from "./cache.ts";
import type { DecoderParts } from "./decoder.ts";
import { cacheNames, hasWindow } from "./decoder-graph.ts";
import { prefixLmMask } from "./mask.ts";
import { positionsServed } from "./network.ts";
import { int64, stepFeeds, takenBy, type Place } from "./step.ts";

/** Steps of one row that follow each other on the device, each fed with the token that the one before it chose. */
export interface StepsAhead extends Disposable {
  /** What the next of them handed out, with `next` [1, 1]; undefined when there are no more. */
  next(): Promise<RunResult | undefined>;
  /** Ends them: one that is under way ends by itself. It has written beyond the cache's length only. */
  dispose(): void;
}

interface AheadOptions {
  /** The first token to take in. */
  readonly token: number;
  /** Tokens that are wanted at most. */
  readonly wanted: number;
  /** The step that chooses one of these is the last. */
  readonly stopAt: readonly number[];
  readonly weights: Readonly<Record<string, Tensor>>;
  readonly signal: AbortSignal | undefined;
}

/** Begins as many steps after `place` as are wanted and have room in the cache; undefined where that is one, or the device steps by itself only. */
export async function stepsAhead(
  parts: DecoderParts,
  cache: KeyValueCache,
  place: Place,
  { token, wanted, stopAt, weights, signal }: AheadOptions,
): Promise<StepsAhead | undefined> {
  const { backend, config, imageTokenIndex } = parts;
  const session = await parts.sessionFor(1, 1, false);
  const past = place.valid[0]!.length;
  // A window that has begun to slide is no beginning of the cache any more.
  const reach = hasWindow(config) ? Math.min(config.slidingWindow!, positionsServed(config)) : positionsServed(config);
  const times = Math.min(wanted, cache.room, reach - past - 1);
  if (!session.repeat || times < 2) return undefined;

  const first = stepFeeds(parts, cache, place, { ids: [[token]], prompt: undefined }, [0]);
  const position = Number((first["position_ids"] as { readonly data: BigInt64Array }).data[0]);
  const valid = new Uint8Array(past + times).fill(1);
  valid.set(place.valid[0]!);
  const fed = token === imageTokenIndex ? 0 : token;
  // What moves or grows is on the device for all steps at once.
  const arrays = [
    int64([times + 1, 1], [fed, ...Array.from({ length: times }, () => 0)]),
    int64(
      [times, 1],
      Array.from({ length: times }, (_, i) => position + i),
    ),
    prefixLmMask({ valid: [valid], tokens: 1, compute: backend.target.compute }),
  ];
  const made: Tensor[] = [];
  const free = (): void => made.forEach((tensor) => tensor.dispose());
  try {
    for (const array of arrays) made.push(await backend.upload(array));
  } catch (error) {
    free();
    throw error;
  }
  const [ids, positions, mask] = made as [Tensor, Tensor, Tensor];
  const names = cacheNames(config);
  const grown = { axis: 3, from: past + 1 };
  const feeds = {
    ...first,
    ...cache.whole(),
    ...weights,
    input_ids: ids.rows(0, 1),
    position_ids: positions.rows(0, 1),
    mask,
    ...(hasWindow(config) && { sliding_mask: mask }),
  };
  const results = session.repeat(takenBy(session, feeds), {
    times,
    host: ["next"],
    into: { ...cache.present(past, past + 1), next: ids.rows(1, 2) },
    moves: ["input_ids", "position_ids", "next", ...names.map((name) => `present.${name}`)],
    grows: {
      ...Object.fromEntries(names.map((name) => [`past.${name}`, { axis: 0, from: past }])),
      mask: grown,
      ...(hasWindow(config) && { sliding_mask: grown }),
    },
    // An image token is looked up as another one, which the next call puts in.
    until: { output: "next", values: imageTokenIndex === undefined ? stopAt : [...stopAt, imageTokenIndex] },
    ...(signal && { signal }),
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
        return done ? undefined : value;
      } catch (error) {
        dispose();
        throw error;
      }
    },
    dispose,
    [Symbol.dispose]: dispose,
  };
}
