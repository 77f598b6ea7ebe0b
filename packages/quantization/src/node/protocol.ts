import type { QuantizedRows, RowsJob } from "../rows.ts";
import type { Odd } from "../numbers.ts";

/** What a worker is asked to do; answered by a `Reply` with the same number. */
export interface Request extends RowsJob {
  readonly id: number;
}

/** What became of it. */
export type Reply =
  | (QuantizedRows & { readonly id: number })
  | { readonly id: number; readonly odd: Odd }
  | { readonly id: number; readonly fault: string };

/** Counted up when messages or the numbers in them change, so that the worker of an older build is noticed. */
export const PROTOCOL = 2;
