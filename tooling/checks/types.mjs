// Type-checks everything: the sources by project references, and what they do not cover (tests, tooling, examples) as
// one program.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { report } from "./report.mjs";
import { root } from "./workspace.mjs";

const problems = [];
const runs = [
  ["sources", "-b", "tsconfig.json"],
  ["tests, tooling and examples", "-p", "tsconfig.checks.json"],
];
for (const [what, ...args] of runs) {
  const { status } = spawnSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), ...args], {
    cwd: root,
    stdio: "inherit",
  });
  if (status !== 0) problems.push(`type errors in ${what}, see above`);
}
report(runs.length - problems.length, problems);
