"""Small image files of every encoding that is read, and the pixels that Pillow reads from them.

Writes packages/processor/test/fixtures/decode/*: the files, and expected.json with Pillow's mode, the size, the sha256 of
`exif_transpose(open(file)).convert("RGB")`, and for AVIF the bytes themselves (its decoders differ in chroma).

    python tooling/oracles/processor_decode.py
"""

import base64
import hashlib
import io
import json
import pathlib
import struct
import warnings
import zlib

import numpy as np
import PIL
from PIL import Image, ImageCms, ImageOps, features

OUT = pathlib.Path(__file__).parents[2] / "packages/processor/test/fixtures/decode"
H, W = 23, 37
warnings.simplefilter("ignore")


def png(array, color_type, bits, palette=None, transparent=None, gamma=None, interlace=0):
    """A PNG of a colour type and depth that Pillow itself does not write."""
    height, width = array.shape[:2]
    flat = array.reshape(height, -1)
    if bits == 16:
        rows = [row.astype(">u2").tobytes() for row in flat]
    else:
        rows = [np.packbits((row[:, None] >> np.arange(bits)[::-1] & 1).astype(np.uint8).ravel()).tobytes() for row in flat]

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color_type, 0, 0, interlace))
    if gamma:
        out += chunk(b"gAMA", struct.pack(">I", gamma))
    if palette is not None:
        out += chunk(b"PLTE", palette.astype(np.uint8).tobytes())
    if transparent is not None:
        out += chunk(b"tRNS", transparent)
    return out + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))) + chunk(b"IEND", b"")


def swapped_profile():
    """An sRGB profile with red and green exchanged: its colours cannot be mistaken for unmanaged ones."""
    data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return data.replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")


