import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";

/** Environment variables, as `process.env` has them. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** What the environment says about the Hub, as Python's `huggingface_hub` reads it. */
export interface HubEnvironment {
  /** Folder of the cache: `HF_HUB_CACHE`, else `hub` in `HF_HOME`, else `~/.cache/huggingface/hub`. */
  readonly cache: string;
  /** `HF_ENDPOINT`, such as a mirror. */
  readonly endpoint: string | undefined;
  /** `HF_TOKEN`, else what `hf auth login` saved in `HF_TOKEN_PATH` or `HF_HOME/token`. */
  readonly token: string | undefined;
  /** `HF_HUB_OFFLINE` or `TRANSFORMERS_OFFLINE`. */
  readonly offline: boolean;
}

/** Reads the variables; empty ones count as unset. */
export async function readEnvironment(variables: Environment = process.env): Promise<HubEnvironment> {
  const given = (name: string): string | undefined => variables[name] || undefined;
  const on = (name: string): boolean => /^(?:1|on|yes|true)$/i.test(variables[name] ?? "");
  const user = given("HOME") ?? homedir();
  const home = expand(given("HF_HOME") ?? join(given("XDG_CACHE_HOME") ?? join(user, ".cache"), "huggingface"), user);
  const named = given("HF_TOKEN") ?? given("HUGGING_FACE_HUB_TOKEN");
  const saved = on("HF_HUB_DISABLE_IMPLICIT_TOKEN")
    ? undefined
    : await readToken(expand(given("HF_TOKEN_PATH") ?? join(home, "token"), user));
  return {
    cache: expand(given("HF_HUB_CACHE") ?? given("HUGGINGFACE_HUB_CACHE") ?? join(home, "hub"), user),
    endpoint: given("HF_ENDPOINT"),
    token: (named ?? saved)?.trim() || undefined,
    offline: on("HF_HUB_OFFLINE") || on("TRANSFORMERS_OFFLINE"),
  };
}

function expand(path: string, user: string): string {
  return path === "~" || path.startsWith("~/") ? join(user, path.slice(1)) : path;
}

async function readToken(path: string): Promise<string | undefined> {
  return readFile(path, "utf8").catch(() => undefined);
}
