import { requantizable, type Requantization } from "@paligemma/backend";
import { PaliGemmaError } from "@paligemma/core";
import { formatShape, sameShape } from "@paligemma/graph";
import type { TensorRef } from "@paligemma/weights";
import type { WorkerLink } from "./link.ts";
import type { RequantizeRequest } from "./protocol.ts";
import { NodeTensor } from "./tensor.ts";

/** Checks what is to be unpacked, and says it to the worker. Throws `backend/option`, or what `NodeTensor.use` throws. */
export function requantizeRequest(link: WorkerLink, work: readonly Requantization[]): RequantizeRequest {
  const tensors = new Set<number>();
  const asked = work.map(({ matrix, start = 0, data, scales }) => {
    const [bytes, factors] = [NodeTensor.use(data, link, "data"), NodeTensor.use(scales, link, "scales")];
    const [out, width] = matrix.shape;
    const [panels = 0, , rowsOfPanel = 0] = data.shape;
    const faults: string[] = [];
    if (!requantizable(matrix))
      faults.push("it must be in a file, in panels, or in blocks of 4 bits, of 32 or more, without zero points");
    else if (matrix.bits === 8 && (matrix.data.shape[2] !== rowsOfPanel || start % rowsOfPanel !== 0))
      faults.push(
        `its panels have ${matrix.data.shape[2]} rows, and are taken as they are from the beginning of one on`,
      );
    if (!Number.isInteger(start) || start < 0 || start >= out) faults.push(`it has no row ${start}`);
    if (data.dtype !== "int8" || !sameShape(data.shape, [panels, width, rowsOfPanel]) || rowsOfPanel % 8 !== 0)
      faults.push(
        `data must be int8 [panels, ${width}, a multiple of 8], it is ${data.dtype} ${formatShape(data.shape)}`,
      );
    if (scales.dtype !== "float32" || !sameShape(scales.shape, [panels, 1, rowsOfPanel]))
      faults.push(
        `scales must be float32 [${panels}, 1, ${rowsOfPanel}], it is ${scales.dtype} ${formatShape(scales.shape)}`,
      );
    for (const tensor of [bytes, factors]) {
      if (!tensor.isWhole) faults.push("a window of a tensor cannot be filled, only all of it");
      if (tensors.has(tensor.id)) faults.push("a tensor is asked for twice");
      tensors.add(tensor.id);
    }
    if (faults.length > 0)
      throw new PaliGemmaError(
        "backend/option",
        `${matrix.data.name} ${formatShape(matrix.shape)} cannot become panels: ${faults.join("; ")}`,
      );
    const rowBytes = ({ start: from, end }: TensorRef): number => (end - from) / out;
    const from = {
      path: matrix.data.source.path!,
      size: matrix.data.source.size,
      data: matrix.data.start + start * rowBytes(matrix.data),
      scales: matrix.scales.start + start * rowBytes(matrix.scales),
      rows: Math.min(out - start, panels * rowsOfPanel),
      width,
      bits: matrix.bits,
      blockSize: matrix.blockSize,
      rowsOfPanel,
    };
    return { from, data: bytes.id, scales: factors.id };
  });
  return { kind: "requantize", id: link.fresh(), work: asked };
}
