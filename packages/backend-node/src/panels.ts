import { requantizable, rowsOfPanels, type Panels } from "@paligemma/backend";
import { PaliGemmaError } from "@paligemma/core";
import { formatShape } from "@paligemma/graph";
import type { QuantizedTensor } from "@paligemma/weights";
import type { WorkerLink } from "./link.ts";
import { NodeTensor } from "./tensor.ts";

/** Numbers of a matrix at most: WebAssembly, which unpacks them, has 4 GiB. */
const MOST_NUMBERS = 2 ** 31;

/** Room for a matrix in memory of the worker. */
export class NodePanels implements Panels {
  readonly data: NodeTensor;
  readonly scales: NodeTensor;
  readonly #link: WorkerLink;
  readonly #shape: readonly [number, number];

  private constructor(link: WorkerLink, shape: readonly [number, number], rows: number) {
    const [out, width] = shape;
    this.#link = link;
    this.#shape = shape;
    this.data = NodeTensor.of(link, link.fresh(), "int8", [out / rows, width, rows]);
    this.scales = NodeTensor.of(link, link.fresh(), "float32", [out / rows, 1, rows]);
  }

  static async create(link: WorkerLink, shape: readonly [number, number]): Promise<NodePanels> {
    const rows = rowsOfPanels(shape);
    const [out, width] = shape;
    if (rows === undefined || out * width > MOST_NUMBERS)
      throw new PaliGemmaError(
        "backend/option",
        `there are no panels for ${formatShape(shape)}: at most ${MOST_NUMBERS} numbers, in rows of a multiple of 32 that divide into panels of a multiple of 8`,
      );
    const made = new NodePanels(link, shape, rows);
    const { id: data } = made.data;
    await link.ask(
      { kind: "panels", id: link.fresh(), data, scales: made.scales.id, panels: out / rows, width, rows },
      `allocate panels for ${formatShape(shape)}`,
    );
    return made;
  }

  async requantize(matrix: QuantizedTensor, start = 0): Promise<void> {
    this.#link.mustBeOpen();
    const { id: data } = NodeTensor.use(this.data, this.#link, "the room for panels");
    const { shape, blockSize } = matrix;
    const [rows, width] = shape;
    if (!requantizable(matrix) || width !== this.#shape[1] || !Number.isInteger(start) || start < 0 || start >= rows)
      throw new PaliGemmaError(
        "backend/option",
        `${matrix.data.name} ${formatShape(shape)} from row ${start} on cannot be unpacked to panels for ${formatShape(this.#shape)}: it takes rows of that length, in blocks of 4 bits, without zero points, in a file`,
      );
    const rowBytes = (ref: QuantizedTensor["data"]): number => (ref.end - ref.start) / rows;
    const from = {
      path: matrix.data.source.path!,
      size: matrix.data.source.size,
      data: matrix.data.start + start * rowBytes(matrix.data),
      scales: matrix.scales.start + start * rowBytes(matrix.scales),
      rows: Math.min(rows - start, this.#shape[0]),
      blockSize,
    };
    await this.#link.ask(
      { kind: "requantize", id: this.#link.fresh(), data, from },
      `unpack ${matrix.data.name}`,
    );
  }

  dispose(): void {
    this.data.dispose();
    this.scales.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
