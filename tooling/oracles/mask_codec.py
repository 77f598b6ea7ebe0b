"""What PyTorch and Pillow make of mask codes and masks.

Writes packages/masks/test/fixtures/codec.json and codec.bin. The codec's weights are not in the fixture: both sides make
them from their names by the formula of `random_array`, so 8 MB of numbers are a rule of six lines. The network is written
here with torch.nn.functional alone, from the layout of vae-oid.npz; TypeScript computes transposed convolutions in four
phases, this does not.

    python tooling/oracles/mask_codec.py
"""

import json
import pathlib

import numpy as np
import PIL
import torch
import torch.nn.functional as F
from PIL import Image

OUT = pathlib.Path(__file__).parents[2] / "packages/masks/test/fixtures"
CODES, CELLS, SIDE = 128, 16, 64


def hash_name(name):
    """FNV-1a of the name's bytes, 32 bit."""
    h = 0x811C9DC5
    for byte in name.encode():
        h = ((h ^ byte) * 0x01000193) & 0xFFFFFFFF
    return h


def random_array(name, shape, scale):
    """Mulberry32 from the name's hash, mapped to ±scale."""
    count = int(np.prod(shape))
    with np.errstate(over="ignore"):
        state = np.uint32(hash_name(name)) + np.uint32(0x6D2B79F5) * np.arange(1, count + 1, dtype=np.uint32)
        t = (state ^ (state >> np.uint32(15))) * (state | np.uint32(1))
        t ^= t + (t ^ (t >> np.uint32(7))) * (t | np.uint32(61))
        bits = t ^ (t >> np.uint32(14))
    return ((bits / 2**32 * 2 - 1) * scale).astype(np.float32).reshape(shape)


def shapes():
    table = {"_vq_vae._embedding": (CODES, 512), "_vq_vae._ema_cluster_size": (CODES,), "_vq_vae._ema_w": (CODES, 512)}

    def conv(name, *weight, outputs):
        table[f"{name}.weight"], table[f"{name}.bias"] = weight, (outputs,)

    def residual(name):
        conv(f"{name}.net.0", 128, 128, 3, 3, outputs=128)
        conv(f"{name}.net.2", 128, 128, 3, 3, outputs=128)
        conv(f"{name}.net.4", 128, 128, 1, 1, outputs=128)

    conv("decoder.0", 128, 512, 1, 1, outputs=128)
    residual("decoder.2"), residual("decoder.3")
    for index, i, o in [(4, 128, 128), (6, 128, 64), (8, 64, 32), (10, 32, 16)]:
        conv(f"decoder.{index}", i, o, 4, 4, outputs=o)
    conv("decoder.12", 1, 16, 1, 1, outputs=1)
    for index, i, o in [(0, 1, 16), (2, 16, 32), (4, 32, 64), (6, 64, 128)]:
        conv(f"encoder.{index}", o, i, 4, 4, outputs=o)
    residual("encoder.8"), residual("encoder.9")
    conv("encoder.10", 512, 128, 1, 1, outputs=512)
    return table


def scale_of(name, shape):
    """Keeps signals near 1: sqrt(4 / inputs of one output); biases 0.1, codes 1."""
    if name.startswith("_vq_vae"):
        return 1.0
    if name.endswith(".bias"):
        return 0.1
    transposed = name.split(".")[0] == "decoder" and len(shape) == 4 and shape[2] == 4
    inputs = shape[0] * 4 if transposed else shape[1] * shape[2] * shape[3]
    return float(np.sqrt(4 / inputs))


def weights():
    return {n: torch.from_numpy(random_array(n, s, scale_of(n, s))) for n, s in shapes().items()}


def residual(x, w, name):
    y = F.relu(F.conv2d(x, w[f"{name}.net.0.weight"], w[f"{name}.net.0.bias"], padding=1))
    y = F.relu(F.conv2d(y, w[f"{name}.net.2.weight"], w[f"{name}.net.2.bias"], padding=1))
    return x + F.conv2d(y, w[f"{name}.net.4.weight"], w[f"{name}.net.4.bias"])


def decode(w, codes):
    x = w["_vq_vae._embedding"][codes].reshape(-1, 4, 4, 512).permute(0, 3, 1, 2)
    x = F.relu(F.conv2d(x, w["decoder.0.weight"], w["decoder.0.bias"]))
    x = residual(residual(x, w, "decoder.2"), w, "decoder.3")
    for i in (4, 6, 8, 10):
        x = F.relu(F.conv_transpose2d(x, w[f"decoder.{i}.weight"], w[f"decoder.{i}.bias"], stride=2, padding=1))
    return F.conv2d(x, w["decoder.12.weight"], w["decoder.12.bias"])[:, 0]


