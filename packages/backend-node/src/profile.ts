import { createReadStream } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** What operators of one type took together. */
export interface OperatorProfile {
  /** As ONNX names it: "MatMulNBits", "Attention". The runtime may have put several of a graph's operators into one. */
  readonly operator: string;
  readonly calls: number;
  readonly milliseconds: number;
}

/** Where the time of one compiled graph went. */
export interface GraphProfile {
  readonly graph: string;
  readonly runs: number;
  /** Of all runs, what is between operators included. */
  readonly milliseconds: number;
  /** What took longest comes first. */
  readonly operators: readonly OperatorProfile[];
}

/** A folder for the file that the runtime writes. */
export async function profileFolder(): Promise<string> {
  return await mkdtemp(join(tmpdir(), "paligemma-profile-"));
}

/** What the session options say, for a profile in `folder`. */
export function profileOptions(folder: string): { readonly enableProfiling: true; readonly profileFilePrefix: string } {
  return { enableProfiling: true, profileFilePrefix: join(folder, "events") };
}

/** An event of the runtime's profile, as far as it is read. */
interface Event {
  readonly cat?: string;
  readonly name?: string;
  /** Microseconds. */
  readonly dur?: number;
  readonly args?: { readonly op_name?: string };
}

/**
 * Adds up what the runtime wrote to `folder`, and removes the folder. The file has an event per line, at most a million of them,
 * and is read line by line.
 */
export async function readProfile(folder: string): Promise<Omit<GraphProfile, "graph">> {
  const operators = new Map<string, { calls: number; microseconds: number }>();
  let [runs, microseconds] = [0, 0];
  try {
    for (const file of await readdir(folder)) {
      for await (const line of createInterface({ input: createReadStream(join(folder, file)) })) {
        const event = eventIn(line);
        if (event?.cat === "Session" && event.name === "model_run") {
          runs++;
          microseconds += event.dur ?? 0;
        }
        const operator =
          event?.cat === "Node" && event.name?.endsWith("_kernel_time") ? event.args?.op_name : undefined;
        if (operator === undefined) continue;
        const own = operators.get(operator) ?? { calls: 0, microseconds: 0 };
        operators.set(operator, { calls: own.calls + 1, microseconds: own.microseconds + (event!.dur ?? 0) });
      }
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return {
    runs,
    milliseconds: microseconds / 1000,
    operators: [...operators]
      .map(([operator, own]) => ({ operator, calls: own.calls, milliseconds: own.microseconds / 1000 }))
      .toSorted((a, b) => b.milliseconds - a.milliseconds),
  };
}

/** Undefined for the brackets around events, and for a line that was cut off. */
function eventIn(line: string): Event | undefined {
  const text = line.trim().replace(/,$/, "");
  if (!text.startsWith("{")) return undefined;
  try {
    return JSON.parse(text) as Event;
  } catch {
    return undefined;
  }
}
