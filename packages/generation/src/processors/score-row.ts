import type { RowView } from "../options.ts";

/** A row on its way through the score transforms. */
export interface ScoreRow {
  readonly scores: Float32Array;
  readonly view: RowView;
}

/** Changes the scores of the rows of one request in place: its one row, or all its beams. */
export type GroupProcessor = (group: readonly ScoreRow[]) => void;

/** A transform that looks at one row at a time. */
export function perRow(transform: (scores: Float32Array, view: RowView) => void): GroupProcessor {
  return (group) => {
    for (const row of group) transform(row.scores, row.view);
  };
}
