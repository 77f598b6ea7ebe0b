// Times the processor against its peers on this machine, in one run, from encoded bytes to pixel values:
// Hugging Face's processor (tooling/bench/processor.py: Pillow with numpy, and torchvision where the interpreter has it), and transformers.js.
//   node tooling/bench/processor.mjs [--python <interpreter>] [--rounds 20]
// transformers.js is installed into build/bench, beside the workspace: it brings two runtimes of 500 MB.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

const PEER = "@huggingface/transformers@4.3.1";
const CASES = [
  { width: 640, height: 480, size: 224 },
  { width: 640, height: 480, size: 448 },
  { width: 1920, height: 1080, size: 224 },
  { width: 4000, height: 3000, size: 224 },
  { width: 4000, height: 3000, size: 448 },
];

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const { values } = parseArgs({ options: { python: { type: "string" }, rounds: { type: "string", default: "20" } } });
const rounds = Number(values.rounds);
const work = join(root, "build/bench");
mkdirSync(work, { recursive: true });

const { preprocessImages, parsePreprocessorConfig, resize } = await import("../../packages/processor/dist/index.js");
const { decodeImage } = await import("../../packages/processor/dist/node/index.js");
const sharp = createRequire(join(root, "packages/processor/package.json"))("sharp");
const peer = await loadPeer();
for (const item of CASES) await picture(item);
const python = values.python === undefined ? undefined : runPython(values.python);

console.log(
  `${cpus()[0].model}, ${cpus().length} cores, Node ${process.version}, sharp ${sharp.versions.sharp}; medians of ${rounds} rounds in ms\n`,
);
console.log(
  "| JPEG → size | ours | transformers.js | ratio | Pillow + numpy | ratio | torchvision | ratio | resize alone, ours | Pillow | ratio |\n|---|---|---|---|---|---|---|---|---|---|---|",
);
for (const item of CASES) {
  const jpeg = await picture(item);
  const config = parsePreprocessorConfig({ image_seq_length: 256, size: { height: item.size, width: item.size } });
  const decoded = await decodeImage(jpeg);
  // Side by side: one of each per round, so that a busy machine slows all alike.
  const times = await interleave({
    ours: async () => preprocessImages([await decodeImage(jpeg)], config),
    resize: () => resize(decoded, { width: item.size, height: item.size }),
    ...(peer && { peer: () => peer(jpeg, item.size) }),
  });
  const theirs = python?.[`${item.width}x${item.height}-${item.size}`];
  const row = [
    `${item.width} × ${item.height} → ${item.size}`,
    ms(times.ours),
    ms(times.peer),
    ratio(times.peer, times.ours),
    ms(theirs?.endToEnd),
    ratio(theirs?.endToEnd, times.ours),
    ms(theirs?.torchvision),
    ratio(theirs?.torchvision, times.ours),
    ms(times.resize),
    ms(theirs?.resize),
    ratio(theirs?.resize, times.resize),
  ];
  console.log(`| ${row.join(" | ")} |`);
}
console.log("\nA ratio above 1: the peer takes longer.");

/** A JPEG of a picture with edges, ramps and grain, as large as a photograph's; the same for Pillow, from a file. */
async function picture({ width, height }) {
  const file = join(work, `${width}x${height}.jpg`);
  if (!existsSync(file)) {
    const data = Buffer.alloc(width * height * 3);
    for (let y = 0, i = 0; y < height; y++) {
      for (let x = 0; x < width; x++, i += 3) {
        const grain = (Math.imul(i, 2_654_435_761) >>> 24) / 16;
        data[i] = 120 + 60 * Math.sin(x / 37) + 40 * Math.cos(y / 23) + grain;
        data[i + 1] = (x * 230) / width + grain;
        data[i + 2] = ((x >> 6) + (y >> 6)) & 1 ? 190 + grain : 40 + grain;
      }
    }
    writeFileSync(
      file,
      await sharp(data, { raw: { width, height, channels: 3 } })
        .jpeg({ quality: 90 })
        .toBuffer(),
    );
  }
  return readFileSync(file);
}

async function interleave(tasks) {
  const times = Object.fromEntries(Object.keys(tasks).map((name) => [name, []]));
  for (let round = -3; round < rounds; round++) {
    for (const [name, task] of Object.entries(tasks)) {
      const since = performance.now();
      await task();
      if (round >= 0) times[name].push(performance.now() - since);
    }
  }
  return Object.fromEntries(
    Object.entries(times).map(([name, list]) => [name, list.sort((a, b) => a - b)[list.length >> 1]]),
  );
}

async function loadPeer() {
  const entry = join(work, "node_modules/@huggingface/transformers/package.json");
  if (!existsSync(entry)) {
    writeFileSync(join(work, "package.json"), '{ "private": true, "type": "module" }\n');
    const env = { ...process.env, ONNXRUNTIME_NODE_INSTALL: "skip" };
    const { status } = spawnSync("npm", ["install", PEER, "--no-audit", "--no-fund", "--loglevel=error"], {
      cwd: work,
      env,
      stdio: "inherit",
    });
    if (status !== 0) return console.log(`${PEER} does not install: its column stays empty`);
  }
  const { RawImage, SiglipImageProcessor } = await import(
    pathToFileURL(join(dirname(entry), "dist/transformers.node.mjs")).href
  );
  return async (jpeg, size) => {
    const processor = new SiglipImageProcessor({
      do_resize: true,
      size: { height: size, width: size },
      resample: 3,
      do_rescale: true,
      rescale_factor: 1 / 255,
      do_normalize: true,
      image_mean: [0.5, 0.5, 0.5],
      image_std: [0.5, 0.5, 0.5],
    });
    return processor([await RawImage.fromBlob(new Blob([jpeg]))]);
  };
}

function runPython(interpreter) {
  const { status, stdout, stderr } = spawnSync(
    interpreter,
    [join(root, "tooling/bench/processor.py"), work, String(rounds)],
    { encoding: "utf8" },
  );
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout);
}

function ms(value) {
  return value === undefined ? "–" : value.toFixed(value < 10 ? 2 : 1);
}

function ratio(theirs, ours) {
  return theirs === undefined ? "–" : `${(theirs / ours).toFixed(2)} ×`;
}
