import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A repository of the stand-in. Files of `lfs` size and more are served from the other host, as the Hub does. */
export interface StandInRepository {
  readonly files: Readonly<Record<string, Uint8Array>>;
  readonly branches?: readonly string[];
  readonly gated?: boolean;
  readonly private?: boolean;
}

/** What goes wrong with one answer. */
export type Fault =
  | { readonly kind: "status"; readonly status: number; readonly retryAfter?: string }
  | { readonly kind: "break"; readonly after: number }
  | { readonly kind: "stall"; readonly after: number }
  | { readonly kind: "corrupt" }
  | { readonly kind: "no-range" }
  | { readonly kind: "refuse" };

/** A server that speaks the Hub's protocol, with a second one to which large files are redirected. */
export interface StandIn extends AsyncDisposable {
  readonly endpoint: string;
  /** The commit of every repository. */
  readonly commit: string;
  /** Requests so far. */
  readonly requests: readonly {
    readonly host: "hub" | "files";
    readonly method: string;
    readonly path: string;
    readonly authorization: string | undefined;
    readonly range: string | undefined;
  }[];
  /** Bytes of file contents that were sent, by path. */
  readonly sent: Map<string, number>;
  /** Asked before each answer about a file's contents or a listing. */
  fault: (request: { readonly path: string; readonly host: "hub" | "files" }) => Fault | undefined;
  /** Bytes of a file's contents per second and connection, if they are to be slow. */
  bytesPerSecond: number | undefined;
}

/** Files from this size on are "LFS" here; the Hub decides by kind and size. */
export const LFS_BYTES = 1000;
const COMMIT = "0123456789abcdef0123456789abcdef01234567";
const TOKEN = "hf_right";

export const gitHash = (bytes: Uint8Array): string =>
  createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** Starts both servers on free ports. The token that opens gated and private repositories is "hf_right". */
