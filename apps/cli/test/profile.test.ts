import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import truth from "../assets/demo.json" with { type: "json" };
import { paligemma, PICTURE } from "./cli.ts";

const folder = await mkdtemp(join(tmpdir(), "paligemma-cli-profile-"));
afterAll(() => rm(folder, { recursive: true }));

it("tells where the time went, beside the answer", async () => {
  const args = ["caption", PICTURE, "--profile", "--profile-out", "profile.json"];
  const { code, stdout, stderr } = await paligemma(args, { cwd: folder });
  expect({ code, stdout }).toEqual({ code: 0, stdout: `${truth.caption}\n` });
  expect(stderr).toMatch(/^vision: 1 run, [\d.]+ ms$/m);
  expect(stderr).toMatch(/^gemma: \d+ runs, [\d.]+ ms$/m);
  expect(stderr).toMatch(/^ {2}Gemm +[\d.]+ ms +[\d.]+ % +\d+ calls$/m);
  const { graphs } = JSON.parse(await readFile(join(folder, "profile.json"), "utf8"));
  expect(graphs.map(({ graph }: { graph: string }) => graph)).toEqual(expect.arrayContaining(["vision", "gemma"]));
  for (const { runs, milliseconds, operators } of graphs) {
    expect(runs).toBeGreaterThan(0);
    expect(milliseconds).toBeGreaterThan(0);
    for (const operator of operators)
      expect(operator).toEqual({
        operator: expect.any(String),
        calls: expect.any(Number),
        milliseconds: expect.any(Number),
      });
  }
});

it("says where it cannot write", async () => {
  const { code, stderr } = await paligemma(["caption", PICTURE, "--profile-out", "absent/profile.json"], {
    cwd: folder,
  });
  expect(code).toBe(1);
  expect(stderr).toMatch(/cli\/profile: absent\/profile\.json cannot be written/);
});
