"""Draws scenes ahead of training, in shards: `python dataset.py OUT SHARDS`. A shard that exists is kept, so a killed run goes on.

A shard is an .npz of 2,000 scenes: pixels already at the model's size, and what is in them.
"""
import os
import random
import sys

import numpy as np
import torch
from PIL import Image

import mask_codec
from scenes import COLORS, SHAPES, Thing, scene, weather

SIZE, PATCH = 112, 14
GRID = SIZE // PATCH
PER_SHARD, MOST = 2000, 4
GREY_SHARE = 0.06
COLOR_NAMES = list(COLORS)


def owners(things):
    """Which thing each of the 8 x 8 patches shows, -1 for none; a thing must cover a tenth of the patch."""
    if not things:
        return np.full(GRID * GRID, -1, np.int8)
    cover = np.stack([np.asarray(Image.fromarray(t.mask.astype(np.uint8) * 255).resize((GRID, GRID), Image.BOX), np.float32) / 255 for t in things])
    best = cover.argmax(0)
    return np.where(cover.max(0) > 0.1, best, -1).astype(np.int8).reshape(-1)


def draw_shard(path, seed, codec, count=PER_SHARD):
    rng = random.Random(seed)
    pixels = np.zeros((count, SIZE, SIZE, 3), np.uint8)
    number, grey = np.zeros(count, np.int64), np.zeros(count, bool)
    shape, color = np.zeros((count, MOST), np.int8), np.zeros((count, MOST), np.int8)
    box, patch = np.zeros((count, MOST, 4), np.float32), np.zeros((count, GRID * GRID), np.int8)
    crops, i = [], 0
    while i < count:
        grey[i] = rng.random() < GREY_SHARE
        image, things = scene(rng, grey=bool(grey[i]))
        if not things:
            continue
        pixels[i] = np.asarray(weather(rng, image).resize((SIZE, SIZE), Image.BICUBIC))
        number[i], patch[i] = len(things), owners(things)
        for j, t in enumerate(things):
            shape[i, j], color[i, j], box[i, j] = SHAPES.index(t.shape), COLOR_NAMES.index(t.color), t.box
            crops.append(mask_codec.crop64(t.mask, t.box))
        i += 1
    codes = np.zeros((count, MOST, 16), np.uint8)
    flat = mask_codec.encode(codec, np.stack(crops))
    k = 0
    for i in range(count):
        codes[i, : number[i]] = flat[k : k + number[i]]
        k += number[i]
    np.savez(path + ".part.npz", pixels=pixels, number=number, grey=grey, shape=shape, color=color, box=box, patch=patch, codes=codes)
    os.replace(path + ".part.npz", path)


def things_of(shard, i):
    return [Thing(SHAPES[shard["shape"][i, j]], COLOR_NAMES[shard["color"][i, j]], tuple(shard["box"][i, j].tolist()), None) for j in range(shard["number"][i])]


if __name__ == "__main__":
    out, shards = sys.argv[1], int(sys.argv[2])
    first, step = (int(sys.argv[3]), int(sys.argv[4])) if len(sys.argv) > 4 else (0, 1)
    os.makedirs(out, exist_ok=True)
    torch.set_num_threads(1)
    codec = mask_codec.load(os.environ.get("CODEC", "build/vae-shapes.npz"))
    for n in range(first, shards, step):
        path = f"{out}/{n:03d}.npz"
        if not os.path.exists(path):
            draw_shard(path, 1_000_000 + n, codec)
            print("drew", path, flush=True)
