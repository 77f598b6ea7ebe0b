import type { Progress } from "@paligemma/core";
import type { TaskName } from "../tasks.ts";

/** A model to load. */
export type ModelChoice =
  | { readonly kind: "tiny-shapes" }
  | { readonly kind: "hub"; readonly repository: string; readonly token?: string }
  | {
      readonly kind: "folder";
      readonly name: string;
      readonly files: readonly { readonly path: string; readonly file: File }[];
    };

/** What it runs on. */
export interface Machine {
  readonly device: "webgpu" | "wasm";
  readonly precision: "float32" | "float16";
}

/** A question about a picture. */
export interface Question {
  readonly task: TaskName;
  /** What the task needs: a question, or labels. */
  readonly text: string;
}

/** An object that was found: fractions of the picture, and a mask of 64 × 64 over its box where there is one. */
export interface Found {
  readonly label: string;
  readonly box: { readonly yMin: number; readonly xMin: number; readonly yMax: number; readonly xMax: number };
  readonly mask?: Float32Array;
}

/** A finished answer. */
export interface Answered {
  readonly text: string;
  readonly found: readonly Found[] | undefined;
  /** Text of a detect or segment answer that is no object. */
  readonly rest: string;
  readonly stoppedBy: "end" | "length" | "you";
  readonly size: { readonly width: number; readonly height: number };
  readonly tokens: number;
  /** Seconds until the first token, and altogether. */
  readonly first: number;
  readonly seconds: number;
}

/** A loaded model. */
export interface LoadedModel {
  readonly name: string;
  /** "onnxruntime-web 1.30.0 on webgpu (…)" */
  readonly backend: string;
  readonly software: boolean;
  readonly imageSize: number;
  /** Whether masks can be drawn. */
  readonly masks: boolean;
  readonly seconds: number;
  /** Bytes of weights read, and the runtime's memory. */
  readonly bytes: number;
  readonly heapBytes: number;
}

/** An error on its way to the page. */
export interface Fault {
  readonly code: string;
  readonly message: string;
}

/** Messages to the model's worker. */
export type ToModel =
  | { readonly kind: "load"; readonly id: number; readonly choice: ModelChoice; readonly machine: Machine }
  | { readonly kind: "ask"; readonly id: number; readonly question: Question; readonly picture: Blob }
  | { readonly kind: "cancel"; readonly id: number }
  | { readonly kind: "forget" };

/** Messages from it. */
export type FromModel =
  | { readonly kind: "progress"; readonly id: number; readonly progress: Progress }
  | { readonly kind: "loaded"; readonly id: number; readonly model: LoadedModel }
  | { readonly kind: "assets"; readonly assets: readonly string[] }
  | { readonly kind: "text"; readonly id: number; readonly text: string }
  | { readonly kind: "found"; readonly id: number; readonly found: readonly Found[]; readonly size: Answered["size"] }
  | { readonly kind: "answered"; readonly id: number; readonly answer: Answered }
  | { readonly kind: "failed"; readonly id: number; readonly fault: Fault };
