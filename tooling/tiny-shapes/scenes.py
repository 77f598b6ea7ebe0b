"""Synthetic scenes of coloured shapes, and the PaliGemma-style (prefix, suffix) tasks asked of them.

A scene holds one to four shapes on a plain or graded background. Shapes never overlap and never share a column, so
"from left to right" is a total order and every task has exactly one right answer.
"""
import io
import math
import random
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

COLORS = {
    "red": (214, 40, 40), "green": (56, 158, 60), "blue": (40, 88, 214), "yellow": (240, 200, 30),
    "purple": (140, 60, 190), "orange": (245, 130, 20), "white": (250, 250, 250), "black": (15, 15, 15),
}
SHAPES = ["circle", "square", "triangle", "star"]
NUMBERS = ["zero", "one", "two", "three", "four", "five"]
MIN_COLUMN_GAP = 0.05   # of the width, between the centres of any two shapes
MIN_CONTRAST = 70       # largest channel difference between a shape and the mean background
MIN_LUMA_CONTRAST = 35  # what must be left of it in a grey picture


@dataclass
class Thing:
    shape: str
    color: str
    box: tuple        # (y0, x0, y1, x1) in [0, 1]
    mask: np.ndarray  # bool [H, W]


def polygon(shape, cx, cy, r, angle):
    n, start = {"square": (4, math.pi / 4), "triangle": (3, -math.pi / 2), "star": (10, -math.pi / 2)}[shape]
    points = []
    for i in range(n):
        radius = r if shape != "star" or i % 2 == 0 else r * 0.45
        a = start + angle + 2 * math.pi * i / n
        points.append((cx + radius * math.cos(a), cy + radius * math.sin(a)))
    return points


def background(rng, w, h, noise):
    kind = rng.randrange(3)
    a = np.array([rng.randrange(90, 236) for _ in range(3)], np.float32)
    if kind == 0:
        pixels = np.broadcast_to(a, (h, w, 3)).copy()
    else:
        b = np.clip(a + np.array([rng.randrange(-60, 61) for _ in range(3)], np.float32), 60, 245)
        t = np.linspace(0, 1, w, dtype=np.float32)[None, :, None] if kind == 1 else np.linspace(0, 1, h, dtype=np.float32)[:, None, None]
        pixels = np.broadcast_to(a + (b - a) * t, (h, w, 3)).copy()
    sigma = rng.choice(noise)
    if sigma:
        pixels += np.random.default_rng(rng.randrange(1 << 30)).normal(0, sigma, pixels.shape).astype(np.float32)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)), pixels.mean((0, 1))


def luma(rgb):
    return float(np.dot(rgb, (0.299, 0.587, 0.114)))


def scene(rng, size=None, count=None, grey=False, noise=(0, 3, 8)):
    """-> (PIL image, things from left to right). `grey` keeps only colours that still stand out without colour; `noise` are
    the standard deviations of the background to choose from, in grey levels."""
    w, h = size or (rng.randrange(160, 321), rng.randrange(160, 321))
    image, mean = background(rng, w, h, noise)
    visible = [c for c, v in COLORS.items() if np.abs(np.array(v) - mean).max() > MIN_CONTRAST
               and (not grey or abs(luma(v) - luma(mean)) > MIN_LUMA_CONTRAST)]
    things, taken = [], []
    for _ in range((count or rng.choice([1, 1, 2, 2, 2, 3, 3, 4])) if visible else 0):
        for _attempt in range(30):
            r = rng.uniform(0.12, 0.25) * min(w, h)
            cx, cy = rng.uniform(r + 1, w - r - 1), rng.uniform(r + 1, h - r - 1)
            apart = all((cx - x) ** 2 + (cy - y) ** 2 > (r + q) ** 2 * 1.05 and abs(cx - x) > MIN_COLUMN_GAP * w for x, y, q in taken)
            if apart:
                break
        else:
            continue
        shape, color = rng.choice(SHAPES), rng.choice(visible)
        stencil = Image.new("L", (w, h), 0)
        draw = ImageDraw.Draw(stencil)
        if shape == "circle":
            draw.ellipse((cx - r, cy - r, cx + r, cy + r), fill=255)
        else:
            draw.polygon(polygon(shape, cx, cy, r, 0 if shape == "star" else rng.uniform(-0.25, 0.25)), fill=255)
        image.paste(Image.new("RGB", (w, h), COLORS[color]), (0, 0), stencil)
        mask = np.asarray(stencil) > 127
        ys, xs = np.where(mask.any(1))[0], np.where(mask.any(0))[0]
        things.append(Thing(shape, color, (ys[0] / h, xs[0] / w, (ys[-1] + 1) / h, (xs[-1] + 1) / w), mask))
        taken.append((cx, cy, r))
    things.sort(key=lambda t: t.box[1] + t.box[3])
    return image.convert("L").convert("RGB") if grey else image, things


