import type { Backend } from "@paligemma/backend";
import type { GraphProfile } from "./profile.ts";

/** What a backend holds now, counted by its worker when everything asked of it before was done. */
export interface NodeBackendStats {
  /** Tensors that were made and not disposed yet. */
  readonly tensors: number;
  /** Their bytes. */
  readonly tensorBytes: number;
  /** Compiled graphs that were not disposed yet. */
  readonly sessions: number;
  /** Milliseconds that it spent inside the runtime's runs since it was made: what is left of a step is our own. */
  readonly runMilliseconds: number;
  /** Milliseconds that it spent unpacking matrices (`requantize`), and how often. */
  readonly unpackMilliseconds: number;
  readonly unpackings: number;
}

/** A backend on onnxruntime-node. */
export interface NodeBackend extends Backend {
  /** What it holds now. */
  stats(): Promise<NodeBackendStats>;
  /**
   * Where the time of each compiled graph went, those that were disposed included, and that of unpacking matrices; from then on nothing
   * more is measured. Throws `backend/option` for a backend that was not made with `profile`.
   */
  endProfile(): Promise<readonly GraphProfile[]>;
}
