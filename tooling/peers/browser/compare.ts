// We and transformers.js side by side in one Chromium on one adapter: same network, weights, precision, picture and prompt.
//   node --conditions=@paligemma/source --import tsx tooling/peers/browser/compare.ts CHECKPOINT…
//     [--pairs 5] [--tokens 16] [--again 2] [--rate MEGABYTES A SECOND]
// A checkpoint is a folder of config.json and one model.safetensors; it is exported for transformers.js first. Every run has
// a browser of its own; runs alternate, and who begins does too. Prints medians (least – most) as Markdown.
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { createRequire } from "node:module";
import { parseArgs } from "node:util";
import { parseConfig } from "@paligemma/config";
import { writeExport } from "@paligemma/onnx/node";
import { openCheckpoint } from "@paligemma/weights/node";
import { findChromium } from "../../browser/chromium.mjs";
import { buildPages } from "./build-pages.ts";
import { PARTIES, visit, type Party, type Visit } from "./visit.ts";
import { serve } from "./serve.ts";
import { table } from "./table.ts";

const { values, positionals: checkpoints } = parseArgs({
  allowPositionals: true,
  options: {
    pairs: { type: "string", default: "5" },
    tokens: { type: "string", default: "16" },
    again: { type: "string", default: "2" },
    rate: { type: "string" },
  },
});
const chromium = findChromium();
if (checkpoints.length === 0 || chromium === undefined) {
  console.error(
    chromium === undefined
      ? "no Chromium was found; install Debian's package chromium, or set CHROMIUM_PATH"
      : "usage: compare.ts CHECKPOINT… [--pairs 5] [--tokens 16] [--again 2] [--rate MB/S]",
  );
  process.exit(2);
}

const work = await mkdtemp(join(tmpdir(), "paligemma-compare-"));
try {
  const site = join(work, "site");
  await buildPages(site, PARTIES);
  const their = createRequire(createRequire(import.meta.url).resolve("@huggingface/transformers"));
  const runtime = dirname(their.resolve("onnxruntime-web/ort-wasm-simd-threaded.asyncify.mjs"));
  for (const checkpoint of checkpoints) await compare(resolve(checkpoint), { site, runtime });
} finally {
  await rm(work, { recursive: true, force: true });
}

async function compare(folder: string, places: { readonly site: string; readonly runtime: string }): Promise<void> {
  const json = JSON.parse(await readFile(join(folder, "config.json"), "utf8"));
  const config = parseConfig(json);
  const exported = join(work, "export");
  await mkdir(exported, { recursive: true });
  const { dtype, bytes } = await writeExport(exported, {
    config,
    configJson: json,
    checkpoint: await openCheckpoint(folder),
  });
  const prompt = [2, 10, 11, 12, 108];
  const asked = {
    dtype,
    inputIds: [...Array.from({ length: config.numImageTokens }, () => config.imageTokenIndex), ...prompt],
    imageSize: config.vision.imageSize,
  };
  const amount = { tokens: Number(values.tokens), again: Number(values.again) };
  const rate = values.rate === undefined ? Infinity : Number(values.rate) * 1e6;
  const server = await serve({ ...places, ours: folder, theirs: exported }, rate);
  const visits: Record<Party, Visit[]> = { ours: [], theirs: [] };
  try {
    for (let pair = 0; pair < Number(values.pairs); pair++) {
      for (const party of pair % 2 === 0 ? PARTIES : PARTIES.toReversed()) {
        const seen = await visit(party, server, chromium!, { ...asked, ...amount, model: `/${party}/` });
        visits[party].push(seen);
        console.error(`pair ${pair + 1}, ${party}: ${JSON.stringify(seen)}`);
      }
    }
  } finally {
    server.close();
    await rm(exported, { recursive: true });
  }
  const version = execFileSync(chromium!, ["--version"], { encoding: "utf8" }).trim();
  console.log(
    `\n${basename(folder)}, ${dtype}, ${(bytes / 1e6).toFixed(1)} MB exported; ${asked.inputIds.length} tokens of prompt; ${visits.ours[0]!.adapter}; ${version}\n`,
  );
  console.log(table(visits));
}
