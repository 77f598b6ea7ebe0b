"""What pycocotools makes of masks and polygons: run lengths, packed strings, areas, overlaps.

Writes packages/masks/test/fixtures/shapes.json. Masks are given as packed run lengths, polygons as corners.

    python tooling/oracles/mask_shapes.py
"""

import importlib.metadata
import json
import pathlib

import numpy as np
from pycocotools import mask as coco

OUT = pathlib.Path(__file__).parents[2] / "packages/masks/test/fixtures"
SEED = 11


def masks(rng):
    for height, width in [(1, 1), (1, 9), (7, 1), (5, 6), (33, 20), (64, 64), (101, 37)]:
        yield np.zeros((height, width), np.uint8)
        yield np.ones((height, width), np.uint8)
        yield (rng.random((height, width)) < 0.5).astype(np.uint8)
        y, x = np.mgrid[0:height, 0:width]
        yield (((x - width / 2) ** 2 / (width / 3) ** 2 + (y - height / 2) ** 2 / (height / 2.5) ** 2) < 1).astype(np.uint8)
    wide = np.zeros((60, 150), np.uint8)
    wide[5:58, 10:140] = 1
    wide[20:30, 40:120] = 0
    yield wide


def polygons(rng):
    yield [0, 0, 10, 0, 10, 10, 0, 10]
    yield [2.5, 1.25, 30.75, 4.5, 20.2, 28.9]
    yield [-5, -5, 60, 10, 70, 70, -3, 40]
    yield [5, 5, 5, 5, 20, 5, 20, 20, 5, 20]
    for corners in (3, 4, 7, 15, 40):
        for _ in range(6):
            angle = np.sort(rng.random(corners)) * 2 * np.pi
            radius = 5 + rng.random(corners) * 22
            yield np.round(np.stack([24 + radius * np.cos(angle), 20 + radius * np.sin(angle)], 1).ravel(), 3).tolist()
    for _ in range(6):
        yield np.round(rng.random(12) * 48, 2).tolist()


def packed(mask):
    rle = coco.encode(np.asfortranarray(mask))
    return dict(size=rle["size"], counts=rle["counts"].decode())


def main():
    rng = np.random.default_rng(SEED)
    encoded = []
    for mask in masks(rng):
        rle = packed(mask)
        box = coco.toBbox(coco.encode(np.asfortranarray(mask))).tolist()
        encoded.append(dict(rows=["".join(map(str, row)) for row in mask], **rle, area=int(mask.sum()), box=box))
    filled = []
    for polygon in polygons(rng):
        rle = coco.frPyObjects([polygon], 41, 48)[0]
        filled.append(dict(polygon=polygon, counts=rle["counts"].decode(), area=int(coco.area(rle))))
    pairs = []
    for _ in range(12):
        a, b = (rng.random((19, 23)) < rng.random()).astype(np.uint8), (rng.random((19, 23)) < rng.random()).astype(np.uint8)
        iou = coco.iou([packed(a)], [packed(b)], [0])
        pairs.append(dict(a=packed(a)["counts"], b=packed(b)["counts"], iou=float(iou[0][0]) if len(iou) else 0.0))
    (OUT / "shapes.json").write_text(json.dumps(dict(
        versions=dict(pycocotools=importlib.metadata.version("pycocotools"), numpy=np.__version__), seed=SEED,
        script="tooling/oracles/mask_shapes.py", encoded=encoded, polygonSize=[41, 48], filled=filled, pairSize=[19, 23], pairs=pairs,
    )) + "\n")  # fmt: skip


main()