export async function startStandIn(repositories: Readonly<Record<string, StandInRepository>>): Promise<StandIn> {
  const requests: StandIn["requests"][number][] = [];
  const listen = async (
    host: "hub" | "files",
    handler: (request: IncomingMessage, response: ServerResponse, url: URL) => Promise<void>,
  ): Promise<Server> => {
    const server = createServer((request, response) => {
      const url = new URL(request.url ?? "/", "http://stand-in");
      requests.push({
        host,
        method: request.method ?? "",
        path: url.pathname,
        authorization: request.headers.authorization,
        range: request.headers.range,
      });
      // Pages ask, too: the Hub lets them, and tells them its headers.
      response.setHeader("access-control-allow-origin", "*");
      response.setHeader("access-control-allow-headers", "*");
      response.setHeader("access-control-expose-headers", "*");
      if (request.method === "OPTIONS") return void response.writeHead(204).end();
      handler(request, response, url).catch(() => response.destroy());
    });
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    return server;
  };
  const origin = (server: Server): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  const files = await listen("files", async (request, response, url) => {
    const [, owner, name, ...path] = decodeURIComponent(url.pathname).split("/");
    const bytes = repositories[`${owner}/${name}`]?.files[path.join("/")];
    if (!bytes || url.searchParams.get("signature") !== "s") return void response.writeHead(403).end();
    await sendFile(request, response, path.join("/"), bytes, "files");
  });

  const hub = await listen("hub", async (request, response, url) => {
    const parts = url.pathname.slice(1).split("/").map(decodeURIComponent);
    const api = parts[0] === "api";
    const [owner, name, action = "", revision = "", ...path] = api ? parts.slice(2) : parts;
    const id = `${owner}/${name}`;
    const repository = repositories[id];
    const known = request.headers.authorization === `Bearer ${TOKEN}`;
    const refuse = (status: number, code: string): void =>
      void response
        .writeHead(status, { "x-error-code": code, "x-error-message": code, "content-type": "application/json" })
        .end(JSON.stringify({ error: code }));
    if (!repository || (repository.private && !known)) return refuse(401, "RepoNotFound");
    if (revision !== COMMIT && !(repository.branches ?? ["main"]).includes(revision))
      return refuse(404, "RevisionNotFound");
    if (api) return sendJson(response, action, id, repository, url);
    // Descriptions of gated repositories are public, contents are not.
    if (repository.gated && !known) return refuse(request.headers.authorization ? 403 : 401, "GatedRepo");
    const bytes = repository.files[path.join("/")];
    if (!bytes) return refuse(404, "EntryNotFound");
    const large = bytes.length >= LFS_BYTES;
    const hash = large ? sha256(bytes) : gitHash(bytes);
    response.setHeader("x-repo-commit", COMMIT);
    if (!large) {
      response.setHeader("etag", `"${hash}"`);
      return sendFile(request, response, path.join("/"), bytes, "hub");
    }
    response.writeHead(302, {
      // By another name than the hub's own host: clients treat the two differently.
      location: `${origin(files).replace("127.0.0.1", "localhost")}/${id}/${path.map(encodeURIComponent).join("/")}?signature=s`,
      "x-linked-etag": `"${hash}"`,
      "x-linked-size": bytes.length,
      etag: `"${gitHash(bytes)}"`,
    });
    response.end();
  });

  const standIn: StandIn = {
    endpoint: origin(hub),
    commit: COMMIT,
    requests,
    sent: new Map(),
    fault: () => undefined,
    bytesPerSecond: undefined,
    [Symbol.asyncDispose]: async () => {
      for (const server of [hub, files]) {
        server.closeAllConnections();
        await new Promise((done) => server.close(done));
      }
    },
  };
  return standIn;

  async function sendJson(
    response: ServerResponse,
    action: string,
    id: string,
    repository: StandInRepository,
    url: URL,
  ): Promise<void> {
    const body = action === "revision" ? model(id, repository) : action === "tree" ? tree(repository) : undefined;
    if (!body) return void response.writeHead(404).end();
    // Two pages of a listing.
    const second = url.searchParams.has("cursor");
    const page = Array.isArray(body) ? (second ? body.slice(2) : body.slice(0, 2)) : body;
    if (Array.isArray(body) && !second && body.length > 2) {
      url.searchParams.set("cursor", "2");
      response.setHeader("link", `<${standIn.endpoint}${url.pathname}${url.search}>; rel="next"`);
    }
    response.setHeader("content-type", "application/json");
    await send(response, Buffer.from(JSON.stringify(page)), standIn.fault({ path: action, host: "hub" }));
  }

  async function sendFile(
    request: IncomingMessage,
    response: ServerResponse,
    path: string,
    bytes: Uint8Array,
    host: "hub" | "files",
  ): Promise<void> {
    response.setHeader("accept-ranges", "bytes");
    if (request.method === "HEAD") return void response.writeHead(200, { "content-length": bytes.length }).end();
    const fault = standIn.fault({ path, host });
    const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "") ?? [];
    if (from === undefined || fault?.kind === "no-range") return send(response, bytes, fault, path);
    const start = Number(from);
    const end = to ? Math.min(Number(to) + 1, bytes.length) : bytes.length;
    response.statusCode = 206;
    response.setHeader("content-range", `bytes ${start}-${end - 1}/${bytes.length}`);
    await send(response, bytes.subarray(start, end), fault, path);
  }

  async function send(
    response: ServerResponse,
    bytes: Uint8Array,
    fault: Fault | undefined,
    path?: string,
  ): Promise<void> {
    if (fault?.kind === "refuse") return void response.destroy();
    if (fault?.kind === "status") {
      response.removeHeader("content-range");
      return void response
        .writeHead(fault.status, fault.retryAfter === undefined ? {} : { "retry-after": fault.retryAfter })
        .end("no");
    }
    let content = bytes;
    if (fault?.kind === "corrupt" && content.length > 0) {
      content = content.slice();
      content[Math.floor(content.length / 2)]! ^= 1;
    }
    if (fault?.kind === "break" || fault?.kind === "stall") content = content.subarray(0, fault.after);
    response.setHeader("content-length", bytes.length);
    const step = standIn.bytesPerSecond ? Math.max(1, Math.floor(standIn.bytesPerSecond / 50)) : content.length || 1;
    for (let at = 0; at < content.length; at += step) {
      const chunk = content.subarray(at, at + step);
      if (response.destroyed) return;
      response.write(chunk);
      if (path !== undefined) standIn.sent.set(path, (standIn.sent.get(path) ?? 0) + chunk.length);
      if (standIn.bytesPerSecond) await new Promise((done) => setTimeout(done, 20));
    }
    if (fault?.kind === "break") setTimeout(() => response.destroy(), 5);
    else if (fault?.kind !== "stall") response.end();
  }
}

function model(id: string, repository: StandInRepository): object {
  return {
    _id: "000000000000000000000000",
    id,
    modelId: id,
    sha: COMMIT,
    private: repository.private ?? false,
    gated: repository.gated ? "manual" : false,
    disabled: false,
    downloads: 0,
    likes: 0,
    tags: [],
    lastModified: "2024-05-14T00:00:00.000Z",
    createdAt: "2024-05-14T00:00:00.000Z",
    siblings: Object.keys(repository.files).map((rfilename) => ({ rfilename })),
  };
}

function tree({ files }: StandInRepository): readonly object[] {
  const folders = new Set(
    Object.keys(files).flatMap((path) => (path.includes("/") ? [path.slice(0, path.lastIndexOf("/"))] : [])),
  );
  return [
    ...[...folders].map((path) => ({ type: "directory", oid: gitHash(Buffer.from(path)), size: 0, path })),
    ...Object.entries(files).map(([path, bytes]) => ({
      type: "file",
      oid: gitHash(bytes),
      size: bytes.length,
      path,
      ...(bytes.length >= LFS_BYTES ? { lfs: { oid: sha256(bytes), size: bytes.length, pointerSize: 130 } } : {}),
    })),
  ];
}
