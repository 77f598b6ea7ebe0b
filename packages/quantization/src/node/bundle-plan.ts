import { panelRows, planSafetensors, quantizedParts, type Checkpoint, type TensorRef } from "@paligemma/weights";
import {
  plannedMatrices,
  planCheckpoint,
  type PlannedTensor,
  type QuantizedMatrix,
  type QuantizeOptions,
} from "../checkpoint.ts";
import { quantizeMatrix } from "../matrix.ts";
import { rowsAtOnce } from "../numbers.ts";
import type { QuantizedFormat } from "@paligemma/weights";

/** Bytes of a tensor that stays as it is which are copied at once. */
const COPIED_BYTES = 2 ** 22;

/** A part of the work that is done in one go, and where in the file its bytes go. */
export type Piece =
  | {
      readonly kind: "copy";
      readonly ref: TensorRef;
      readonly start: number;
      readonly end: number;
      readonly at: number;
    }
  | {
      readonly kind: "rows";
      readonly ref: TensorRef;
      readonly format: QuantizedFormat;
      readonly moments: Float32Array | undefined;
      /** Where whole rows lie in panels, the rows of each. */
      readonly panelRows: number | undefined;
      /** Place of the matrix among `BundlePlan.matrices`. */
      readonly matrix: number;
      readonly firstRow: number;
      readonly lastRow: number;
      readonly dataAt: number;
      readonly scalesAt: number;
      readonly zeroPointsAt: number;
      readonly sumsAt: number;
    };

/** A file of quantised tensors that is to be written: every byte of it belongs to one piece or the header. */
export interface BundlePlan {
  readonly header: Uint8Array;
  /** Bytes of the file. */
  readonly size: number;
  /** Bytes of all tensors. */
  readonly bytes: number;
  readonly pieces: readonly Piece[];
  readonly matrices: readonly QuantizedMatrix[];
  /** The tensors that are read. */
  readonly sources: readonly TensorRef[];
}

/** Lays out the file and cuts the work. Nothing is read. Throws as `quantizeCheckpoint` does. */
export function planBundle(checkpoint: Checkpoint, options: QuantizeOptions): BundlePlan {
  const planned = planCheckpoint(checkpoint, options);
  const tensors = inGroups(planned).flatMap((group) => partByPart(group));
  const { header, size, tensors: inOrder } = planSafetensors(tensors, { format: "pt", quantization: options.dtype });
  const places = new Map<string, number>();
  let at = header.byteLength;
  for (const { name, start, end } of inOrder) {
    places.set(name, at);
    at += end - start;
  }
  const pieces: Piece[] = [];
  let matrix = 0;
  for (const { ref, format, moments } of planned) {
    if (!format) pieces.push(...copies(ref, places.get(ref.name)!));
    else pieces.push(...rowPieces({ ref, format, moments, matrix: matrix++ }, places));
  }
  const sources = planned.map(({ ref, from }) => from ?? ref);
  return { header, size, bytes: size - header.byteLength, pieces, matrices: plannedMatrices(planned), sources };
}

/** Matrices that are multiplied with the same input, in the order in which they are. */
const TOGETHER: readonly (readonly string[])[] = [
  ["q_proj", "k_proj", "v_proj"],
  ["gate_proj", "up_proj"],
];

/** Planned tensors in their order, those of matrices with one input in groups. */
function inGroups(planned: readonly PlannedTensor[]): readonly (readonly PlannedTensor[])[] {
  const byName = new Map(planned.map((tensor) => [tensor.ref.name, tensor]));
  const done = new Set<PlannedTensor>();
  return planned.flatMap((tensor) => {
    if (done.has(tensor)) return [];
    const { name } = tensor.ref;
    const group = TOGETHER.find((names) => names.some((one) => name.endsWith(`.${one}.weight`)));
    const stem = name.replace(/[^.]+\.weight$/, "");
    const found = group?.map((one) => byName.get(`${stem}${one}.weight`));
    const members = found?.every((one) => one?.format !== undefined) ? (found as readonly PlannedTensor[]) : [tensor];
    for (const member of members) done.add(member);
    return [members];
  });
}

/** The tensors of a group, all data side by side, all scales, and so on: one product can take them as one matrix. */
function partByPart(group: readonly PlannedTensor[]): readonly TensorRef[] {
  const parts = group.map(({ ref, format }) => (format ? quantizeMatrix(ref, format) : [ref]));
  const most = Math.max(...parts.map(({ length }) => length));
  return Array.from({ length: most }, (_, i) => parts.flatMap((one) => one[i] ?? [])).flat();
}

function copies(ref: TensorRef, at: number): readonly Piece[] {
  const pieces: Piece[] = [];
  for (let start = ref.start; start < ref.end; start += COPIED_BYTES)
    pieces.push({ kind: "copy", ref, start, end: Math.min(ref.end, start + COPIED_BYTES), at: at + start - ref.start });
  return pieces;
}

function rowPieces(
  what: Pick<Extract<Piece, { kind: "rows" }>, "ref" | "format" | "moments" | "matrix">,
  places: ReadonlyMap<string, number>,
): readonly Piece[] {
  const { ref, format } = what;
  const [out, width] = ref.shape as readonly [number, number];
  const { data, scales, zeroPoints, sums } = quantizedParts(ref.name, [out, width], format);
  const together = panelRows(format, [out, width]);
  const place = (part: { readonly name: string } | undefined): number => (part ? places.get(part.name)! : 0);
  // Of a panel every row takes as many bytes as it has numbers.
  const dataRow = together === undefined ? data.shape[1]! * data.shape[2]! : width;
  const scalesRow = scales.shape[1]! * Float32Array.BYTES_PER_ELEMENT;
  const pieces: Piece[] = [];
  const step = rowsAtOnce(width, together ?? 1);
  for (let firstRow = 0; firstRow < out; firstRow += step) {
    pieces.push({
      kind: "rows",
      ...what,
      panelRows: together,
      firstRow,
      lastRow: Math.min(out, firstRow + step),
      dataAt: place(data) + firstRow * dataRow,
      scalesAt: place(scales) + firstRow * scalesRow,
      zeroPointsAt: place(zeroPoints) + firstRow * (zeroPoints?.shape[1] ?? 0),
      sumsAt: place(sums) + firstRow * Int32Array.BYTES_PER_ELEMENT,
    });
  }
  return pieces;
}
