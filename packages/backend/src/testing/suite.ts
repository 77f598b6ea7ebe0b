import { isPaliGemmaError } from "@paligemma/core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Backend } from "../backend.ts";
import { memory } from "./arrays.ts";
import { attentionTests } from "./attention.ts";
import { BACKEND_TOLERANCES, type BackendTolerances, type Bench, type MakeSource } from "./bench.ts";
import { convolutionTests } from "./convolutions.ts";
import { errorTests } from "./errors.ts";
import { operatorTests } from "./operators.ts";
import { panelTests } from "./panels.ts";
import { runTests } from "./runs.ts";
import { tensorTests } from "./tensors.ts";
import { weightTests } from "./weights.ts";

/** How the suite is run. */
export interface BackendSuite {
  /** Name of the suite in reports: "onnxruntime-node on cpu". */
  readonly suite: string;
  /**
   * A device that may be absent ("cuda", "webgpu"): where the backend is `backend/unavailable`, tests are skipped, unless
   * the environment variable REQUIRE_DEVICE names it. Without `device` an absent backend is a failure.
   */
  readonly device?: string;
  /** True where the device must be there; read from REQUIRE_DEVICE unless given (a browser has no environment). */
  readonly required?: boolean;
  /** Further places for weights, by name ("a file"); memory is always tried. */
  readonly sources?: Readonly<Record<string, MakeSource>>;
  readonly tolerances?: Partial<BackendTolerances>;
}

/**
 * Registers the conformance tests of a backend with vitest: operators against float64, weights in every format, tensors,
 * errors, order and abort. Nothing of Node is needed, so that it runs in a browser as well.
 */
export function testBackend(create: () => Promise<Backend>, options: BackendSuite): void {
  const { suite, device, required = requiredByEnvironment(device), sources = {}, tolerances = {} } = options;

  // oxlint-disable-next-line vitest/valid-title -- it is a string, by its type
  describe(suite, () => {
    let backend: Backend | undefined;
    let absent: string | undefined;

    beforeAll(async () => {
      try {
        backend = await create();
      } catch (error) {
        if (device === undefined || required || !isPaliGemmaError(error, "backend/unavailable")) throw error;
        absent = error.message;
      }
    });
    afterAll(() => backend?.dispose());

    const bench: Bench = {
      get backend() {
        return backend!;
      },
      create,
      tolerances: { ...BACKEND_TOLERANCES, ...tolerances },
      sources: { memory: (bytes) => Promise.resolve(memory(bytes)), ...sources },
      test: (name, body) => {
        // oxlint-disable-next-line vitest/valid-title -- it is a string, by its type
        test(name, async (context) => {
          if (absent !== undefined) context.skip();
          await body();
        });
      },
    };

    test("is there", (context) => {
      if (absent !== undefined) context.skip(absent);
      expect(bench.backend.name).not.toBe("");
      expect(bench.backend.target.name).not.toBe("");
    });
    describe("operators", () => {
      operatorTests(bench);
    });
    describe("convolutions", () => {
      convolutionTests(bench);
    });
    describe("attention", () => {
      attentionTests(bench);
    });
    describe("weights", () => {
      weightTests(bench);
    });
    describe("tensors", () => {
      tensorTests(bench);
    });
    describe("panels", () => {
      panelTests(bench);
    });
    describe("errors", () => {
      errorTests(bench);
    });
    describe("runs", () => {
      runTests(bench);
    });
  });
}

function requiredByEnvironment(device: string | undefined): boolean {
  const { process } = globalThis as { process?: { env?: Record<string, string | undefined> } };
  const wanted = process?.env?.["REQUIRE_DEVICE"]?.split(",") ?? [];
  return device !== undefined && wanted.includes(device);
}
