import { fileURLToPath } from "node:url";
import { createNodeBackend, type NodeBackend } from "@paligemma/backend-node";
import { folder } from "@paligemma/tiny-shapes";
import { folderFiles } from "@paligemma/weights/node";
import type { ModelFiles } from "@paligemma/weights";
import { loadPaliGemma, recordSelfCheck, type SelfCheck } from "paligemma";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { withSelfCheck } from "./with-self-check.ts";

let backend: NodeBackend;
let files: ModelFiles;
let expected: SelfCheck;
beforeAll(async () => {
  backend = await createNodeBackend({ device: "cpu" });
  files = await folderFiles(fileURLToPath(folder));
  const source = await files.open("self-check.json");
  expected = JSON.parse(new TextDecoder().decode(await source.read(0, source.size))) as SelfCheck;
});
afterAll(() => backend.dispose());

const load = async (check: unknown, selfCheck?: boolean): Promise<void> => {
  const options = { backend, ...(selfCheck !== undefined && { selfCheck }) };
  await (await loadPaliGemma(withSelfCheck(files, check), options)).dispose();
};

describe("the self-check", () => {
  it("passes for the embedded model, which is what was recorded", async () => {
    await load(expected, true);
    await using model = await loadPaliGemma(files, { backend });
    const again = await recordSelfCheck(model.model, expected.inputIds);
    expect(again.tokens).toEqual(expected.tokens);
  });

  it("refuses a device whose logits are off, with the difference, the device and the remedy", async () => {
    const wrong = { ...expected, logits: expected.logits.map((logit, i) => (i === 3 ? logit + 1.5 : logit)) };
    await expect(load(wrong, true)).rejects.toMatchObject({ code: "paligemma/self-check" });
    await expect(load(wrong, true)).rejects.toThrow(
      /cpu.* computes wrong logits of .* in float32: off by 1\.50, at most 0\.0\d+ is right\. Download/,
    );
  });

  it("runs in Node only when asked for, and not for a model that has none", async () => {
    await load({ ...expected, logits: expected.logits.map(() => 0) });
    await load(undefined, true);
  });

  it.each([
    ["no object", 7],
    ["no text", "{"],
    ["another vocabulary", { tokens: [9999], logits: [0] }],
    ["numbers that are none", { logits: ["1"] }],
    ["fewer logits than tokens", { logits: [1] }],
    ["half a picture", { inputIds: [1658, 2] }],
    ["nothing to compare", { tokens: [], logits: [] }],
  ])("refuses %s", async (_, change) => {
    const check = typeof change === "object" ? { ...expected, ...change } : change;
    await expect(load(check, true)).rejects.toMatchObject({ code: "paligemma/self-check" });
  });
});