def encode(w, rasters):
    x = rasters[:, None]
    for i in (0, 2, 4, 6):
        x = F.relu(F.conv2d(x, w[f"encoder.{i}.weight"], w[f"encoder.{i}.bias"], stride=2, padding=1))
    x = residual(residual(x, w, "encoder.8"), w, "encoder.9")
    z = F.conv2d(x, w["encoder.10.weight"], w["encoder.10.bias"]).permute(0, 2, 3, 1).reshape(-1, 512)
    book = w["_vq_vae._embedding"].double()
    distances = ((z.double()[:, None] - book[None]) ** 2).sum(-1)
    two = distances.topk(2, largest=False).values
    return z, distances.argmin(1), (two[:, 1] - two[:, 0]).min().item()


def discs(count):
    """Ellipses of growing size and offset, ±1, in float64 arithmetic that any language repeats exactly."""
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float64)
    make = lambda k: ((x - 20 - 3 * k) / (8 + 3 * k)) ** 2 + ((y - 40 + 2 * k) / (20 - k)) ** 2 < 1
    return np.stack([np.where(make(k), 1, -1) for k in range(count)]).astype(np.float32)


def placed(raster, box, size, semantics):
    """The reference evaluator's and the demo's mask of the whole image."""
    (y0, x0, y1, x1), (width, height) = box, size
    snap = int if semantics == "evaluator" else round
    left, top, right, bottom = snap(x0 * width), snap(y0 * height), snap(x1 * width), snap(y1 * height)
    whole = np.zeros((height, width), np.float32)
    if right <= left or bottom <= top:
        return whole
    if semantics == "evaluator":
        whole[top:bottom, left:right] = np.asarray(Image.fromarray(raster).resize((right - left, bottom - top), Image.BILINEAR)) > 0
    else:
        small = (np.clip(0.5 * raster + 0.5, 0, 1) * 255).astype(np.uint8)
        whole[top:bottom, left:right] = np.asarray(Image.fromarray(small).resize((right - left, bottom - top))) / np.float32(255)
    return whole


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    w = weights()
    codes = torch.from_numpy((np.arange(9 * CELLS) * 37 + np.arange(9 * CELLS) // 16 * 5) % CODES).reshape(9, CELLS)
    with torch.no_grad():
        decoded = decode(w, codes).numpy()
        features, nearest, margin = encode(w, torch.from_numpy(discs(9)))
    boxes = [(0.1, 0.2, 0.7, 0.65), (0.0, 0.0, 1.0, 1.0), (0.31, 0.3, 0.34, 0.9), (0.5, 0.5, 0.4, 0.9), (0.25, 0.125, 0.875, 0.3)]
    sizes = [(120, 90), (37, 53), (300, 41), (64, 64), (640, 12)]
    places = []
    blob = []
    for box, size in zip(boxes, sizes):
        for semantics in ("evaluator", "demo"):
            mask = placed(decoded[1], box, size, semantics)
            places.append(dict(box=box, size=size, semantics=semantics, area=float(mask.sum(dtype=np.float64)),
                               offset=sum(map(len, blob)), length=mask.size))  # fmt: skip
            blob.append(np.round(mask * 255).astype(np.uint8).tobytes())
    images = b"".join(blob)
    floats = np.concatenate([decoded[0].ravel(), decoded[8].ravel(), features[: 2 * CELLS].numpy().ravel()]).astype("<f4")
    (OUT / "codec.bin").write_bytes(floats.tobytes() + images)
    (OUT / "codec.json").write_text(json.dumps(dict(
        versions=dict(torch=torch.__version__, numpy=np.__version__, pillow=PIL.__version__),
        script="tooling/oracles/mask_codec.py",
        codes=codes.tolist(), decodedSums=decoded.sum((1, 2), dtype=np.float64).tolist(), decodedLargest=float(np.abs(decoded).max()),
        nearest=nearest.reshape(9, CELLS).tolist(), nearestMargin=margin,
        floats=dict(decodedFirst=[0, 4096], decodedLast=[4096, 8192], features=[8192, 8192 + 2 * CELLS * 512]),
        imagesAt=floats.nbytes, places=places,
    ), indent=1) + "\n")  # fmt: skip
    print("largest", np.abs(decoded).max(), "features", features.abs().max(), "margin", margin, "bytes", (OUT / "codec.bin").stat().st_size)


main()
