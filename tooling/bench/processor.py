"""Hugging Face's two image processors (Pillow with numpy; torchvision, where it is installed) on the pictures that processor.mjs made.

    python tooling/bench/processor.py <folder> <rounds>     (prints JSON: medians in ms)
"""

import io
import json
import pathlib
import sys
import time

from PIL import Image
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.utils import is_torchvision_available

folder, rounds = pathlib.Path(sys.argv[1]), int(sys.argv[2])
CASES = [(640, 480, 224), (640, 480, 448), (1920, 1080, 224), (4000, 3000, 224), (4000, 3000, 448)]


def median(task):
    times = []
    for _ in range(rounds + 3):
        since = time.perf_counter()
        task()
        times.append((time.perf_counter() - since) * 1000)
    return sorted(times[3:])[rounds // 2]


torchvision_processor = None
if is_torchvision_available():
    import torch
    from transformers.models.siglip.image_processing_siglip import SiglipImageProcessor

    torch.set_num_threads(1)  # as every other competitor here
    torchvision_processor = SiglipImageProcessor

out = {}
for width, height, size in CASES:
    jpeg = (folder / f"{width}x{height}.jpg").read_bytes()
    processor = SiglipImageProcessorPil(size={"height": size, "width": size})
    decoded = Image.open(io.BytesIO(jpeg)).convert("RGB")
    out[f"{width}x{height}-{size}"] = {
        "endToEnd": median(lambda: processor(Image.open(io.BytesIO(jpeg)), return_tensors="np")),
        "resize": median(lambda: decoded.resize((size, size), Image.Resampling.BICUBIC)),
    }
    if torchvision_processor:
        tensors = torchvision_processor(size={"height": size, "width": size})
        out[f"{width}x{height}-{size}"]["torchvision"] = median(
            lambda: tensors(Image.open(io.BytesIO(jpeg)), return_tensors="pt")
        )
print(json.dumps(out))
