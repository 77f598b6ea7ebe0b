import { mkdtemp, copyFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { maskIou, maskFromRle } from "@paligemma/masks";
import { boxIou } from "@paligemma/parsers";
import { folder } from "@paligemma/tiny-shapes";
import type { Piece } from "paligemma";
import { loadPaliGemma } from "paligemma/node";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import type { Scene } from "../score.ts";
import { openEmbedded, picture } from "./embedded.ts";

const { backend, model, scenes } = await openEmbedded();

/** A scene with one thing of its shape, which the model should find. */
function clear(count: number): Scene[] {
  return scenes.filter(({ things }) => new Set(things.map((t) => t.shape)).size === things.length).slice(0, count);
}

async function collect(pieces: AsyncIterable<Piece>): Promise<Piece[]> {
  const all: Piece[] = [];
  for await (const piece of pieces) all.push(piece);
  return all;
}

describe("tasks", () => {
  it("caption, answer, detect and segment a picture", async () => {
    const scene = clear(1)[0]!;
    const [thing] = scene.things;
    const [yMin, xMin, yMax, xMax] = thing!.box;
    expect(await model.caption(picture(scene))).toContain(thing!.shape);
    expect(await model.answer(picture(scene), `is there a ${thing!.shape}?`)).toBe("yes");
    const { items, rest } = await model.detect(picture(scene), [thing!.shape]);
    expect(rest).toBe("");
    expect(items.map((item) => item.label)).toEqual([thing!.shape]);
    expect(boxIou(items[0]!.box, { yMin: yMin!, xMin: xMin!, yMax: yMax!, xMax: xMax! })).toBeGreaterThan(0.6);
    expect(items[0]!.pixels!.xMax).toBeCloseTo(items[0]!.box.xMax * scene.width, 5);

    const segments = await model.segment(picture(scene), [thing!.shape]);
    expect(segments.items.length).toBe(1);
    const truth = maskFromRle({ size: [scene.height, scene.width], counts: [...thing!.mask] });
    expect(maskIou(segments.items[0]!.mask, truth)).toBeGreaterThan(0.5);
  });

  it("ask in the form that PaliGemma documents", async () => {
    await expect(model.caption(picture(scenes[0]!), { language: "e;n" })).rejects.toThrow(
      /paligemma\/prompt.*language code/,
    );
    await expect(model.answer(picture(scenes[0]!), " ")).rejects.toThrow(/question is empty/);
    await expect(model.detect(picture(scenes[0]!), [])).rejects.toThrow(/no label/);
    await expect(model.detect(picture(scenes[0]!), ["cat ; dog"])).rejects.toThrow(/separate labels/);
    expect(typeof (await model.ocr(picture(scenes[0]!), { maxNewTokens: 4 }))).toBe("string");
  });
});

describe("pictures unlike those of the training", () => {
  const rounds = [
    {
      name: "1600 × 900",
      make: async (file: string): Promise<Buffer> =>
        await sharp(file).resize(1600, 900, { fit: "fill" }).png().toBuffer(),
    },
    {
      name: "JPEG of quality 60",
      make: async (file: string): Promise<Buffer> => await sharp(file).jpeg({ quality: 60 }).toBuffer(),
    },
    {
      name: "greyscale",
      make: async (file: string): Promise<Buffer> => await sharp(file).greyscale().png().toBuffer(),
    },
  ];
  it.each(rounds)("$name: boxes follow the shapes", async ({ make }) => {
    const overlaps: number[] = [];
    for (const scene of clear(12)) {
      const bytes = new Uint8Array(await make(fileURLToPath(picture(scene))));
      const { things } = scene;
      const { items } = await model.detect(bytes, ["circle", "square", "triangle", "star"]);
      for (const thing of things) {
        const [yMin, xMin, yMax, xMax] = thing.box;
        const truth = { yMin: yMin!, xMin: xMin!, yMax: yMax!, xMax: xMax! };
        overlaps.push(Math.max(0, ...items.map((item) => boxIou(item.box, truth))));
      }
    }
    // Grey pictures may hide a shape whose brightness is that of the background.
    const mean = overlaps.reduce((a, b) => a + b, 0) / overlaps.length;
    expect(mean).toBeGreaterThan(0.6);
  });
});

describe("batches and streams", () => {
  it("answer each ask as if it were alone", async () => {
    const asks = scenes
      .slice(0, 16)
      .map((scene, i) => ({ image: picture(scene), prompt: scene.tasks[i % scene.tasks.length]!.prefix }));
    const together = await model.generate(asks);
    for (const [i, ask] of asks.entries()) expect(together[i]!.tokens).toEqual((await model.generate(ask)).tokens);
  });

  it("stream the same text, row by row", async () => {
    const asks = scenes.slice(0, 3).map((scene) => ({ image: picture(scene), prompt: "caption en" }));
    const whole = await model.generate(asks, { outputScores: true });
    const pieces = await collect(model.stream(asks, { outputScores: true }));
    whole.forEach(({ text, tokens, tokenScores }, row) => {
      const own = pieces.filter((piece) => piece.row === row);
      expect(own.map((piece) => piece.text).join("")).toBe(text);
      expect(own.flatMap((piece) => piece.token ?? [])).toEqual(tokens);
      own.forEach((piece, i) => expect(piece.score).toBeCloseTo(tokenScores![i]!, 5));
    });
  });

  it("stop within a step when aborted", async () => {
    const controller = new AbortController();
    const pieces: Piece[] = [];
    const read = async (): Promise<void> => {
      for await (const piece of model.stream(
        { image: picture(scenes[0]!), prompt: "caption en" },
        { signal: controller.signal, minNewTokens: 200 },
      )) {
        pieces.push(piece);
        if (pieces.length === 5) controller.abort(new Error("enough"));
      }
    };
    await expect(read()).rejects.toThrow("enough");
    expect(pieces.length).toBe(5);
    expect(await model.caption(picture(scenes[0]!))).not.toBe("");
  });

  it("refuse an option that is unknown", async () => {
    const wrong = { temperatur: 2 } as object;
    await expect(model.generate({ image: picture(scenes[0]!), prompt: "caption en" }, wrong)).rejects.toThrow(
      /temperature/,
    );
  });
});

describe("training examples", () => {
  it("give a loss that is lower for the right answer", async () => {
    const scene = scenes[0]!;
    const { prefix, suffix } = scene.tasks[0]!;
    const loss = async (answer: string): Promise<number> =>
      (
        await model.forward(await model.processor.process({ image: picture(scene), prompt: prefix, suffix: answer }), {
          logitsToKeep: 1,
        })
      ).loss!;
    expect(await loss(suffix)).toBeLessThan(await loss("a red star, a red star and a red star"));
  });
});

describe("folders that lack something", () => {
  const names = [
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "preprocessor_config.json",
  ];
  async function withFolder(
    without: readonly string[],
    use: (path: string) => Promise<void>,
    files: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    const path = await mkdtemp(join(tmpdir(), "paligemma-"));
    try {
      for (const name of names) if (!without.includes(name)) await copyFile(new URL(name, folder), join(path, name));
      for (const [name, text] of Object.entries(files)) await writeFile(join(path, name), text);
      await use(path);
    } finally {
      await rm(path, { recursive: true });
    }
  }

  it("without a tokenizer still give forward and generateIds", async () => {
    const inputs = await model.processor.process({ image: picture(scenes[0]!), prompt: "caption en" });
    const expected = await model.generateIds(inputs, { maxNewTokens: 40 });
    await withFolder(["tokenizer.json", "tokenizer_config.json"], async (path) => {
      await using bare = await loadPaliGemma(path, { backend });
      expect((await bare.generateIds(inputs, { maxNewTokens: 40 })).sequences).toEqual(expected.sequences);
      await expect(bare.caption(picture(scenes[0]!))).rejects.toThrow(/processor\/tokenizer-missing/);
    });
  });

  it("without a configuration, weights or a mask codec say what is missing", async () => {
    await withFolder(["config.json"], async (path) => {
      await expect(loadPaliGemma(path, { backend })).rejects.toThrow(/paligemma\/no-config/);
    });
    await withFolder(["model.safetensors"], async (path) => {
      await expect(loadPaliGemma(path, { backend })).rejects.toThrow(/safetensors/);
    });
    await withFolder([], async (path) => {
      await using whole = await loadPaliGemma(path, { backend });
      await expect(whole.segment(picture(scenes[0]!), ["star"])).rejects.toThrow(/paligemma\/no-codec.*vae-oid\.npz/);
    });
  });

  it("with broken files say which", async () => {
    await withFolder(
      [],
      async (path) => {
        await expect(loadPaliGemma(path, { backend })).rejects.toThrow(/paligemma\/json.*config\.json/);
      },
      { "config.json": "{" },
    );
    await withFolder(
      [],
      async (path) => {
        await expect(loadPaliGemma(path, { backend })).rejects.toThrow(/paligemma\/mismatch.*224/);
      },
      { "preprocessor_config.json": JSON.stringify({ size: { height: 224, width: 224 }, image_seq_length: 64 }) },
    );
    await withFolder(
      [],
      async (path) => {
        await expect(loadPaliGemma(path, { backend })).rejects.toThrow(/model_type/);
      },
      { "config.json": JSON.stringify({ model_type: "llava" }) },
    );
  });
});
