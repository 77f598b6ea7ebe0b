// What 8 and 4 bits cost the embedded model: distance of its scores from float32, and its marks on the evaluation scenes.
//   node --conditions=@paligemma/source --import tsx tooling/tiny-shapes/precision.ts [--scenes 200] [--json]
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { folder } from "@paligemma/tiny-shapes";
import { evaluate, readScenes } from "./evaluation.ts";
import { calibrateOn, compareScores, PRECISIONS, writePrecision, type Distance } from "./precisions.ts";
import { headingOf } from "./score.ts";

const { values } = parseArgs({ options: { json: { type: "boolean" }, scenes: { type: "string", default: "200" } } });
const scenes = (await readScenes()).slice(0, Number(values.scenes));
const headings = ["caption", "answer", "detect", "segment"] as const;

const CALIBRATION_SCENES = 16;

interface Line {
  readonly precision: string;
  /** Bytes of all tensors; null for the checkpoint itself. */
  readonly bytes: number | null;
  /** From float32; null for float32 itself. */
  readonly distance: Distance | null;
  /** Share of right answers, in percent, by heading and over all. */
  readonly right: Readonly<Record<string, number>>;
}

const root = await mkdtemp(join(tmpdir(), "precision-"));
const lines: Line[] = [];
try {
  lines.push({ precision: "float32", bytes: null, distance: null, right: await marks(fileURLToPath(folder)) });
  // The last scenes, which the table's first ones (--scenes) say nothing of.
  const moments = await calibrateOn((await readScenes()).slice(-CALIBRATION_SCENES));
  for (const { name, options, calibrated } of PRECISIONS) {
    const how = calibrated ? { ...options, moments } : options;
    const { path, bytes } = await writePrecision(join(root, String(lines.length)), how);
    lines.push({ precision: name, bytes, distance: await compareScores(path, scenes), right: await marks(path) });
  }
} finally {
  await rm(root, { recursive: true });
}
if (values.json) console.log(JSON.stringify(lines, null, 1));
else {
  console.log(`| precision | MB | KL, nats | top-1 | ${headings.join(" | ")} | all |`);
  console.log(`|---|---|---|---|${"---|".repeat(headings.length + 1)}`);
  for (const { precision, bytes, distance, right } of lines) {
    const cells = [
      precision,
      bytes === null ? "" : (bytes / 1e6).toFixed(1),
      distance ? distance.divergence.toExponential(1) : "",
      distance ? `${(distance.agreement * 100).toFixed(2)} %` : "",
      ...Object.values(right).map((share) => share.toFixed(1)),
    ];
    console.log(`| ${cells.join(" | ")} |`);
  }
}

async function marks(path: string): Promise<Readonly<Record<string, number>>> {
  const results = await evaluate(scenes, { modelFolder: path });
  const percent = (of: typeof results): number => (100 * of.filter((r) => r.right).length) / of.length;
  const rows = headings.map(
    (heading) => [heading, percent(results.filter((r) => headingOf(r.kind) === heading))] as const,
  );
  return { ...Object.fromEntries(rows), all: percent(results) };
}
