import type { Session } from "@paligemma/backend";
import type { Life } from "../life.ts";
import type { Runtime } from "../runtime.ts";
import type { Constants } from "../weights/inline.ts";
import type { WeightStore } from "../weights/store.ts";
import type { BufferPool } from "./pool.ts";
import type { TensorOwner } from "./tensor.ts";
import type { Transfer } from "./transfer.ts";

/** What the sessions and tensors of one backend share. */
export interface GpuParts {
  /** The mark of this backend's tensors. */
  readonly owner: TensorOwner;
  readonly runtime: Runtime;
  readonly device: GPUDevice;
  readonly life: Life;
  readonly pool: BufferPool;
  readonly transfer: Transfer;
  readonly weights: WeightStore;
  readonly constants: Constants;
  readonly sessions: Set<Session>;
  readonly counts: { runs: number; stagingBytesPeak: number };
}
