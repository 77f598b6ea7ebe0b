// Scores the embedded model on the 200 evaluation scenes, through our own runtime.
//   pnpm eval:tiny-shapes            the table
//   pnpm eval:tiny-shapes --wrong    and every answer that is not right
//   pnpm eval:tiny-shapes --json     all results as JSON
//   pnpm eval:tiny-shapes --constrained   with boxes constrained to the labels, as detect and segment are
//   pnpm eval:tiny-shapes --model x  of the model in the folder x, such as a quantised one
import { parseArgs } from "node:util";
import { evaluate, readScenes, tabulate } from "./evaluation.ts";

const { values } = parseArgs({
  options: {
    json: { type: "boolean" },
    wrong: { type: "boolean" },
    constrained: { type: "boolean" },
    model: { type: "string" },
  },
});
const scenes = await readScenes();
const report = (done: number, total: number): void => {
  if (process.stderr.isTTY) process.stderr.write(`\r${done} of ${total} `);
};
const { model: modelFolder, constrained } = values;
const results = await evaluate(scenes, { modelFolder, constrained, onProgress: report });
if (process.stderr.isTTY) process.stderr.write("\n");

if (values.json) {
  console.log(JSON.stringify({ table: tabulate(results), results }, null, 1));
} else {
  const percent = (share: number): string => `${(share * 100).toFixed(1)} %`.padStart(8);
  const number = (value: number | undefined): string => (value === undefined ? "" : value.toFixed(3)).padStart(9);
  console.log(`${"".padEnd(16)}  count     right  box IoU  mask IoU`);
  for (const { heading, count, right, boxIou, maskIou } of tabulate(results)) {
    console.log(
      `${heading.padEnd(16)}${String(count).padStart(7)}  ${percent(right)}${number(boxIou)}${number(maskIou)}`,
    );
  }
  if (values.wrong) {
    for (const r of results.filter((each) => !each.right))
      console.log(`${r.file} ${r.prefix}\n  expected ${r.expected}\n  answered ${r.text}`);
  }
}
