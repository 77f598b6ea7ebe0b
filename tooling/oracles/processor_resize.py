"""Hashes of images resized by Pillow.

Writes packages/processor/test/fixtures/resize.json: inputs are formulas (computed again by the test), outputs the sha256
of the resized bytes, [height, width, channels].

    python tooling/oracles/processor_resize.py
"""

import hashlib
import json
import pathlib

import numpy as np
import PIL
from PIL import Image

OUT = pathlib.Path(__file__).parents[2] / "packages/processor/test/fixtures/resize.json"
KERNELS = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}
MODES = {1: "L", 3: "RGB", 4: "CMYK"}  # separate channels: Pillow resizes LA and RGBA premultiplied

# (width, height, channels, formula) -> (width, height)
SMALL = [
    ((1, 1, 3, "waves"), (5, 3)),
    ((1, 9, 3, "noise"), (4, 4)),
    ((9, 1, 3, "noise"), (4, 4)),
    ((1, 300, 1, "noise"), (1, 28)),
    ((300, 1, 1, "noise"), (28, 1)),
    ((2, 3, 3, "checks"), (7, 11)),
    ((5, 9, 3, "waves"), (28, 14)),
    ((40, 30, 3, "noise"), (28, 28)),
    ((31, 17, 4, "noise"), (16, 40)),
    ((64, 48, 3, "checks"), (224, 224)),
    ((333, 251, 3, "noise"), (224, 224)),
    ((224, 100, 3, "waves"), (224, 224)),
    ((100, 224, 3, "checks"), (224, 224)),
    ((448, 448, 1, "noise"), (224, 224)),
]
LARGE = [
    ((640, 480, 3, "noise"), (224, 224), KERNELS),
    ((640, 480, 3, "waves"), (448, 448), ("bicubic", "bilinear", "nearest")),
    ((223, 447, 3, "checks"), (896, 896), ("bicubic", "lanczos")),
    ((1920, 1080, 3, "noise"), (224, 224), ("bicubic", "bilinear", "lanczos")),
    ((4000, 3000, 3, "noise"), (224, 224), ("bicubic", "bilinear", "nearest")),
    ((4001, 3001, 1, "checks"), (448, 448), ("bicubic", "box")),
    ((3, 20000, 3, "noise"), (3, 7), ("bicubic", "hamming")),
    ((20000, 3, 3, "noise"), (7, 3), ("bicubic", "hamming")),
    ((224, 224, 3, "noise"), (224, 224), ("bicubic",)),
]


def pixels(width, height, channels, formula):
    if formula == "noise":  # a multiplicative hash of the position in memory
        i = np.arange(height * width * channels, dtype=np.uint64)
        return (((i * 2654435761) % 2**32) >> 13).astype(np.uint8).reshape(height, width, channels)
    r, c, k = np.meshgrid(np.arange(height), np.arange(width), np.arange(channels), indexing="ij")
    if formula == "waves":
        return ((37 * r + 101 * c + 59 * k + 7 * r * c) % 256).astype(np.uint8)
    return ((((r // 2) + (c // 3) + k) % 2) * 255).astype(np.uint8)  # checks: overshoot at every edge


def case(source, size, kernel):
    width, height, channels, formula = source
    data = pixels(*source)
    image = Image.frombytes(MODES[channels], (width, height), data.tobytes())
    out = image.resize(size, KERNELS[kernel]).tobytes()
    return {
        "width": width, "height": height, "channels": channels, "formula": formula,
        "to": {"width": size[0], "height": size[1]}, "resample": kernel,
        "sha256": hashlib.sha256(out).hexdigest(),
    }


def main():
    cases = [case(source, size, kernel) for source, size in SMALL for kernel in KERNELS]
    cases += [case(source, size, kernel) for source, size, kernels in LARGE for kernel in kernels]
    lines = ",\n".join(json.dumps(c) for c in cases)
    OUT.write_text(f'{{"pillow": "{PIL.__version__}", "cases": [\n{lines}\n]}}\n')
    print(f"{len(cases)} cases, Pillow {PIL.__version__}")


main()
