import { PaliGemmaError } from "../errors.ts";
import type { Grammar, Rule } from "./grammar.ts";
import { utf8Ranges } from "./utf8.ts";

/** Symbols below this are bytes; token t by its id is this plus t. */
export const TOKEN: number = 256;

/** Nodes of one constraint: bounds what a grammar (a schema, a pattern with large repetitions) may take. 64 bytes or so each. */
const MAX_NODES = 200_000;

/** A place in the grammar: where it leads by nothing, by a symbol of a range, or by a whole rule. */
export interface Node {
  readonly free: number[];
  readonly edges: (readonly [low: number, high: number, to: number])[];
  readonly calls: (readonly [rule: number, to: number])[];
}

/** A grammar as a recursive transition network. Rule 0 is the whole. */
export interface Network {
  readonly nodes: readonly Node[];
  readonly rules: readonly { readonly start: number; readonly end: number }[];
  /** True for the last node of each rule. */
  readonly isEnd: readonly boolean[];
}

/** The network of a grammar. */
export function networkOf(grammar: Grammar): Network {
  const nodes: Node[] = [];
  const rules: { start: number; end: number }[] = [];
  const numbers = new Map<Rule, number>();
  const waiting: [rule: number, grammar: () => Grammar][] = [];

  const add = (): number => {
    if (nodes.length >= MAX_NODES) {
      throw new PaliGemmaError(
        "generation/constraint",
        `the constraint takes more than ${MAX_NODES} nodes; use smaller repetitions or a looser schema`,
      );
    }
    return nodes.push({ free: [], edges: [], calls: [] }) - 1;
  };
  const edge = (from: number, low: number, high: number, to: number = add()): number => {
    nodes[from]!.edges.push([low, high, to]);
    return to;
  };
  const declare = (define: () => Grammar): number => {
    rules.push({ start: add(), end: add() });
    waiting.push([rules.length - 1, define]);
    return rules.length - 1;
  };

  /** Adds what `part` is from a node on; returns the node after it. */
  const build = (part: Grammar, from: number): number => {
    switch (part.kind) {
      case "text":
        return new TextEncoder().encode(part.text).reduce((node, byte) => edge(node, byte, byte), from);
      case "tokens":
        return part.ids.reduce((node, id) => edge(node, TOKEN + id, TOKEN + id), from);
      case "token-range":
        return edge(from, TOKEN + part.first, TOKEN + part.last);
      case "characters": {
        const to = add();
        for (const ranges of utf8Ranges(part.set)) {
          const last = ranges.length - 1;
          const before = ranges.slice(0, last).reduce((node, [low, high]) => edge(node, low, high), from);
          edge(before, ...ranges[last]!, to);
        }
        return to;
      }
      case "sequence":
        return part.parts.reduce((node, next) => build(next, node), from);
      case "choice": {
        const to = add();
        for (const one of part.of) nodes[build(one, from)]!.free.push(to);
        return to;
      }
      case "repeat":
        return buildRepeat(part.part, part.least, part.most, from);
      case "rule": {
        const number = numbers.get(part) ?? declare(part.define);
        numbers.set(part, number);
        const to = add();
        nodes[from]!.calls.push([number, to]);
        return to;
      }
    }
  };
  const buildRepeat = (part: Grammar, least: number, most: number, from: number): number => {
    let node = from;
    for (let i = 0; i < least; i++) node = build(part, node);
    const to = add();
    if (most === Infinity) {
      const loop = add();
      nodes[node]!.free.push(loop);
      nodes[build(part, loop)]!.free.push(loop);
      nodes[loop]!.free.push(to);
      return to;
    }
    for (let i = least; i < most; i++) {
      nodes[node]!.free.push(to);
      node = build(part, node);
    }
    nodes[node]!.free.push(to);
    return to;
  };

  declare(() => grammar);
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { start, end } = rules[next[0]]!;
    nodes[build(next[1](), start)]!.free.push(end);
  }
  const isEnd = nodes.map(() => false);
  for (const { end } of rules) isEnd[end] = true;
  return { nodes, rules, isEnd };
}

/**
 * How many symbols it takes at least from each node to the end of its rule, when an edge takes `weigh(low, high)` of them;
 * Infinity where there is no way.
 */
export function costs(network: Network, weigh: (low: number, high: number) => number): Float64Array {
  const { nodes, rules, isEnd } = network;
  const cost = Float64Array.from(isEnd, (end) => (end ? 0 : Infinity));
  const back: number[][] = nodes.map(() => []);
  const callers: number[][] = rules.map(() => []);
  nodes.forEach((node, from) => {
    for (const to of node.free) back[to]!.push(from);
    for (const [, , to] of node.edges) back[to]!.push(from);
    for (const [rule, to] of node.calls) {
      back[to]!.push(from);
      callers[rule]!.push(from);
    }
  });
  const ruleOfStart = new Map(rules.map(({ start }, rule) => [start, rule]));
  const queue = rules.flatMap(({ end }) => back[end]!);
  for (let at = 0; at < queue.length; at++) {
    const from = queue[at]!;
    const node = nodes[from]!;
    let least = cost[from]!;
    for (const to of node.free) least = Math.min(least, cost[to]!);
    for (const [low, high, to] of node.edges) least = Math.min(least, cost[to]! + weigh(low, high));
    for (const [rule, to] of node.calls) least = Math.min(least, cost[rules[rule]!.start]! + cost[to]!);
    if (least >= cost[from]!) continue;
    cost[from] = least;
    queue.push(...back[from]!);
    const rule = ruleOfStart.get(from);
    if (rule !== undefined) queue.push(...callers[rule]!);
  }
  return cost;
}
