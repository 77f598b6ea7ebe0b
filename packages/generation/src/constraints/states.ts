import { PaliGemmaError } from "../errors.ts";
import { type Network, TOKEN } from "./network.ts";

/** How deep rules may nest: more than any answer needs, and a model that only ever opens brackets ends here. */
const MAX_DEPTH = 100;

/** Places that one state may be in at once; more means a grammar that leads into itself without a symbol. */
const MAX_PLACES = 20_000;

/** States that are kept for reuse. Beyond it they are made anew, at the cost of time. */
const MAX_STATES = 50_000;

/** Where to go on when a rule ends. */
interface Frame {
  readonly id: number;
  readonly node: number;
  readonly below: Frame | undefined;
  readonly depth: number;
  readonly above: Map<number, Frame>;
  /** Tokens needed at least from the end of the rule that this returns from. */
  readonly cost: number;
}

/** A symbol from `low` to `high` leads to a node, with the same frame. */
interface Edge {
  readonly low: number;
  readonly high: number;
  readonly to: number;
  readonly frame: Frame;
}

/** All places in the grammar that a text may have led to. */
export interface AutomatonState {
  /** The (node, frame) pairs that have edges, and the end of the whole. */
  readonly places: readonly (readonly [node: number, frame: Frame])[];
  /** Where they lead. */
  readonly edges: readonly Edge[];
  readonly accepting: boolean;
  /** Symbols needed at least to an end, as the automaton's costs count them. */
  readonly cost: number;
  /** Where each byte leads, and each other symbol; null is nowhere. Filled as they are asked for. */
  readonly byByte: (AutomatonState | null | undefined)[];
  readonly byToken: Map<number, AutomatonState | null>;
}

/** Walks a network, all ways at once. */
export interface States {
  readonly start: AutomatonState;
  /** The state after a symbol, or null. */
  step(state: AutomatonState, symbol: number): AutomatonState | null;
  /** The state that is in the places of both. */
  merge(a: AutomatonState, b: AutomatonState): AutomatonState;
}

/** States over a network: `live` and `cost` give what each node needs to the end of its rule, in symbols and in tokens. */
export function createStates(network: Network, live: Float64Array, cost: Float64Array): States {
  const { nodes, rules, isEnd } = network;
  const root: Frame = { id: 0, node: -1, below: undefined, depth: 0, above: new Map(), cost: 0 };
  const known = new Map<string, AutomatonState>();
  let frames = 1;

  const returns = nodes.map((_, node) => leadsToEnd(network, node));

  const push = (below: Frame, node: number): Frame | undefined => {
    // Returning to a node that ends its own rule is returning to what lies below.
    if (returns[node]) return below;
    if (below.depth >= MAX_DEPTH) return undefined;
    let frame = below.above.get(node);
    if (frame === undefined) {
      frame = { id: frames++, node, below, depth: below.depth + 1, above: new Map(), cost: cost[node]! + below.cost };
      below.above.set(node, frame);
    }
    return frame;
  };

  const close = (from: readonly (readonly [number, Frame])[]): AutomatonState | null => {
    const seen = new Map<string, readonly [number, Frame]>();
    const queue: (readonly [number, Frame])[] = [];
    let accepting = false;
    const visit = (node: number, frame: Frame): void => {
      if (live[node] === Infinity) return;
      const key = `${node}.${frame.id}`;
      if (seen.has(key)) return;
      const place = [node, frame] as const;
      seen.set(key, place);
      queue.push(place);
      if (seen.size > MAX_PLACES)
        throw new PaliGemmaError(
          "generation/constraint",
          "the constraint leads into itself without a symbol; a rule must not begin with itself",
        );
    };
    for (const [node, frame] of from) visit(node, frame);
    for (let place = queue.pop(); place !== undefined; place = queue.pop()) {
      const [node, frame] = place;
      const { free, calls } = nodes[node]!;
      if (isEnd[node]) {
        if (frame === root) accepting = true;
        else visit(frame.node, frame.below!);
      }
      for (const to of free) visit(to, frame);
      for (const [rule, to] of calls) {
        if (live[to] === Infinity) continue;
        const above = push(frame, to);
        if (above !== undefined) visit(rules[rule]!.start, above);
      }
    }
    const kept = [...seen].filter(
      ([, [node, frame]]) => nodes[node]!.edges.length > 0 || (isEnd[node] && frame === root),
    );
    if (kept.length === 0) return null;
    const id = kept
      .map(([key]) => key)
      .sort()
      .join(" ");
    let state = known.get(id);
    if (state === undefined) {
      const places = kept.map(([, place]) => place);
      const least = places.reduce(
        (sum, [node, frame]) => Math.min(sum, cost[node]! + frame.cost),
        accepting ? 0 : Infinity,
      );
      const edges = places.flatMap(([node, frame]) =>
        nodes[node]!.edges.map(([low, high, to]) => ({ low, high, to, frame })),
      );
      state = { places, edges, accepting, cost: least, byByte: Array.from({ length: TOKEN }), byToken: new Map() };
      if (known.size >= MAX_STATES) known.clear();
      known.set(id, state);
    }
    return state;
  };

  const start = close([[rules[0]!.start, root]]);
  if (start === null) throw new PaliGemmaError("generation/constraint", "the constraint allows no text at all");
  return {
    start,
    step(state, symbol) {
      let after = symbol < TOKEN ? state.byByte[symbol] : state.byToken.get(symbol);
      if (after === undefined) {
        const reached = state.edges.flatMap(({ low, high, to, frame }) =>
          low <= symbol && symbol <= high ? [[to, frame] as const] : [],
        );
        after = reached.length === 0 ? null : close(reached);
        if (symbol < TOKEN) state.byByte[symbol] = after;
        else state.byToken.set(symbol, after);
      }
      return after;
    },
    merge: (a, b) => close([...a.places, ...b.places])!,
  };
}

/** True when there is nothing between a node and the end of its rule. */
function leadsToEnd({ nodes, isEnd }: Network, from: number): boolean {
  let node = from;
  for (let i = 0; i < nodes.length; i++) {
    if (isEnd[node]) return true;
    const { free, edges, calls } = nodes[node]!;
    if (edges.length > 0 || calls.length > 0 || free.length !== 1) return false;
    node = free[0]!;
  }
  return false;
}