def weather(rng, image):
    """What pictures go through on their way to a model: some are JPEGs of modest quality."""
    if rng.random() < 0.25:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=rng.randrange(50, 96))
        image = Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")
    return image


LEVELS = 128  # coordinates snap to this many steps: finer than a pixel of the 112 px input, and quicker to learn than 1024


def locs(box):
    return "".join(f"<loc{round(round(v * LEVELS) / LEVELS * 1023):04d}>" for v in box)


def listing(parts):
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


KINDS = ["caption", "detect", "detect_color", "detect_multi", "segment", "count", "color", "exists"]
NEED_COLOR = {"caption", "detect_color", "color"}


def task(rng, things, codes, kind):
    """-> (prefix, suffix). `codes[i]` are the 16 mask codes of things[i]. `kind` is one of KINDS."""
    index = rng.randrange(len(things))
    pick = things[index]
    some_shape = lambda p: pick.shape if rng.random() < p else rng.choice(SHAPES)
    if kind == "caption":
        article = lambda c: "an" if c[0] in "aeiou" else "a"
        return "caption en", listing([f"{article(t.color)} {t.color} {t.shape}" for t in things])
    if kind == "detect":
        s = some_shape(0.85)
        return f"detect {s}", " ; ".join(f"{locs(t.box)} {s}" for t in things if t.shape == s)
    if kind == "detect_color":
        name = f"{pick.color} {pick.shape}"
        return f"detect {name}", " ; ".join(f"{locs(t.box)} {name}" for t in things if (t.color, t.shape) == (pick.color, pick.shape))
    if kind == "detect_multi":
        names = rng.sample(SHAPES, rng.choice([2, 2, 3, 4]))
        return "detect " + " ; ".join(names), " ; ".join(f"{locs(t.box)} {t.shape}" for t in things if t.shape in names)
    if kind == "segment" or kind == "segment_grey":
        by_color = kind == "segment" and rng.random() < 0.5
        name = f"{pick.color} {pick.shape}" if by_color else pick.shape
        hits = [(t, c) for t, c in zip(things, codes) if t.shape == pick.shape and (not by_color or t.color == pick.color)]
        return f"segment {name}", " ; ".join(locs(t.box) + "".join(f"<seg{k:03d}>" for k in c) + f" {name}" for t, c in hits)
    if kind == "count":
        if rng.random() < 0.25:
            return "answer en how many shapes are there?", NUMBERS[len(things)]
        s = some_shape(0.7)
        return f"answer en how many {s}s are there?", NUMBERS[sum(t.shape == s for t in things)]
    if kind == "color":
        once = [t for t in things if sum(o.shape == t.shape for o in things) == 1]
        if not once:
            return task(rng, things, codes, "count")
        t = rng.choice(once)
        return f"answer en what color is the {t.shape}?", t.color
    if kind == "exists":
        s = some_shape(0.5)
        return f"answer en is there a {s}?", "yes" if any(t.shape == s for t in things) else "no"
    raise ValueError(f"unknown kind of task {kind!r}; known: {KINDS}")


if __name__ == "__main__":
    sheet = Image.new("RGB", (960, 640))
    for i in range(6):
        image, things = scene(random.Random(i), grey=i == 5)
        print(image.size, [(t.shape, t.color) for t in things])
        for kind in KINDS:
            print("   ", task(random.Random(i), things, [[0] * 16] * len(things), kind))
        sheet.paste(image.resize((320, 320)), (320 * (i % 3), 320 * (i // 3)))
    sheet.save("sheet.png")
