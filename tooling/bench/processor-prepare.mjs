// Measures `prepare` on generated records, kills it at random moments, and compares the bytes with an uninterrupted run.
//   node tooling/bench/processor-prepare.mjs [--records 20000] [--kills 5] [--seed 1] [--size 224]
// Prints the throughput, the share of JPEG decoding in it, and the memory over the run.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const { values } = parseArgs({
  options: {
    records: { type: "string", default: "20000" },
    kills: { type: "string", default: "5" },
    seed: { type: "string", default: "1" },
    size: { type: "string", default: "224" },
    child: { type: "string" },
    data: { type: "string" },
  },
});
const [records, kills, size] = [Number(values.records), Number(values.kills), Number(values.size)];
const PICTURES = 200; // different files; records share them, so that the disk holds them
const SHARD_BYTES = 64 * 2 ** 20;

if (values.child === undefined) await main();
else await work(values.child, values.data);

async function main() {
  const folder = mkdtempSync(join(tmpdir(), "paligemma-prepare-"));
  try {
    const data = join(folder, "data");
    await generate(data);
    const whole = await start(join(folder, "whole"), data).ended;
    const { seconds, memory, summary } = whole;
    const decode = await decodeSeconds(data);
    console.log(
      `${summary.written} of ${records} records in ${seconds.toFixed(1)} s: ${(records / seconds).toFixed(0)} a second, ${summary.bad} bad`,
    );
    console.log(
      `decoding as many JPEGs alone takes ${decode.toFixed(1)} s, ${((100 * decode) / seconds).toFixed(0)} % of it`,
    );
    const quarters = [0.25, 0.5, 0.75, 1].map((part) =>
      Math.max(...memory.slice(Math.floor((part - 0.25) * memory.length), Math.ceil(part * memory.length))),
    );
    console.log(
      `greatest memory in each quarter of the run: ${quarters.map((bytes) => `${(bytes / 2 ** 20).toFixed(0)} MiB`).join(", ")}`,
    );
    const random = lcg(Number(values.seed));
    const cut = join(folder, "cut");
    for (let i = 0; i < kills; i++) {
      const child = start(cut, data);
      // At most nine tenths of the whole run before the last kill, so that every one of them finds work in progress.
      const delay = ((0.1 + 0.8 * random()) * seconds * 1000) / kills;
      const timer = setTimeout(() => child.process.kill("SIGKILL"), delay);
      await child.ended.catch(() => {});
      clearTimeout(timer);
      console.log(
        `killed after ${(delay / 1000).toFixed(1)} s: ${readdirSync(cut).filter((name) => name.endsWith(".safetensors")).length} shards, ${existsSync(join(cut, "index.json")) ? "finished" : "unfinished"}`,
      );
      if (existsSync(join(cut, "index.json"))) break;
    }
    if (kills === 0) return;
    if (!existsSync(join(cut, "index.json"))) await start(cut, data).ended;
    const same = digest(cut) === digest(join(folder, "whole"));
    console.log(same ? "resumed to the same bytes" : "RESUMED TO OTHER BYTES");
    process.exitCode = same ? 0 : 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** JPEGs of 640 × 480, and lines that name them; every 50th line is malformed. */
async function generate(data) {
  const sharp = createRequire(join(root, "packages/processor/package.json"))("sharp");
  mkdirSync(data);
  for (let n = 0; n < PICTURES; n++) {
    const pixels = Buffer.alloc(640 * 480 * 3);
    for (let i = 0; i < pixels.length; i++)
      pixels[i] = 128 + 60 * Math.sin(i / (300 + n)) + (Math.imul(i, 2_654_435_761) >>> 24) / 8;
    writeFileSync(
      join(data, `${n}.jpg`),
      await sharp(pixels, { raw: { width: 640, height: 480, channels: 3 } })
        .jpeg({ quality: 90 })
        .toBuffer(),
    );
  }
  const box = (n) => `<loc${String(n % 500).padStart(4, "0")}><loc0100><loc0800><loc0900>`;
  const line = (n) =>
    n % 50 === 49
      ? `{"image": "${n}`
      : JSON.stringify({
          image: `${n % PICTURES}.jpg`,
          prefix: "detect circle ; star",
          suffix: `${box(n)} circle ; ${box(n + 1)} star`,
        });
  writeFileSync(
    join(data, "_annotations.train.jsonl"),
    `${Array.from({ length: records }, (_, n) => line(n)).join("\n")}\n`,
  );
}

function start(out, data) {
  const since = Date.now();
  const child = spawn(
    process.execPath,
    [fileURLToPath(import.meta.url), "--child", out, "--data", data, "--size", String(size)],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  let output = "";
  child.stdout.on("data", (text) => (output += text));
  const ended = new Promise((resolve, reject) => {
    child.on("close", (code) =>
      code === 0
        ? resolve({ seconds: (Date.now() - since) / 1000, ...JSON.parse(output) })
        : reject(new Error(`ended with ${code}`)),
    );
  });
  return { process: child, ended };
}

/** What a child process does: the preparation itself, watching its memory. */
async function work(out, data) {
  const { openDataset, prepare } = await import("../../packages/datasets/dist/node/index.js");
  const { createProcessor } = await import("../../packages/processor/dist/index.js");
  const model = join(root, "packages/tiny-shapes/model");
  const json = (name) => JSON.parse(readFileSync(join(model, name), "utf8"));
  const preprocessor = { ...json("preprocessor_config.json"), size: { height: size, width: size } };
  const processor = createProcessor({
    tokenizer: { tokenizerJson: json("tokenizer.json"), tokenizerConfig: json("tokenizer_config.json") },
    preprocessor,
  });
  const memory = [];
  const timer = setInterval(() => memory.push(process.memoryUsage().rss), 200);
  const summary = await prepare(await openDataset(data), {
    out,
    processor,
    shardBytes: SHARD_BYTES,
    objectOrder: "random",
    seed: 3,
  });
  clearInterval(timer);
  console.log(JSON.stringify({ summary, memory }));
}

/** Seconds to decode as many pictures as there are good records, with as many at once as prepare has. */
async function decodeSeconds(data) {
  const { decodeImage } = await import("../../packages/processor/dist/node/index.js");
  const since = Date.now();
  let next = 0;
  const decodeSome = async () => {
    while (next < PICTURES * 5) await decodeImage(join(data, `${next++ % PICTURES}.jpg`));
  };
  await Promise.all(Array.from({ length: 8 }, decodeSome));
  return (((Date.now() - since) / 1000) * records * 0.98) / (PICTURES * 5);
}

function digest(folder) {
  const hash = createHash("sha256");
  for (const name of readdirSync(folder).toSorted()) hash.update(name).update(readFileSync(join(folder, name)));
  return hash.digest("hex");
}

function lcg(seed) {
  let state = seed;
  return () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32;
}
