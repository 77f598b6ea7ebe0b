// Writes a checkpoint with seeded random weights; see README.md.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
  configToJson,
  formatConfig,
  parameterCount,
  parseConfig,
  presets,
  releasedTensors,
  type PaliGemmaConfig,
} from "@paligemma/config";
import type { FloatDType } from "@paligemma/weights";
import { writeShards } from "@paligemma/weights/node";
import { randomTensors } from "./random-tensors.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    out: { type: "string" },
    dtype: { type: "string", default: "bfloat16" },
    shards: { type: "string", default: "1" },
    seed: { type: "string", default: "0" },
  },
});
const [size] = positionals;
if (size === undefined || values.out === undefined || !["float32", "float16", "bfloat16"].includes(values.dtype)) {
  console.error(
    `usage: make-random.ts <${Object.keys(presets).join(" | ")} | config.json> --out FOLDER [--dtype float32|float16|bfloat16] [--shards N] [--seed N]`,
  );
  process.exit(2);
}

const dtype = values.dtype as FloatDType;
const preset = Object.hasOwn(presets, size)
  ? presets[size as keyof typeof presets]
  : parseConfig(JSON.parse(readFileSync(size, "utf8")));
const config: PaliGemmaConfig = { ...preset, dtype };
mkdirSync(values.out, { recursive: true });
writeFileSync(join(values.out, "config.json"), formatConfig(configToJson(config)));
const started = performance.now();
const files = await writeShards(values.out, randomTensors(releasedTensors(config), dtype, Number(values.seed)), {
  shards: Number(values.shards),
});
const seconds = ((performance.now() - started) / 1000).toFixed(1);
const memory = (process.resourceUsage().maxRSS / 1024).toFixed(0);
console.log(
  `${parameterCount(config).toLocaleString("en")} parameters in ${dtype}, ${files.length} files in ${values.out}: ${seconds} s, at most ${memory} MB of memory`,
);
