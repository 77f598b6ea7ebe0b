import { PaliGemmaError } from "@paligemma/core";
import type { Checkpoint, TensorRef } from "../checkpoint.ts";
import { matchTensors } from "../match.ts";
import { joinSources, sliceSource } from "../sources.ts";
import { checkpointOf, computedTensor } from "../tensors.ts";
import { asElements, fromElements } from "./elements.ts";
import { LAYOUT, parseAxes, type Axes, type LayoutRow } from "./layout.ts";
import { isIdentity, permute } from "./permute.ts";

/** What big_vision's shapes say that released shapes do not: `PaliGemmaConfig` of `@paligemma/config` is one. */
export interface BigVisionSizes {
  readonly text: {
    readonly modelType: "gemma" | "gemma2";
    readonly numHiddenLayers: number;
    readonly numAttentionHeads: number;
    readonly numKeyValueHeads: number;
  };
  readonly vision: { readonly numHiddenLayers: number; readonly numAttentionHeads: number };
  /** Rows of the token table in the npz: those before the image token, which Hugging Face added. */
  readonly imageTokenIndex: number;
}

/**
 * A PaliGemma under released names (see `canonicalNames`) as the arrays that big_vision loads, under `params/`. Everything is
 * computed while it is read, a layer at a time. Rows of the token table from the image token on are left out, as big_vision has
 * none. Throws `weights/mismatch`, also for an output layer of its own: big_vision
 * always ties it.
 */
export function toBigVision(checkpoint: Checkpoint, sizes: BigVisionSizes): Checkpoint {
  const rows = LAYOUT.filter(({ only }) => only === undefined || only === sizes.text.modelType);
  const shapes = new Map(
    rows.flatMap((row) => names(row, sizes)).map((name) => [name, checkpoint.tensors.get(name)?.shape ?? []]),
  );
  matchTensors(checkpoint, shapes);
  const arrays = new Map<string, LayoutRow[]>();
  for (const row of rows) arrays.set(row.npz, [...(arrays.get(row.npz) ?? []), row]);
  return checkpointOf([...arrays].map(([npz, halves]) => stack(`params/${npz}`, halves, checkpoint, sizes)));
}

function names(row: LayoutRow, sizes: BigVisionSizes): readonly string[] {
  const layers = row.stacked ? sizes[row.stacked].numHiddenLayers : 1;
  return Array.from({ length: layers }, (_, i) => row.released.replace("{i}", String(i)));
}

/** One array: layer after layer, in each the halves where there are two. */
function stack(name: string, halves: readonly LayoutRow[], checkpoint: Checkpoint, sizes: BigVisionSizes): TensorRef {
  const [row] = halves as [LayoutRow];
  const columns = halves.map((half) =>
    names(half, sizes).map((released) => part(half, checkpoint.tensors.get(released)!, sizes)),
  );
  const parts = columns[0]!.flatMap((_, layer) => columns.map((column) => column[layer]!));
  const [{ dtype, shape }] = parts as [TensorRef];
  const other = parts.find((ref) => ref.dtype !== dtype);
  if (other)
    throw new PaliGemmaError(
      "weights/dtype",
      `${other.name} is ${other.dtype}, other layers are ${dtype}; an npz array has one format: cast them first`,
    );
  const { half, single } = parseAxes(row.axes);
  const prefix = [...(row.stacked ? [columns[0]!.length] : []), ...(half === undefined ? (single ? [1] : []) : [2])];
  const source = joinSources(
    parts.map((ref) => sliceSource(ref.source, ref.start, ref.end)),
    name,
  );
  return { name, dtype, shape: [...prefix, ...shape], source, start: 0, end: source.size };
}

/** A released tensor with its axes taken apart and moved to where big_vision has them. */
function part(row: LayoutRow, ref: TensorRef, sizes: BigVisionSizes): TensorRef {
  const axes = parseAxes(row.axes);
  if (row.npz === "llm/embedder/input_embedding") return withoutAddedRows(ref, sizes.imageTokenIndex);
  const apart = takeApart(row, axes, ref, sizes);
  const letters = axes.released.flat();
  const order = axes.npz.map((letter) => letters.indexOf(letter));
  const shape = order.map((axis) => apart[axis]!);
  if (isIdentity(apart, order)) return { ...ref, shape };
  return computedTensor(ref.name, ref.dtype, shape, async (signal) => {
    const bytes = await ref.source.read(ref.start, ref.end, signal);
    return fromElements(ref.dtype, shape, permute(asElements(ref.dtype, bytes), apart, order));
  });
}

/** Lengths of the released axes, joined ones apart. */
function takeApart(row: LayoutRow, axes: Axes, ref: TensorRef, { text, vision }: BigVisionSizes): readonly number[] {
  return axes.released.flatMap((letters, i) => {
    const length = ref.shape[i]!;
    if (letters.length === 1) return [length];
    const count =
      letters[0] === "K" ? text.numKeyValueHeads : (row.stacked === "vision" ? vision : text).numAttentionHeads;
    if (length % count === 0) return [count, length / count];
    throw new PaliGemmaError(
      "weights/mismatch",
      `${ref.name} is [${ref.shape.join(", ")}], which ${count} heads do not divide`,
    );
  });
}

function withoutAddedRows(ref: TensorRef, imageTokenIndex: number): TensorRef {
  const [rows = 0, width = 0] = ref.shape;
  const kept = Math.min(rows, imageTokenIndex);
  return { ...ref, shape: [kept, width], end: ref.start + ((ref.end - ref.start) / rows) * kept };
}
