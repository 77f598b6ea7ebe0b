import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { openSafetensors, ndTensor, safetensorsBytes, urlSource } from "@paligemma/weights";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const bytes = await safetensorsBytes([
  ndTensor("a", { dtype: "float32", shape: [1000], data: new Float32Array(1000).fill(2) }),
]);
const asked: IncomingMessage[] = [];
let answer: (request: IncomingMessage, response: ServerResponse) => void;
const server = createServer((request, response) => {
  asked.push(request);
  answer(request, response);
});
let url = "";

beforeAll(async () => {
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/model.safetensors?signature=secret`;
});
afterAll(() => server.close());

/** Serves `body` by ranges. */
const ranged =
  (body: Uint8Array, etag = '"1"') =>
  (request: IncomingMessage, response: ServerResponse): void => {
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
    if (Number(from) >= body.length) {
      response.writeHead(416, { "content-range": `bytes */${body.length}` }).end();
      return;
    }
    const part = body.slice(Number(from), Number(to) + 1);
    response
      .writeHead(206, { etag, "content-range": `bytes ${from}-${Number(from) + part.length - 1}/${body.length}` })
      .end(part);
  };

describe("urlSource", () => {
  it("reads ranges only, with the caller's headers", async () => {
    answer = ranged(bytes);
    asked.length = 0;
    const source = await urlSource(url, { headers: { authorization: "Bearer t" } });
    expect(source.size).toBe(bytes.length);
    const checkpoint = await openSafetensors(source);
    expect((await checkpoint.read("a")).data[999]).toBe(2);
    expect(asked.map((request) => request.headers.range)).toEqual([
      "bytes=0-0",
      "bytes=0-7",
      `bytes=8-${bytes.length - 4001}`,
      `bytes=${bytes.length - 4000}-${bytes.length - 1}`,
    ]);
    expect(asked.every((request) => request.headers.authorization === "Bearer t")).toBe(true);
  });

  it("knows an empty file", async () => {
    answer = ranged(new Uint8Array(0));
    const source = await urlSource(url);
    expect(source.size).toBe(0);
    expect(await source.read(0, 0)).toEqual(new Uint8Array(0));
  });

  it("refuses a server without ranges, and does not repeat secrets", async () => {
    answer = (_, response) => response.end(bytes);
    const error = await urlSource(url, { headers: { authorization: "Bearer t0ken" } }).catch((e: unknown) => e);
    expect(error).toMatchObject({ code: "weights/http" });
    expect(String(error)).toContain("knows no ranges");
    expect(String(error)).not.toMatch(/secret|t0ken/);
  });

  it("tells a refusal", async () => {
    answer = (_, response) => response.writeHead(403).end("no");
    await expect(urlSource(url)).rejects.toMatchObject({
      code: "weights/http",
      message: expect.stringContaining("answered 403 Forbidden"),
    });
  });

  it.each([
    ["another size", ranged(bytes.slice(0, -4))],
    ["another version", ranged(bytes, '"2"')],
  ])("tells that the file is another one: %s", async (_, other) => {
    answer = ranged(bytes);
    const source = await urlSource(url);
    answer = other;
    await expect(source.read(0, 10)).rejects.toMatchObject({ code: "weights/changed" });
  });

  it("notices a short answer", async () => {
    answer = ranged(bytes);
    const source = await urlSource(url);
    answer = (request, response) =>
      response.writeHead(206, { etag: '"1"', "content-range": `bytes 0-9/${bytes.length}` }).end(request.headers.range);
    await expect(source.read(0, 10)).rejects.toMatchObject({ code: "weights/http" });
  });
});
