import { HUB_URL, listFiles, modelInfo } from "@huggingface/hub";
import { PaliGemmaError, unknownKeys } from "@paligemma/core";
import { LIMITS } from "./limits.ts";
import { refusal } from "./refusal.ts";
import { isCommit, type FileHash, type Listing, type Repository, type RepositoryFile } from "./repository.ts";
import { PATIENT, retrying, Transient, type RetryPolicy } from "./retry.ts";

/** How to reach the Hub. */
export interface HubOptions {
  /** A branch, a tag or a commit. Default "main". */
  readonly revision?: string;
  /** Access token, for private and gated repositories. Sent to the endpoint only, never to where it redirects. */
  readonly token?: string;
  /** Default "https://huggingface.co". */
  readonly endpoint?: string;
  /** Stands in for the platform's `fetch`. */
  readonly fetch?: typeof fetch;
  readonly retry?: Partial<RetryPolicy>;
}

/** Requests about one repository. */
export interface HubClient {
  readonly repository: Repository;
  readonly endpoint: string;
  readonly retry: RetryPolicy;
  /** The commit that the revision is now, and its files. */
  list(signal?: AbortSignal): Promise<Listing>;
  /** One try to get bytes `[start, end)` of a file, which must not be empty; checks that the answer is that range. */
  range(
    commit: string,
    file: RepositoryFile,
    start: number,
    end: number,
    signal?: AbortSignal,
  ): Promise<ReadableStream<Uint8Array>>;
}

/** Names of the options, for those who check theirs. */
export const HUB_OPTIONS: readonly (keyof HubOptions)[] = ["revision", "token", "endpoint", "fetch", "retry"];

/** Throws `hub/option` for an option that is not in `known`. */
export function refuseUnknown(options: object, known: readonly string[]): void {
  const [unknown] = unknownKeys(options, known);
  if (!unknown) return;
  throw new PaliGemmaError(
    "hub/option",
    `there is no option "${unknown.key}"${unknown.meant ? `; did you mean "${unknown.meant}"?` : `; allowed: ${known.join(", ")}`}`,
  );
}

/** A client for one repository. Nothing is sent before it is asked. */
export function createClient(repository: Repository, options: HubOptions): HubClient {
  const endpoint = (options.endpoint ?? HUB_URL).replace(/\/+$/, "");
  const retry = { ...PATIENT, ...options.retry };
  const { token } = options;
  const ask = async (url: string | URL | Request, init: RequestInit = {}): Promise<Response> => {
    const target = new URL(url instanceof Request ? url.url : url);
    // A page of a listing may name any address as the next one: the token is for the endpoint alone.
    const authorization =
      token && target.origin === new URL(endpoint).origin ? { authorization: `Bearer ${token}` } : {};
    const response = await answered(retry.silenceMs, init.signal ?? undefined, (signal) =>
      (options.fetch ?? fetch)(target, { ...init, signal, headers: { ...headersOf(init), ...authorization } }),
    );
    if (!response.ok) throw await refusal(response, { repository, endpoint, token: token !== undefined });
    return response;
  };
  return {
    repository,
    endpoint,
    retry,
    list: (signal) =>
      retrying(`listing ${repository.id}`, retry, signal, () => {
        const silent = AbortSignal.timeout(retry.silenceMs);
        return list(repository, endpoint, withSignal(ask, signal ? AbortSignal.any([signal, silent]) : silent));
      }),
    range: (commit, file, start, end, signal) =>
      range(
        withSignal(ask, signal),
        `${endpoint}/${repository.id}/resolve/${commit}/${encodePath(file.path)}`,
        file,
        start,
        end,
      ),
  };
}

type Ask = typeof fetch;

function withSignal(ask: Ask, signal: AbortSignal | undefined): Ask {
  return (url, init) => ask(url, signal ? { ...init, signal } : init);
}

/** A response, if its headers come in time; its body may take longer. */
async function answered(
  silenceMs: number,
  signal: AbortSignal | undefined,
  request: (signal: AbortSignal) => Promise<Response>,
): Promise<Response> {
  const silence = new AbortController();
  const timer = setTimeout(() => silence.abort(new Transient(`no answer for ${silenceMs} ms`)), silenceMs);
  try {
    return await request(signal ? AbortSignal.any([signal, silence.signal]) : silence.signal);
  } finally {
    clearTimeout(timer);
  }
}

function headersOf(init: RequestInit): Record<string, string> {
  return Object.fromEntries(new Headers(init.headers));
}

async function list({ id, revision }: Repository, hubUrl: string, ask: Ask): Promise<Listing> {
  const { sha } = await modelInfo({ name: id, revision, hubUrl, fetch: ask, additionalFields: ["sha"] });
  if (typeof sha !== "string" || !isCommit(sha))
    throw new PaliGemmaError(
      "hub/protocol",
      `${hubUrl} gives no commit for ${id}@${revision}; is it an endpoint of the Hub?`,
    );
  const files = new Map<string, RepositoryFile>();
  for await (const entry of listFiles({ repo: id, revision: sha, recursive: true, hubUrl, fetch: ask })) {
    if (entry.type !== "file") continue;
    if (files.size >= LIMITS.files)
      throw new PaliGemmaError(
        "hub/limit",
        `${id} lists more than ${LIMITS.files} files; it is no repository of one model`,
      );
    const hash: FileHash = entry.lfs
      ? { kind: "sha256", hex: entry.lfs.oid }
      : { kind: "git-sha1", hex: entry.oid ?? "" };
    files.set(entry.path, checkFile({ path: entry.path, size: entry.lfs?.size ?? entry.size, hash }, id));
  }
  return { commit: sha, files };
}

/** Paths and hashes become names of files here: nothing may lead elsewhere. */
function checkFile(file: RepositoryFile, id: string): RepositoryFile {
  const { path, size, hash } = file;
  const wrong = (what: string): PaliGemmaError =>
    new PaliGemmaError("hub/protocol", `${id} lists a file ${JSON.stringify(path)?.slice(0, 100)} with ${what}`);
  if (typeof path !== "string" || path.length > LIMITS.pathLength || !/^[^\\\0:]+$/.test(path))
    throw wrong("a path that is not allowed");
  if (path.split("/").some((part) => part === "" || part === "." || part === ".."))
    throw wrong("a path that leads elsewhere");
  if (!Number.isSafeInteger(size) || size < 0 || size > LIMITS.fileBytes) throw wrong(`a size of ${String(size)}`);
  if (!(hash.kind === "sha256" ? /^[0-9a-f]{64}$/ : /^[0-9a-f]{40}$/).test(hash.hex)) throw wrong("no hash");
  return file;
}

async function range(
  ask: Ask,
  url: string,
  file: RepositoryFile,
  start: number,
  end: number,
): Promise<ReadableStream<Uint8Array>> {
  // Compressed answers have no ranges; browsers see to that themselves and let nobody set this header.
  const response = await ask(url, { headers: { range: `bytes=${start}-${end - 1}`, "accept-encoding": "identity" } });
  const whole = response.status === 200 && start === 0 && end === file.size;
  const given = response.headers.get("content-range");
  if (!whole && (response.status !== 206 || given !== `bytes ${start}-${end - 1}/${file.size}`)) {
    await response.body?.cancel();
    throw new Transient(
      `asked for bytes ${start} to ${end} of ${file.size}, the server answered ${response.status} with ${given ?? "no range"}`,
    );
  }
  if (!response.body) throw new Transient("the server answered without a body");
  return response.body;
}

function encodePath(path: string): string {
  return path.split("/").map(encodeURIComponent).join("/");
}
