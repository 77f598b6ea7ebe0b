"""Puts a finished training into the package: `python export.py MODEL CODEC PACKAGE`.

Copies the saved checkpoint and its tokenizer, writes preprocessor_config.json, and the mask codec as float16 safetensors
(without the two arrays that only its training needs).
"""
import json
import os
import shutil
import sys

import numpy as np
from safetensors.numpy import save_file

from dataset import PATCH, SIZE

LIMIT = 8_000_000  # bytes: what the package may weigh


def main(model, codec, package):
    os.makedirs(package, exist_ok=True)
    for name in ("config.json", "generation_config.json", "model.safetensors"):
        shutil.copyfile(f"{model}/{name}", f"{package}/{name}")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(f"{os.path.dirname(model.rstrip('/'))}/{name}", f"{package}/{name}")
    arrays = np.load(codec)
    kept = {k: arrays[k].astype(np.float16) for k in arrays.files if "_ema_" not in k}
    save_file(kept, f"{package}/mask-codec.safetensors", metadata={"format": "vae-oid layout, float16"})
    preprocessor = {
        "image_processor_type": "SiglipImageProcessor", "processor_class": "PaliGemmaProcessor", "image_seq_length": (SIZE // PATCH) ** 2,
        "do_convert_rgb": True, "do_resize": True, "size": {"height": SIZE, "width": SIZE}, "resample": 3,
        "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
    }
    with open(f"{package}/preprocessor_config.json", "w") as file:
        file.write(json.dumps(preprocessor, indent=2) + "\n")
    total = sum(os.path.getsize(f"{package}/{f}") for f in os.listdir(package))
    print(f"{total:,} bytes of {LIMIT:,}")
    if total > LIMIT:
        raise SystemExit("the package is too big")


if __name__ == "__main__":
    main(*sys.argv[1:4])
