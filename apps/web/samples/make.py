"""Draws the sample pictures of the page: `python samples/make.py` from apps/web. Needs Pillow 12.3 and numpy.

They are scenes of the kind the embedded model was taught (tooling/tiny-shapes/scenes.py), drawn large and made smaller for
smooth edges. Seeds were chosen for variety by eye.
"""
import pathlib
import random
import sys

from PIL import Image

here = pathlib.Path(__file__).parent
sys.path.insert(0, str(here.parents[2] / "tooling" / "tiny-shapes"))
from scenes import scene  # noqa: E402

SEEDS = [int(seed) for seed in sys.argv[1:]] or [133, 138, 135, 102]

for number, seed in enumerate(SEEDS, 1):
    image, things = scene(random.Random(seed), size=(1920, 1440), count=[2, 3, 4, 3][seed % 4], noise=(0,))
    path = here.parent / "public" / "samples" / f"{number}.png"
    path.parent.mkdir(exist_ok=True)
    image.resize((640, 480), Image.LANCZOS).save(path, optimize=True)
    print(path.name, seed, path.stat().st_size, [(t.color, t.shape) for t in things])
