import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const checks = fileURLToPath(new URL("../checks/", import.meta.url));

const TABLE = `
| package | what it is | may import (of ours) |
|---|---|---|
| \`low\` | a package | nothing |
| \`high\` | a package | \`low\` |
`;

/** A workspace of two packages in which all is right: file → contents. */
function rightWorkspace(): Record<string, string> {
  return {
    "package.json": JSON.stringify({ devDependencies: { vitest: "1" } }),
    "tsconfig.json": JSON.stringify({ references: [{ path: "packages/low" }, { path: "packages/high" }] }),
    "docs/architecture.md": TABLE,
    ...packageFiles("low", {}, "/** One. */\nexport const one: number = 1;\n"),
    ...packageFiles(
      "high",
      { "@paligemma/low": "workspace:^" },
      'import { one } from "@paligemma/low";\n/** Two. */\nexport const two: number = one + one;\n',
    ),
  };
}

function packageFiles(name: string, dependencies: Record<string, string>, code: string): Record<string, string> {
  const at = `packages/${name}`;
  const references = Object.keys(dependencies).map((other) => ({ path: `../${other.split("/")[1]}` }));
  const exports = { ".": { "@paligemma/source": "./src/index.ts", types: "./dist/index.d.ts" } };
  return {
    [`${at}/package.json`]: JSON.stringify({ name: `@paligemma/${name}`, exports, dependencies }),
    [`${at}/tsconfig.json`]: JSON.stringify({ references }),
    [`${at}/src/index.ts`]: code,
    [`${at}/README.md`]: `# ${name}\n\n\`\`\`ts\nexport {};\n\`\`\`\n`,
  };
}

let root = "";
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "paligemma-checks-"));
});
afterEach(() => rm(root, { recursive: true }));

/** What a check says about the workspace with some files changed. */
async function run(check: string, changes: Record<string, string> = {}): Promise<string> {
  await cp(fileURLToPath(new URL("../../tsconfig.base.json", import.meta.url)), join(root, "tsconfig.base.json"));
  for (const [path, text] of Object.entries({ ...rightWorkspace(), ...changes })) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  }
  return await new Promise((resolve) => {
    execFile(process.execPath, [join(checks, check)], { env: { ...process.env, CHECKED_ROOT: root } }, (_, stdout) =>
      resolve(stdout),
    );
  });
}

describe("layers.mjs", () => {
  it("lets a right workspace pass", async () => {
    expect(await run("layers.mjs")).toMatch(/^\d+ passed, 0 failed\n$/);
  });

  it.each<[string, Record<string, string>, RegExp]>([
    [
      "an import against the table",
      { "packages/low/src/index.ts": 'export { one } from "@paligemma/high";' },
      /low\/src\/index\.ts imports "@paligemma\/high": docs\/architecture\.md does not let `low` import `high`/,
    ],
    [
      "a dependency against the table",
      packageFiles("low", { "@paligemma/high": "workspace:^" }, ""),
      /low\/package\.json depends on @paligemma\/high/,
    ],
    [
      "an import that is not declared",
      { "packages/low/src/index.ts": 'import "sharp";' },
      /sharp is not among the dependencies of packages\/low\/package\.json/,
    ],
    [
      "a way around the package's name",
      { "packages/high/src/index.ts": 'export { one } from "../../low/src/index.ts";' },
      /a relative import must stay inside the package's src/,
    ],
    [
      "a way past the exports",
      { "packages/high/src/index.ts": 'export { one } from "@paligemma/low/dist/index.js";' },
      /@paligemma\/low does not export "\.\/dist\/index\.js"/,
    ],
    [
      "a module of Node in a package for browsers",
      { "packages/low/src/index.ts": 'export const read = import("node:fs");' },
      /node: modules are allowed under src\/node only/,
    ],
    ["a package without a row", packageFiles("other", {}, ""), /has no row for `other`/],
    [
      "a circle in the table",
      { "docs/architecture.md": TABLE.replace("nothing", "`high`") },
      /`low` may import itself in a circle/,
    ],
    [
      "a reference that is missing",
      { "packages/high/tsconfig.json": "{}" },
      /packages\/high\/tsconfig\.json lacks a reference to \.\.\/low/,
    ],
  ])("refuses %s", async (_, changes, message) => {
    const output = await run("layers.mjs", changes);
    expect(output).toMatch(message);
    expect(output).not.toMatch(/ 0 failed\n$/);
  });
});

describe("docs.mjs", () => {
  it("lets a right workspace pass", async () => {
    expect(await run("docs.mjs")).toMatch(/^\d+ passed, 0 failed\n$/);
  });

  it.each<[string, Record<string, string>, RegExp]>([
    [
      "an export without a docblock",
      { "packages/low/src/index.ts": "export const one: number = 1;\n" },
      /low\/src\/index\.ts: one is exported without a docblock/,
    ],
    ["a README without an example", { "packages/low/README.md": "# low\n" }, /low\/README\.md has no example/],
    ["a README that goes on", { "packages/low/README.md": "line\n".repeat(120) }, /has 120 lines/],
    ["a link to nowhere", { "docs/index.md": "[there](nowhere.md)" }, /docs\/index\.md links to nowhere\.md/],
  ])("refuses %s", async (_, changes, message) => {
    expect(await run("docs.mjs", changes)).toMatch(message);
  });
});
