import type { Constraint, TokenSet } from "../constraint.ts";
import { PaliGemmaError } from "../errors.ts";
import { atomRange } from "./atoms.ts";
import { coordinateTest } from "./boxes.ts";
import { charactersOf, complement, SPACE, union } from "./character-set.ts";
import { compile } from "./compile.ts";
import { characters, choice, type Grammar, list, optional, repeat, sequence, text, tokenRange } from "./grammar.ts";
import { literal } from "./literal.ts";
import type { AutomatonState } from "./states.ts";
import { tokenSet } from "./token-set.ts";
import type { Vocabulary } from "./vocabulary.ts";

/** What `detections` and `segments` allow. */
export interface DetectionsOptions {
  /** The only labels there are; absent: any text without ; < > and line ends. */
  readonly labels?: readonly string[];
  /** Objects at most. Default 100, as COCO's evaluation counts them. */
  readonly maxObjects?: number;
  /** Objects at least. Default 0: the answer may be empty, when nothing is found. */
  readonly minObjects?: number;
  /** Whether the same four coordinates may come twice. Default false. */
  readonly repeatedBoxes?: boolean;
  /** Whether boxes without area (ymax ≤ ymin or xmax ≤ xmin) are allowed. Default false. */
  readonly emptyBoxes?: boolean;
}

/** The state of a detections constraint: where the text is, the coordinates of the box in the making, the boxes before. */
export interface DetectionsState {
  readonly inner: AutomatonState;
  /** True in the last object that is allowed. */
  readonly last: boolean;
  readonly coordinates: readonly number[];
  readonly boxes: readonly (readonly number[])[];
}

const DEFAULT_MOST = 100;

/** Where a label has no more to say about its objects: with what labels never contain. */
const NOT_IN_LABELS = charactersOf(";<>\n\r");
const INSIDE = complement(NOT_IN_LABELS);
const OUTSIDE = complement(union(NOT_IN_LABELS, SPACE));

/**
 * The answer is objects `<loc><loc><loc><loc> label` (ymin xmin ymax xmax) separated by " ; ", or empty. Labels come from a
 * list or are free; no box comes twice, and boxes have an area, unless said otherwise.
 */
export function detections(vocabulary: Vocabulary, options: DetectionsOptions = {}): Constraint<DetectionsState> {
  return objects(vocabulary, options, 0);
}

/** As `detections`, each box followed by the 16 segmentation tokens of its mask. */
export function segments(vocabulary: Vocabulary, options: DetectionsOptions = {}): Constraint<DetectionsState> {
  return objects(vocabulary, options, 16);
}

function objects(vocabulary: Vocabulary, options: DetectionsOptions, masks: number): Constraint<DetectionsState> {
  const { maxObjects = DEFAULT_MOST, minObjects = 0 } = options;
  const rules = { repeatedBoxes: options.repeatedBoxes ?? false, emptyBoxes: options.emptyBoxes ?? false };
  checkCounts(minObjects, maxObjects);
  const locations = rangeOf(vocabulary, "loc");
  const object = sequence(
    repeat(tokenRange(...locations), 4, 4),
    ...(masks > 0 ? [repeat(tokenRange(...rangeOf(vocabulary, "seg")), masks, masks)] : []),
    labelGrammar(vocabulary, options.labels),
  );
  const separator = options.labels === undefined ? text(" ; ") : literal(vocabulary, " ; ");
  const more = compile(vocabulary, optional(list(object, separator, 1)));
  const last = compile(vocabulary, object);
  const partOf = (state: DetectionsState): Constraint<AutomatonState> => (state.last ? last : more);
  const [first] = locations;
  const between = compile(vocabulary, separator);
  const perObject = last.distance!(last.start) + between.distance!(between.start);

  const filtered = (state: DetectionsState): TokenSet => {
    const inner = partOf(state).allowed(state.inner);
    const mayEnd = begun(state) >= minObjects;
    if (!inner.has(first) && (mayEnd || !state.inner.accepting)) return inner;
    const canStand = coordinateTest(state.coordinates, state.boxes, rules);
    const kept: number[] = [];
    for (const token of inner.ids) {
      const isLocation = token >= first && token <= locations[1];
      if (isLocation ? canStand(token - first) : mayEnd || !vocabulary.eos.includes(token)) kept.push(token);
    }
    return tokenSet(Int32Array.from(kept));
  };
  // A state is asked several times on its way.
  const known = new WeakMap<DetectionsState, TokenSet>();
  const allowed = (state: DetectionsState): TokenSet => {
    let set = known.get(state);
    if (set === undefined) known.set(state, (set = filtered(state)));
    return set;
  };
  return {
    start: { inner: more.start, last: false, coordinates: [], boxes: [] },
    allowed,
    next(state, token) {
      if (token < first || token > locations[1]) {
        const inner = partOf(state).next(state.inner, token);
        return inner === undefined ? undefined : { ...state, inner };
      }
      const beginsLast = state.coordinates.length === 0 && state.boxes.length === maxObjects - 1;
      const inner =
        beginsLast && more.next(state.inner, token) !== undefined
          ? last.next(last.start, token)
          : partOf(state).next(state.inner, token);
      const coordinates = [...state.coordinates, token - first];
      const canStand = coordinateTest(state.coordinates, state.boxes, rules);
      if (inner === undefined || !canStand(token - first)) return undefined;
      const done = coordinates.length === 4;
      return {
        inner,
        last: state.last || beginsLast,
        coordinates: done ? [] : coordinates,
        boxes: done ? [...state.boxes, coordinates] : state.boxes,
      };
    },
    accepting: (state) => state.inner.accepting && state.boxes.length >= minObjects,
    distance: (state) => partOf(state).distance!(state.inner) + Math.max(0, minObjects - begun(state)) * perObject,
    forced: (state) => (partOf(state).allowed(state.inner).has(first) ? [] : partOf(state).forced!(state.inner)),
  };
}

function begun(state: DetectionsState): number {
  return state.boxes.length + (state.coordinates.length > 0 ? 1 : 0);
}

function checkCounts(least: number, most: number): void {
  if (Number.isInteger(least) && Number.isInteger(most) && least >= 0 && most >= Math.max(least, 1)) return;
  throw new PaliGemmaError(
    "generation/constraint",
    `minObjects is ${least} and maxObjects ${most}; both are integers, 0 ≤ minObjects ≤ maxObjects and 1 ≤ maxObjects`,
  );
}

function rangeOf(vocabulary: Vocabulary, kind: "loc" | "seg"): readonly [number, number] {
  const range = atomRange(vocabulary, kind);
  if (range === undefined)
    throw new PaliGemmaError(
      "generation/vocabulary",
      `the vocabulary has no <${kind}> tokens in a row of ids; detections and segments are asked of a PaliGemma tokenizer`,
    );
  return range;
}

function labelGrammar(vocabulary: Vocabulary, labels: readonly string[] | undefined): Grammar {
  if (labels === undefined)
    return sequence(
      text(" "),
      characters(OUTSIDE),
      optional(sequence(repeat(characters(INSIDE), 0), characters(OUTSIDE))),
    );
  const wrong = labels.find((label) => label.trim() !== label || label === "" || /[;<>\n\r]/.test(label));
  if (labels.length === 0 || wrong !== undefined) {
    throw new PaliGemmaError(
      "generation/constraint",
      `the label ${JSON.stringify(wrong)} cannot be read back; labels are at least one, without ; < > and spaces at their ends`,
    );
  }
  return choice(...labels.map((label) => literal(vocabulary, ` ${label}`)));
}
