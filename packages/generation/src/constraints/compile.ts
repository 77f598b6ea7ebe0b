import type { Constraint, TokenSet } from "../constraint.ts";
import type { Grammar } from "./grammar.ts";
import { costs, networkOf, TOKEN } from "./network.ts";
import { type AutomatonState, createStates, type States } from "./states.ts";
import { tokenSet } from "./token-set.ts";
import type { Vocabulary } from "./vocabulary.ts";

/** Ids in the token sets that are kept for reuse, 4 bytes each. */
const MAX_KEPT_IDS = 8_000_000;

/** Symbols that are looked ahead for a run without a choice. */
const MAX_FORCED = 64;

/** The constraint that an answer is a text of the grammar, in any split into tokens that the grammar leaves open. */
export function compile(vocabulary: Vocabulary, grammar: Grammar): Constraint<AutomatonState> {
  const network = networkOf(grammar);
  const { single } = vocabulary;
  const hasToken = (low: number, high: number): boolean => {
    if (low >= TOKEN) return true;
    for (let byte = low; byte <= high; byte++) if (single[byte]) return true;
    return false;
  };
  const live = costs(network, () => 1);
  const states = createStates(
    network,
    live,
    costs(network, (low, high) => (hasToken(low, high) ? 1 : Infinity)),
  );

  let kept = new Map<AutomatonState, TokenSet>();
  let keptIds = 0;
  const allowed = (state: AutomatonState): TokenSet => {
    let set = kept.get(state);
    if (set === undefined) {
      set = tokensFrom(state, states, vocabulary);
      keptIds += set.size;
      if (keptIds > MAX_KEPT_IDS) [kept, keptIds] = [new Map(), set.size];
      kept.set(state, set);
    }
    return set;
  };
  const next = (state: AutomatonState, token: number): AutomatonState | undefined => {
    const byId = states.step(state, TOKEN + token);
    const bytes = vocabulary.bytesOf(token);
    let byText: AutomatonState | null = bytes.length === 0 ? null : state;
    for (let i = 0; i < bytes.length && byText !== null; i++) byText = states.step(byText, bytes[i]!);
    if (byId !== null && byText !== null) return states.merge(byId, byText);
    return byId ?? byText ?? undefined;
  };
  return {
    start: states.start,
    allowed,
    next,
    accepting: (state) => state.accepting,
    distance: (state) => state.cost + 1,
    forced: (state) => forcedTokens(forcedSymbols(state, states), vocabulary),
  };
}

/** Every token whose bytes, or whose id, lead somewhere, and those that end the answer where it may end. */
function tokensFrom(state: AutomatonState, states: States, vocabulary: Vocabulary): TokenSet {
  const ids: number[] = state.accepting ? [...vocabulary.eos] : [];
  const byId = new Set<number>();
  for (const { low, high } of state.edges) {
    if (low >= TOKEN)
      for (let symbol = low; symbol <= high; symbol++)
        if (states.step(state, symbol) !== null) byId.add(symbol - TOKEN);
  }
  if (state.edges.some(({ low }) => low < TOKEN)) {
    const { first, sibling, byte, holds, another } = vocabulary.trie;
    const nodes: number[] = [first[0]!];
    const from: AutomatonState[] = [state];
    while (nodes.length > 0) {
      const child = nodes[nodes.length - 1]!;
      if (child === 0) {
        nodes.pop();
        from.pop();
        continue;
      }
      nodes[nodes.length - 1] = sibling[child]!;
      const after = states.step(from[from.length - 1]!, byte[child]!);
      if (after === null) continue;
      for (let id = holds[child]!; id >= 0; id = another[id]!) if (!byId.has(id)) ids.push(id);
      if (first[child] !== 0) {
        nodes.push(first[child]!);
        from.push(after);
      }
    }
  }
  for (const id of byId) ids.push(id);
  return tokenSet(Int32Array.from(ids).sort());
}

/** The symbols that must follow, in order, until there is a choice or the text may end; and whether text may follow them. */
function forcedSymbols(
  state: AutomatonState,
  states: States,
): { readonly symbols: readonly number[]; readonly open: boolean } {
  const symbols: number[] = [];
  for (let at = state; ;) {
    const { edges } = at;
    const symbol = edges[0]?.low;
    const forced =
      !at.accepting && symbol !== undefined && edges.every(({ low, high }) => low === symbol && high === symbol);
    const after = forced && symbols.length < MAX_FORCED ? states.step(at, symbol) : null;
    if (after === null) return { symbols, open: edges.some(({ low }) => low < TOKEN) };
    symbols.push(symbol!);
    at = after;
  }
}

/**
 * The tokens of symbols that must follow: those asked for by id, and text as the tokenizer splits it. The last token of a
 * text that may go on is left to the model, since it may be longer there.
 */
function forcedTokens(
  { symbols, open }: { readonly symbols: readonly number[]; readonly open: boolean },
  vocabulary: Vocabulary,
): readonly number[] {
  const result: number[] = [];
  for (let at = 0; at < symbols.length;) {
    if (symbols[at]! >= TOKEN) {
      result.push(symbols[at]! - TOKEN);
      at++;
      continue;
    }
    if (vocabulary.encode === undefined) break;
    let end = at;
    while (end < symbols.length && symbols[end]! < TOKEN) end++;
    const ids = spelling(Uint8Array.from(symbols.slice(at, end)), vocabulary);
    if (ids === undefined) break;
    const goesOn = end === symbols.length && open;
    result.push(...(goesOn ? ids.slice(0, -1) : ids));
    if (goesOn) break;
    at = end;
  }
  return result;
}

/** The tokenizer's split of a text given as bytes, if it is whole and the split spells it. */
function spelling(bytes: Uint8Array, vocabulary: Vocabulary): readonly number[] | undefined {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
  const ids = vocabulary.encode!(text);
  return spells(ids, bytes, vocabulary) ? ids : undefined;
}

/** True when the tokens' bytes are the text. */
export function spells(ids: readonly number[], bytes: Uint8Array, vocabulary: Vocabulary): boolean {
  let at = 0;
  for (const id of ids) for (const byte of vocabulary.bytesOf(id)) if (bytes[at++] !== byte) return false;
  return at === bytes.length && ids.every((id) => vocabulary.bytesOf(id).length > 0);
}
