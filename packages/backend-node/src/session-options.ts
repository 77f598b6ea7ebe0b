import { PaliGemmaError } from "@paligemma/core";
import type { GraphModel } from "@paligemma/graph";
import { isHalf } from "./cache.ts";
import type { NodeBackendOptions } from "./options.ts";
import { profileOptions } from "./profile.ts";

/**
 * Folder that external data must lie in, as the runtime sees it: the root, so that every file of the machine can be
 * mapped by its real path. Files of one graph must share it (one drive, on Windows).
 */
export function rootOf(paths: readonly string[]): string {
  const roots = new Set(paths.map((path) => /^(?:[A-Za-z]:)?[\\/]/.exec(path)?.[0] ?? ""));
  if (roots.has("") || roots.size > 1) {
    throw new PaliGemmaError(
      "backend/compile",
      `the weights of one graph must be absolute paths of one drive, these are of ${[...roots].map((root) => root || "a relative folder").join(", ")}`,
    );
  }
  return [...roots][0] ?? "/";
}

/** Where a session's weights lie, and where it is to be written. */
export interface SessionFiles {
  /** Folder below which mapped files are named; absent where they lie beside the model. */
  readonly folder?: string;
  /** Folder for a profile of the session. */
  readonly profile?: string | undefined;
  readonly write?: { readonly optimizedModelFilePath: string; readonly session: Readonly<Record<string, string>> };
}

/**
 * Options of an onnxruntime session. The runtime takes unknown keys in silence and wants every value of `extra` as text:
 * each key here is checked by a test for its effect.
 */
export function sessionOptions(
  model: GraphModel,
  options: NodeBackendOptions,
  { folder, write, profile }: SessionFiles,
): object {
  const { device = "cpu", threads, deviceId = 0 } = options;
  // Packing copies every weight. Products with blocks need it (up to a hundred times slower without), and those with weights that are
  // converted while loading, and so copied anyway, are a tenth faster with it.
  const converted = folder !== undefined && !write && hasHalfMatrices(model);
  const packed = converted || model.nodes.some(({ op }) => op === "MatMulNBits");
  return {
    executionProviders: device === "cuda" ? [{ name: "cuda", deviceId }] : ["cpu"],
    ...(threads !== undefined && { intraOpNumThreads: threads }),
    // A plan of the memory is kept for each set of shapes, and every step of a decoder has others: megabytes more with each.
    enableMemPattern: false,
    // Graphs built here say which fused operators they want. Looking for more takes as long again as loading them, and a third of the
    // time goes to looking for what could be computed once.
    graphOptimizationLevel: model.opset !== undefined ? "all" : computesConstants(model) ? "basic" : "disabled",
    // 4 is fatal: errors are thrown, and need not be printed as well.
    logSeverityLevel: 4,
    ...(profile !== undefined && profileOptions(profile)),
    ...(write && { optimizedModelFilePath: write.optimizedModelFilePath }),
    extra: {
      session: {
        ...(folder !== undefined && { model_external_initializers_file_folder_path: folder }),
        // Threads look for more work for a while when a run has ended, on processors that the caller or another session needs.
        force_spinning_stop: "1",
        disable_prepacking: packed ? "0" : "1",
        ...write?.session,
      },
      optimization: {
        // No limit: half-precision weights become float32 once at load. Above the default limit of 1 GiB a table would be
        // converted at each run.
        constant_folding_max_output_size_in_bytes: "0",
      },
    },
  };
}

/** Operators that take no longer than reading what they would have made. */
const FREE: ReadonlySet<string> = new Set(["Reshape", "Concat"]);

/** True where something is worth being computed when the graph is loaded: of initializers alone, such as weights in another format. */
function computesConstants({ nodes, initializers }: GraphModel): boolean {
  const constant = new Set(["", ...initializers.map(({ name }) => name)]);
  return nodes.some(({ op, inputs }) => !FREE.has(op) && inputs.every((input) => constant.has(input)));
}

function hasHalfMatrices({ initializers }: GraphModel): boolean {
  return initializers.some(({ dtype, shape }) => shape.length > 1 && isHalf(dtype));
}
