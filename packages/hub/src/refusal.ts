import { PaliGemmaError } from "@paligemma/core";
import type { Repository } from "./repository.ts";
import { Transient } from "./retry.ts";

/** What a refusal is about. */
export interface Asked {
  readonly repository: Repository;
  readonly endpoint: string;
  /** Whether a token was sent. */
  readonly token: boolean;
}

/** Turns an answer that is no success into the error to throw: one to try again, or one that says what to do. */
export async function refusal(response: Response, asked: Asked): Promise<Error> {
  const { status, headers } = response;
  const reason = headers.get("x-error-code");
  await response.body?.cancel();
  if (status === 429 || status === 408 || status >= 500) {
    const waitMs = retryAfter(headers.get("retry-after"));
    return new Transient(`the server answered ${status}`, waitMs === undefined ? {} : { waitMs });
  }
  const { repository, token } = asked;
  const { id, revision } = repository;
  if (reason === "RevisionNotFound")
    return new PaliGemmaError(
      "hub/not-found",
      `${id} has no revision "${revision}"; its branches and tags stand on ${asked.endpoint}/${id}/tree/main`,
    );
  if (reason === "EntryNotFound")
    return new PaliGemmaError("hub/not-found", `${id}@${revision} no longer has a file that it listed`);
  if (reason === "GatedRepo" || status === 403) return new PaliGemmaError("hub/gated", gated(asked));
  if (status === 401 || status === 404) {
    return new PaliGemmaError(
      "hub/not-found",
      token
        ? `there is no repository ${id}, or it is private and your token does not see it (${status}); check the spelling, and that HF_TOKEN belongs to an account with access`
        : `there is no repository ${id}, or it is private (${status}); check the spelling, or set HF_TOKEN to a token of an account with access`,
    );
  }
  return new PaliGemmaError("hub/http", `the server answered ${status} for ${id}@${revision}`);
}

/** The steps that open a gated repository. Google's checkpoints all are. */
function gated({ repository: { id }, endpoint, token }: Asked): string {
  if (token) {
    return [
      `${id} is gated and your token has no access to it:`,
      `1. open ${endpoint}/${id} with the account the token belongs to, and accept the license;`,
      `2. if it is a fine-grained token, tick "Read access to contents of all public gated repos you can access" on ${endpoint}/settings/tokens;`,
      "3. run again.",
    ].join("\n");
  }
  return [
    `${id} is gated and no token was given:`,
    `1. log in and accept the license on ${endpoint}/${id};`,
    `2. make a token with read access on ${endpoint}/settings/tokens;`,
    "3. set it as HF_TOKEN (or run `hf auth login`, or pass { token }), and run again.",
  ].join("\n");
}

/** Seconds or a date, as milliseconds from now. */
function retryAfter(header: string | null): number | undefined {
  if (header === null) return undefined;
  const waitMs = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return Number.isNaN(waitMs) ? undefined : Math.max(0, waitMs);
}
