import { bytesFor, PaliGemmaError, sizeOf } from "@paligemma/core";
import type { Checkpoint, TensorRef } from "../checkpoint.ts";
import { LIMITS } from "../limits.ts";
import { joinSources, sliceSource } from "../sources.ts";
import { checkpointOf, computedTensor } from "../tensors.ts";
import { asElements, fromElements, meanRow } from "./elements.ts";
import { LAYOUT, parseAxes, type Axes, type LayoutRow } from "./layout.ts";
import { isIdentity, permute } from "./permute.ts";

/** How to read a checkpoint of big_vision. */
export interface FromBigVisionOptions {
  /**
   * Rows of the token table. Default: as in the released conversions, two more than the npz has, rounded up to a multiple of
   * 64 (257,152 → 257,216).
   */
  readonly vocabSize?: number;
}

/**
 * A PaliGemma that big_vision saved (Google's `.npz`), under the released names and in the released shapes. Tensors that only need
 * another name stay byte ranges of the file; the others are transposed when they are read. Rows that the token table lacks
 * are the mean of its rows: their logit is the mean of all, so none of them ever wins. Throws `weights/mismatch` with all
 * missing, superfluous and misshapen arrays.
 */
export function fromBigVision(checkpoint: Checkpoint, options: FromBigVisionOptions = {}): Checkpoint {
  const arrays = new Map([...checkpoint.tensors].map(([name, ref]) => [name.replace(/^params\//, ""), ref]));
  const kind = arrays.has("llm/layers/post_ffw_norm/scale") ? "gemma2" : "gemma";
  const rows = LAYOUT.filter(({ only }) => only === undefined || only === kind);
  const problems: string[] = [];
  const known = new Set(rows.map(({ npz }) => npz));
  for (const name of known) if (!arrays.has(name)) problems.push(`missing: ${name}`);
  for (const name of arrays.keys()) if (!known.has(name)) problems.push(`superfluous: ${name}`);
  const refs = rows.flatMap((row) => {
    const ref = arrays.get(row.npz);
    if (!ref) return [];
    const found = convert(row, ref);
    if (typeof found === "string") problems.push(found);
    return typeof found === "string" ? [] : found;
  });
  if (problems.length > 0) {
    const shown = problems.slice(0, LIMITS.listed).join("\n");
    throw new PaliGemmaError(
      "weights/mismatch",
      `these arrays are no PaliGemma of big_vision; ${problems.length} differences:\n${shown}`,
    );
  }
  return checkpointOf(
    refs.map((ref) => (ref.name.endsWith("embed_tokens.weight") ? padRows(ref, options.vocabSize) : ref)),
    checkpoint.metadata,
  );
}

/** The released tensors in one array, or what is wrong with it. */
function convert(row: LayoutRow, ref: TensorRef): readonly TensorRef[] | string {
  const axes = parseAxes(row.axes);
  const rank = axes.npz.length + (row.stacked ? 1 : 0) + (axes.half === undefined && !axes.single ? 0 : 1);
  const [layers, inner] = row.stacked ? [ref.shape[0] ?? 0, ref.shape.slice(1)] : [1, ref.shape];
  const wrongFirst = (axes.half !== undefined && inner[0] !== 2) || (axes.single && inner[0] !== 1);
  if (ref.shape.length !== rank || wrongFirst)
    return `misshapen: ${row.npz} is [${ref.shape.join(", ")}], needed is ${row.stacked ? "layers, " : ""}${row.axes.split(" -> ")[0]}`;
  const shape = axes.half !== undefined || axes.single ? inner.slice(1) : inner;
  const size = bytesFor(ref.dtype, sizeOf(shape));
  return Array.from({ length: layers }, (_, i) => {
    const start = ref.start + (i * (axes.half === undefined ? 1 : 2) + (axes.half ?? 0)) * size;
    const part: TensorRef = {
      name: row.released.replace("{i}", String(i)),
      dtype: ref.dtype,
      shape,
      source: ref.source,
      start,
      end: start + size,
    };
    return moved(part, axes);
  });
}

/** A part of an array with its axes moved and joined. */
function moved(part: TensorRef, axes: Axes): TensorRef {
  const length = new Map(axes.npz.map((letter, i) => [letter, part.shape[i]!]));
  const shape = axes.released.map((letters) => letters.reduce((product, letter) => product * length.get(letter)!, 1));
  const order = axes.released.flat().map((letter) => axes.npz.indexOf(letter));
  if (isIdentity(part.shape, order)) return { ...part, shape };
  return computedTensor(part.name, part.dtype, shape, async (signal) => {
    const bytes = await part.source.read(part.start, part.end, signal);
    return fromElements(part.dtype, shape, permute(asElements(part.dtype, bytes), part.shape, order));
  });
}

function padRows(ref: TensorRef, vocabSize?: number): TensorRef {
  const [rows = 0, width = 0] = ref.shape;
  const wanted = vocabSize ?? Math.ceil((rows + 2) / 64) * 64;
  if (wanted < rows)
    throw new PaliGemmaError("weights/mismatch", `the token table has ${rows} rows, ${wanted} are wanted`);
  if (wanted === rows) return ref;
  const filler = computedTensor(`${ref.name} (rows from ${rows})`, ref.dtype, [wanted - rows, width], (signal) =>
    meanRow(ref, wanted - rows, signal),
  );
  const source = joinSources([sliceSource(ref.source, ref.start, ref.end), filler.source], ref.source.name);
  return { name: ref.name, dtype: ref.dtype, shape: [wanted, width], source, start: 0, end: source.size };
}
