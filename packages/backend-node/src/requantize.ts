import { isNumbers, requantizable, type Requantization, type Tensor } from "@paligemma/backend";
import { bitsOf, PaliGemmaError, type DType } from "@paligemma/core";
import { formatShape, sameShape } from "@paligemma/graph";
import type { QuantizedTensor, TensorRef } from "@paligemma/weights";
import type { WorkerLink } from "./link.ts";
import type { RequantizeRequest } from "./protocol.ts";
import { NodeTensor } from "./tensor.ts";
import type { MatrixInFile, Panels } from "./unpacker.ts";

/** Formats of what a matrix becomes. */
const FORMATS: Readonly<Record<keyof Panels, DType>> = {
  data: "int8",
  scales: "float32",
  sums: "int32",
  errors: "float32",
};

/** Checks what is to become panels, and says it to the worker. Throws `backend/option`, or what `NodeTensor.use` throws. */
export function requantizeRequest(link: WorkerLink, work: readonly Requantization[]): RequantizeRequest {
  const used = new Set<number>();
  const asked = work.map(({ matrix, start = 0, ...panels }) => {
    const { data } = panels;
    const unknown = Object.keys(panels).filter((part) => !(part in FORMATS));
    const { name, shape } = isNumbers(matrix) ? matrix : { name: matrix.data.name, shape: matrix.shape };
    const [out = 0, width = 0] = shape;
    const [count = 0, , rowsOfPanel = 0] = data.shape;
    const faults = unknown.map((part) => `it has no ${part}`);
    if (!requantizable(matrix))
      faults.push(
        "it must be in a file, in panels, in blocks of 4 bits, of 32 or more, without zero points, or numbers in float32 or bfloat16",
      );
    else if (!isNumbers(matrix) && matrix.bits === 8)
      if (matrix.data.shape[2] !== rowsOfPanel || start % rowsOfPanel !== 0)
        faults.push(
          `its panels have ${matrix.data.shape[2]} rows, and are taken as they are from the beginning of one on`,
        );
    if (isNumbers(matrix) && width % 16 !== 0) faults.push(`its rows have ${width} numbers, no multiple of 16`);
    if (!isNumbers(matrix) && (panels.sums || panels.errors)) faults.push("sums and errors are of numbers only");
    if (!Number.isInteger(start) || start < 0 || start >= out) faults.push(`it has no row ${start}`);
    if (rowsOfPanel === 0 || rowsOfPanel % 8 !== 0) faults.push(`panels have a multiple of 8 rows, not ${rowsOfPanel}`);
    const tensors: Partial<Record<keyof Panels, number>> = {};
    for (const part of Object.keys(FORMATS) as (keyof Panels)[]) {
      const given: Tensor | undefined = panels[part];
      if (!given) continue;
      const tensor = NodeTensor.use(given, link, part);
      const needed = [count, part === "data" ? width : 1, rowsOfPanel];
      if (tensor.dtype !== FORMATS[part] || !sameShape(tensor.shape, needed))
        faults.push(
          `${part} must be ${FORMATS[part]} ${formatShape(needed)}, it is ${tensor.dtype} ${formatShape(tensor.shape)}`,
        );
      if (!tensor.isWhole) faults.push(`${part} is a window of a tensor, and only all of one can be filled`);
      if (used.has(tensor.id)) faults.push(`${part} is asked for twice`);
      used.add(tensor.id);
      tensors[part] = tensor.id;
    }
    if (faults.length > 0)
      throw new PaliGemmaError(
        "backend/option",
        `${name} ${formatShape(shape)} cannot become panels: ${faults.join("; ")}`,
      );
    const from: MatrixInFile = {
      ...placeOf(matrix, start),
      rows: Math.min(out - start, count * rowsOfPanel),
      width,
      rowsOfPanel,
    };
    return { from, tensors };
  });
  return { kind: "requantize", id: link.fresh(), work: asked };
}

/** Where a matrix lies from a row on, and how. */
function placeOf(
  matrix: QuantizedTensor | TensorRef,
  start: number,
): Omit<MatrixInFile, "rows" | "width" | "rowsOfPanel"> {
  const [out = 0] = matrix.shape;
  const from = (ref: TensorRef): number => ref.start + (start * (ref.end - ref.start)) / out;
  const file = ({ source }: TensorRef): Pick<MatrixInFile, "path" | "size"> => ({
    path: source.path!,
    size: source.size,
  });
  if (isNumbers(matrix))
    return { ...file(matrix), data: from(matrix), scales: 0, bits: bitsOf(matrix.dtype) as 16 | 32, blockSize: 1 };
  const { data, scales, bits, blockSize } = matrix;
  return { ...file(data), data: from(data), scales: from(scales), bits, blockSize };
}