def files():
    rng = np.random.default_rng(20261123)
    r, c, k = np.meshgrid(np.arange(H), np.arange(W), np.arange(4), indexing="ij")
    base = ((3 * r + 5 * c + 59 * k + (r * c) // 7) % 256).astype(np.uint8)
    rgb = Image.fromarray(np.ascontiguousarray(base[..., :3]))
    grey = Image.fromarray(np.ascontiguousarray(base[..., 0]))
    rgba = Image.fromarray(base)
    la = Image.merge("LA", [grey, Image.fromarray(np.ascontiguousarray(base[..., 3]))])
    cmyk = Image.frombytes("CMYK", (W, H), base.tobytes())
    grey16 = Image.fromarray(rng.integers(0, 65536, (H, W)).astype(np.uint16))
    dim16 = Image.fromarray(base[..., 0].astype(np.uint16))
    palette = rgb.quantize(16)

    def save(image, kind, **options):
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        return buffer.getvalue()

    yield "baseline-420.jpg", save(rgb, "JPEG", quality=90, subsampling=2)
    yield "baseline-422.jpg", save(rgb, "JPEG", quality=90, subsampling=1)
    yield "baseline-444.jpg", save(rgb, "JPEG", quality=90, subsampling=0)
    yield "progressive-420.jpg", save(rgb, "JPEG", progressive=True, subsampling=2)
    yield "progressive-444.jpg", save(rgb, "JPEG", progressive=True, subsampling=0)
    yield "low-quality.jpg", save(rgb, "JPEG", quality=5)
    yield "restart.jpg", save(rgb, "JPEG", restart_marker_blocks=2)
    yield "grey.jpg", save(grey, "JPEG")
    yield "grey-progressive.jpg", save(grey, "JPEG", progressive=True)
    yield "rgb-stored.jpg", save(rgb, "JPEG", keep_rgb=True)
    yield "cmyk.jpg", save(cmyk, "JPEG", quality=95)
    yield "cmyk-progressive.jpg", save(cmyk, "JPEG", quality=60, progressive=True)
    yield "icc.jpg", save(rgb, "JPEG", quality=95, subsampling=0, icc_profile=swapped_profile())
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x112] = orientation
        yield f"exif-{orientation}.jpg", save(rgb, "JPEG", quality=80, exif=exif)
    exif = Image.Exif()
    exif[0x112] = 6
    yield "exif-6.png", save(rgb, "PNG", exif=exif)
    yield "exif-6.webp", save(rgb, "WEBP", exif=exif, lossless=True)
    yield "exif-8.tif", save(rgb, "TIFF", exif=exif)
    yield "rgb.png", save(rgb, "PNG")
    yield "rgba.png", save(rgba, "PNG")
    yield "grey.png", save(grey, "PNG")
    yield "grey-alpha.png", save(la, "PNG")
    yield "bilevel.png", save(grey.convert("1"), "PNG")
    yield "palette.png", save(palette, "PNG")
    yield "palette-transparent.png", save(palette, "PNG", transparency=3)
    yield "palette-alpha.png", save(palette, "PNG", transparency=bytes([0, 128, 255, 10]))
    yield "icc.png", save(rgb, "PNG", icc_profile=swapped_profile())
    for bits in (1, 2, 4):
        yield f"grey-{bits}.png", png(rng.integers(0, 2**bits, (H, W)), 0, bits)
        yield f"palette-{bits}.png", png(rng.integers(0, 2**bits, (H, W)), 3, bits, palette=rng.integers(0, 256, (2**bits, 3)))
    yield "grey-transparent.png", png(rng.integers(0, 4, (H, W)), 0, 8, transparent=struct.pack(">H", 2))
    yield "rgb-transparent.png", png(rng.integers(0, 2, (H, W, 3)), 2, 8, transparent=struct.pack(">HHH", 1, 1, 1))
    yield "gamma.png", png(rng.integers(0, 256, (H, W, 3)), 2, 8, gamma=100000)
    yield "grey-16.png", save(grey16, "PNG")
    yield "grey-16-dim.png", save(dim16, "PNG")
    yield "grey-16-transparent.png", png(rng.integers(0, 65536, (H, W)), 0, 16, transparent=struct.pack(">H", 2))
    yield "rgb-16.png", png(rng.integers(0, 65536, (H, W, 3)), 2, 16)
    yield "grey-alpha-16.png", png(rng.integers(0, 65536, (H, W, 2)), 4, 16)
    yield "rgba-16.png", png(rng.integers(0, 65536, (H, W, 4)), 6, 16)
    yield "lossy.webp", save(rgb, "WEBP", quality=80)
    yield "lossless.webp", save(rgb, "WEBP", lossless=True)
    yield "lossy-alpha.webp", save(rgba, "WEBP", quality=80)
    yield "lossless-alpha.webp", save(rgba, "WEBP", lossless=True)
    yield "animated.webp", save(rgb, "WEBP", save_all=True, append_images=[rgb.rotate(180)], lossless=True)
    yield "palette.gif", save(palette, "GIF")
    yield "transparent.gif", save(palette, "GIF", transparency=3)
    yield "animated.gif", save(palette, "GIF", save_all=True, append_images=[palette.rotate(180)], transparency=5)
    yield "interlaced.gif", save(palette, "GIF", interlace=True)
    yield "rgb.tif", save(rgb, "TIFF")
    yield "lzw.tif", save(rgb, "TIFF", compression="tiff_lzw")
    yield "deflate.tif", save(rgb, "TIFF", compression="tiff_adobe_deflate")
    yield "jpeg.tif", save(rgb, "TIFF", compression="jpeg")
    yield "grey.tif", save(grey, "TIFF")
    yield "bilevel.tif", save(grey.convert("1"), "TIFF", compression="group4")
    yield "rgba.tif", save(rgba, "TIFF")
    yield "cmyk.tif", save(cmyk, "TIFF")
    yield "grey-16.tif", save(grey16, "TIFF")
    yield "float.tif", save(Image.fromarray(rng.random((H, W), dtype=np.float32) * 300), "TIFF")
    yield "int-32.tif", save(Image.fromarray(rng.integers(0, 500, (H, W)).astype(np.int32)), "TIFF")
    yield "lossy-420.avif", save(rgb, "AVIF", quality=80)
    yield "lossy-444.avif", save(rgb, "AVIF", quality=100, subsampling="4:4:4")


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    expected = {}
    for name, data in files():
        (OUT / name).write_bytes(data)
        opened = Image.open(io.BytesIO(data))
        image = ImageOps.exif_transpose(opened).convert("RGB")
        pixels = image.tobytes()
        expected[name] = {"mode": opened.mode, "width": image.width, "height": image.height, "sha256": hashlib.sha256(pixels).hexdigest()}
        if name.endswith(".avif"):
            expected[name]["pixels"] = base64.b64encode(pixels).decode()
        if name == "icc.jpg":
            profile = ImageCms.ImageCmsProfile(io.BytesIO(opened.info["icc_profile"]))
            managed = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"))
            expected[name]["managed"] = base64.b64encode(managed.tobytes()).decode()
    versions = {"pillow": PIL.__version__, **{f: features.version(f) for f in ("libjpeg_turbo", "webp", "libtiff", "zlib", "avif")}}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in expected.items())
    (OUT / "expected.json").write_text(f'{{"versions": {json.dumps(versions)}, "seed": 20261123, "files": {{\n{lines}\n}}}}\n')
    print(f"{len(expected)} files, {versions}")


main()
