// What precision costs a checkpoint of any size: distance of its scores from another one's, float32 say, on made-up prompts.
//   node --conditions=@paligemma/source --import tsx tooling/gpu/quality.ts REFERENCE BUNDLE… [--prompts 2] [--tokens 24] [--json]
// Each folder runs in a process of its own, one after the other, so that one model is in memory at a time; scores lie in a
// temporary folder meanwhile, 1 MB per position at the released vocabulary. Prompts are noise pictures and random words: with
// random weights nothing else would mean more. Relative error is that of the scores themselves, ‖a − b‖ / ‖a‖.
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { createNodeBackend } from "@paligemma/backend-node";
import { ndArray } from "@paligemma/core";
import { loadPaliGemma } from "paligemma/node";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    prompts: { type: "string", default: "2" },
    tokens: { type: "string", default: "24" },
    scores: { type: "string" },
    json: { type: "boolean" },
  },
});
const [reference, ...bundles] = positionals;
const [prompts, tokens] = [Number(values.prompts), Number(values.tokens)];
if (reference === undefined || !(prompts > 0 && tokens > 0) || (values.scores === undefined && bundles.length === 0)) {
  console.error("usage: quality.ts REFERENCE BUNDLE… [--prompts 2] [--tokens 24] [--json]");
  process.exit(2);
}
if (values.scores !== undefined) await writeScores(reference, values.scores);
else await compare(reference, bundles);

/** Scores of every word of the prompts, [prompts · tokens, vocabulary] as float32, into a file. */
async function writeScores(folder: string, path: string): Promise<void> {
  await using backend = await createNodeBackend();
  await using model = await loadPaliGemma(folder, { backend });
  const { vision, text, numImageTokens, imageTokenIndex } = model.config;
  const random = seeded(1);
  const parts: Float32Array[] = [];
  for (let prompt = 0; prompt < prompts; prompt++) {
    const shape = [1, vision.numChannels, vision.imageSize, vision.imageSize];
    const size = shape.reduce((a, b) => a * b);
    const pixelValues = ndArray(
      "float32",
      shape,
      Float32Array.from({ length: size }, () => random() * 2 - 1),
    );
    const length = numImageTokens + tokens;
    const ids = Array.from({ length }, (_, i) =>
      BigInt(
        i < numImageTokens
          ? imageTokenIndex
          : 2 + Math.floor(random() * (Math.min(imageTokenIndex, text.vocabSize) - 2)),
      ),
    );
    const inputIds = ndArray("int64", [1, length], BigInt64Array.from(ids));
    const { logits } = await model.forward({ pixelValues, inputIds }, { logitsToKeep: tokens });
    parts.push(logits.data);
  }
  await writeFile(path, Buffer.concat(parts.map((part) => Buffer.from(part.buffer, part.byteOffset, part.byteLength))));
}

async function compare(exact: string, others: readonly string[]): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), "quality-"));
  try {
    const expected = await scoresOf(exact, join(root, "reference"));
    const lines: object[] = [];
    for (const [i, other] of others.entries()) {
      const path = join(root, String(i));
      lines.push({ bundle: basename(resolve(other)), ...distance(expected, await scoresOf(other, path)) });
      await rm(path);
    }
    if (values.json) console.log(JSON.stringify(lines, null, 1));
    else console.table(lines);
  } finally {
    await rm(root, { recursive: true });
  }
}

async function scoresOf(folder: string, path: string): Promise<Float32Array> {
  const own = [fileURLToPath(import.meta.url), folder, "--scores", path];
  const sizes = ["--prompts", String(prompts), "--tokens", String(tokens)];
  await promisify(execFile)(process.execPath, [...process.execArgv, ...own, ...sizes]);
  const bytes = await readFile(path);
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / Float32Array.BYTES_PER_ELEMENT);
}

/** Over all positions: mean divergence of the first from the second in nats, share of equal best tokens, relative error. */
function distance(a: Float32Array, b: Float32Array): object {
  const positions = prompts * tokens;
  const vocabulary = a.length / positions;
  let [divergence, agreed, error, norm] = [0, 0, 0, 0];
  for (let at = 0; at < a.length; at += vocabulary) {
    const [p, q] = [a.subarray(at, at + vocabulary), b.subarray(at, at + vocabulary)];
    const [top, sum] = normalizer(p);
    const [otherTop, otherSum] = normalizer(q);
    for (let i = 0; i < vocabulary; i++) {
      const log = p[i]! - top - Math.log(sum);
      divergence += Math.exp(log) * (log - (q[i]! - otherTop - Math.log(otherSum)));
      error += (p[i]! - q[i]!) ** 2;
      norm += p[i]! ** 2;
    }
    agreed += Number(p.indexOf(top) === q.indexOf(otherTop));
  }
  return {
    divergence: divergence / positions,
    agreement: agreed / positions,
    relativeError: Math.sqrt(error / norm),
    positions,
  };
}

/** The largest score, and the sum of what all are above it. */
function normalizer(scores: Float32Array): readonly [number, number] {
  const top = scores.reduce((x, y) => Math.max(x, y), Number.NEGATIVE_INFINITY);
  return [top, scores.reduce((sum, x) => sum + Math.exp(x - top), 0)];
}

/** Numbers from 0 to 1, the same for the same seed. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 4_294_967_296;
  };
}
