import { CommanderError } from "commander";
import { isPaliGemmaError } from "@paligemma/core";
import { Interrupted } from "./interruption.ts";
import { createProgram } from "./program.ts";

/** What the process ends with. */
export const EXIT = { done: 0, failed: 1, usage: 2, interrupted: 130 } as const;

/** Codes of errors that another command line would not have. */
const USAGE = /\/option$|^cli\/usage$|^paligemma\/prompt$/;

/** Runs a command line to its end and returns the exit code; the only place that reports errors. */
export async function run(argv: readonly string[]): Promise<number> {
  // Readers that leave early, such as `head`, are no failure.
  process.stdout.on("error", (error: NodeJS.ErrnoException) =>
    process.exit(error.code === "EPIPE" ? EXIT.done : EXIT.failed),
  );
  try {
    await createProgram().parseAsync(argv.length === 0 ? ["--help"] : argv, { from: "user" });
    return EXIT.done;
  } catch (error) {
    return report(error, argv.includes("--verbose"));
  }
}

function report(error: unknown, verbose: boolean): number {
  if (error instanceof Interrupted) {
    process.stderr.write("interrupted\n");
    return EXIT.interrupted;
  }
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return EXIT.done; // --help and --version
    process.stderr.write(`${error.message}\n`);
    return EXIT.usage;
  }
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`error: ${message}\n`);
  if (verbose) process.stderr.write(`${trace(error)}\n`);
  else if (!isPaliGemmaError(error)) process.stderr.write("Run it again with --verbose to see where.\n");
  return isPaliGemmaError(error) && USAGE.test(error.code) ? EXIT.usage : EXIT.failed;
}

/** Stacks of the error and of what caused it. */
function trace(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const stack = error.stack ?? error.message;
  return error.cause === undefined ? stack : `${stack}\ncaused by ${trace(error.cause)}`;
}
