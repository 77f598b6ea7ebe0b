import { fitBlocks, fitBlocksWithFeedback, packBlocks, packZeroPoints } from "./blocks.ts";
import { firstOdd, toNumbers, type Odd } from "./numbers.ts";
import type { DType } from "@paligemma/core";
import type { QuantizedFormat } from "@paligemma/weights";
import { packPanels } from "./panels.ts";

/** Some rows of a matrix, to be quantised in one go. */
export interface RowsJob {
  readonly dtype: DType;
  /** Of whole rows. */
  readonly bytes: Uint8Array;
  readonly width: number;
  readonly format: QuantizedFormat;
  /** Where whole rows lie in panels, the rows of each; `bytes` are of whole panels then. */
  readonly panelRows?: number;
  /** See `feedbackFactors`. */
  readonly factors?: Float32Array;
}

/** The same rows, as they stand in the parts of the quantised matrix. */
export interface QuantizedRows {
  readonly data: Uint8Array<ArrayBuffer>;
  readonly scales: Uint8Array<ArrayBuffer>;
  readonly zeroPoints: Uint8Array<ArrayBuffer> | undefined;
  readonly sums: Uint8Array<ArrayBuffer> | undefined;
  readonly squaredError: number;
  readonly squaredNorm: number;
}

/** Quantises rows; where a number is none, says where. */
export function quantizeRows(job: RowsJob): QuantizedRows | { readonly odd: Odd } {
  const { dtype, bytes, width, format, panelRows, factors } = job;
  const rows = toNumbers(dtype, bytes);
  const odd = firstOdd(rows);
  if (odd) return { odd };
  const { scales, zeroPoints, squaredError, squaredNorm } = factors
    ? fitBlocksWithFeedback(rows, width, format, factors)
    : fitBlocks(rows, width, format);
  const panels = panelRows === undefined ? undefined : packPanels(rows, width, panelRows, scales);
  return {
    data: panels?.data ?? packBlocks(rows, width, format, { scales, zeroPoints }),
    sums: panels && new Uint8Array(panels.sums.buffer),
    scales: new Uint8Array(scales.buffer as ArrayBuffer),
    zeroPoints: zeroPoints && packZeroPoints(zeroPoints, rows.length / width, format.bits),
    squaredError,
    squaredNorm,
  };
}
