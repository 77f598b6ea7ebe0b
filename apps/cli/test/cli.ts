import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

/** The built command line; `npm run setup` builds it. */
export const MAIN: string = fileURLToPath(new URL("../dist/main.js", import.meta.url));
/** The demo's picture. */
export const PICTURE: string = fileURLToPath(new URL("../assets/demo.png", import.meta.url));

/** What a run left behind. */
export interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `paligemma` as a process of its own. */
export function paligemma(
  args: readonly string[],
  options: { readonly cwd?: string; readonly input?: Uint8Array; readonly env?: NodeJS.ProcessEnv } = {},
): Promise<Run> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [MAIN, ...args], {
      ...(options.cwd && { cwd: options.cwd }),
      env: { ...process.env, ...options.env },
    });
    const run = { stdout: "", stderr: "" };
    child.stdout.setEncoding("utf8").on("data", (text: string) => (run.stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (run.stderr += text));
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, ...run }));
    child.stdin.end(options.input);
  });
}
