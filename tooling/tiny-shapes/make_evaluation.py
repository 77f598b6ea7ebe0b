"""Draws the evaluation set: `python make_evaluation.py OUT`. 200 scenes that training never saw, as PNG, with truth.json.

Each scene comes with one question of every kind; tasks.jsonl has them all, as `paligemma eval` reads them. Masks are COCO run lengths (column by column, background first).
"""
import json
import os
import random
import sys

import numpy as np

import mask_codec
from scenes import KINDS, scene, task

SCENES = 200
SEED = 7_000_000  # training shards use seeds from 1,000,000 on, its own check 99


def run_lengths(mask):
    flat = mask.T.reshape(-1)
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return [0] + counts if flat[0] else counts


def main(out):
    os.makedirs(out, exist_ok=True)
    codec = mask_codec.load(os.environ.get("CODEC", "build/vae-shapes.npz"))
    truth = []
    for n in range(SCENES):
        rng = random.Random(SEED + n)
        # Every third scene is square; the others are anything up to two to one, either way.
        side = rng.randrange(112, 225)
        size = (side, side) if n % 3 == 0 else (side, round(side * rng.uniform(0.5, 2)))
        things = []
        while not things:
            image, things = scene(rng, size=size, noise=(0, 0, 0, 3))
        codes = mask_codec.encode(codec, np.stack([mask_codec.crop64(t.mask, t.box) for t in things])).tolist()
        name = f"{n:03d}.png"
        image.save(f"{out}/{name}", optimize=True)
        truth.append({
            "file": name, "width": size[0], "height": size[1],
            "things": [{"shape": t.shape, "color": t.color, "box": [round(float(v), 6) for v in t.box], "mask": run_lengths(t.mask)} for t in things],
            "tasks": [dict(zip(("kind", "prefix", "suffix"), (kind, *task(rng, things, codes, kind)))) for kind in KINDS],
        })
    with open(f"{out}/truth.json", "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(t) for t in truth) + "\n]\n")
    with open(f"{out}/tasks.jsonl", "w") as file:
        for t in truth:
            for asked in t["tasks"]:
                file.write(json.dumps(dict(image=t["file"], prefix=asked["prefix"], suffix=asked["suffix"])) + "\n")
    print(f"{SCENES} scenes, {sum(t['width'] != t['height'] for t in truth)} not square, {sum(len(t['things']) for t in truth)} shapes")


if __name__ == "__main__":
    main(sys.argv[1])
