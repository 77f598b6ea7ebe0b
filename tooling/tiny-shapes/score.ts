import { boxIou, parseDetections, type Detection } from "@paligemma/parsers";
import {
  decodeSegments,
  emptyMask,
  maskFromRle,
  maskIou,
  unionMasks,
  type Mask,
  type MaskCodec,
} from "@paligemma/masks";

/** A scene of the evaluation set, as make_evaluation.py writes it. */
export interface Scene {
  readonly file: string;
  readonly width: number;
  readonly height: number;
  readonly things: readonly {
    readonly shape: string;
    readonly color: string;
    readonly box: readonly number[];
    readonly mask: readonly number[];
  }[];
  readonly tasks: readonly { readonly kind: string; readonly prefix: string; readonly suffix: string }[];
}

/** How one answer did. */
export interface Score {
  readonly right: boolean;
  /** Of each box that was to be found, in order; only for boxes. */
  readonly ious?: readonly number[];
  /** Of the union of all masks; only for `segment`. */
  readonly maskIou?: number;
}

/** The four headings of the table. */
export function headingOf(kind: string): "caption" | "answer" | "detect" | "segment" {
  if (kind === "caption" || kind === "segment") return kind;
  return kind.startsWith("detect") ? "detect" : "answer";
}

/** Scores an answer against the truth. Boxes are paired in order; a missing one counts as IoU 0. */
export function score(scene: Scene, task: Scene["tasks"][number], text: string, codec: MaskCodec): Score {
  const heading = headingOf(task.kind);
  if (heading === "caption" || heading === "answer") return { right: text === task.suffix };
  const found = parseDetections(text);
  const truth = parseDetections(task.suffix).items.map((item, i) => ({ ...item, box: trueBox(scene, task, item, i) }));
  const labels = (items: readonly Detection[]): string => items.map((item) => item.label).join("\n");
  const right = found.rest === "" && labels(found.items) === labels(truth);
  const ious = truth.map((item, i) =>
    found.items[i]?.label === item.label ? boxIou(found.items[i].box, item.box) : 0,
  );
  return heading === "segment" ? { right, ious, maskIou: unionIou(scene, task, found.items, codec) } : { right, ious };
}

/** The things that a task asks for, in the order of the answer. */
function asked(scene: Scene, task: Scene["tasks"][number]): Scene["things"] {
  const names = task.prefix.split(" ").slice(1).join(" ").split(" ; ");
  return scene.things.filter((thing) => names.includes(thing.shape) || names.includes(`${thing.color} ${thing.shape}`));
}

/** The exact box: the suffix has it rounded to what the model was taught. */
function trueBox(scene: Scene, task: Scene["tasks"][number], item: Detection, index: number): Detection["box"] {
  const [yMin, xMin, yMax, xMax] = asked(scene, task)[index]?.box ?? [];
  return yMin === undefined ? item.box : { yMin, xMin: xMin!, yMax: yMax!, xMax: xMax! };
}

function unionIou(scene: Scene, task: Scene["tasks"][number], found: readonly Detection[], codec: MaskCodec): number {
  const size = { width: scene.width, height: scene.height };
  const union = (masks: readonly Mask[]): Mask =>
    masks.length > 0 ? unionMasks(masks) : emptyMask(size.width, size.height);
  const truth = union(
    asked(scene, task).map((thing) => maskFromRle({ size: [scene.height, scene.width], counts: [...thing.mask] })),
  );
  const objects = found.filter((item): item is Detection & { codes: readonly number[] } => item.codes !== undefined);
  return maskIou(union(decodeSegments(codec, objects, size).map((object) => object.mask)), truth);
}
