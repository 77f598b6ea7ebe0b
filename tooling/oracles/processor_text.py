"""Ids and texts of Hugging Face's tokenizer and processor, on the tokenizer in packages/processor/test/fixtures.

Writes packages/processor/test/fixtures/tokenizer/oracle.json (encodings of fixed and random texts, decodings of random
ids, each for two tokenizers: as released checkpoints have it, and with their no-op pre-tokenizer) and
packages/processor/test/fixtures/processor.json (calls of `PaliGemmaProcessor` with the PIL image processor).

    python tooling/oracles/processor_text.py
"""

import hashlib
import json
import pathlib
import random
import sys
import tempfile
import warnings

import numpy as np
import PIL
import tokenizers
import transformers
from PIL import Image
from tokenizers import AddedToken, Tokenizer
from transformers import AutoTokenizer, PaliGemmaProcessor
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

sys.path.insert(0, str(pathlib.Path(__file__).parent))
FIXTURES = pathlib.Path(__file__).parents[2] / "packages/processor/test/fixtures"
SEED = 20261123
VERSIONS = {"transformers": transformers.__version__, "tokenizers": tokenizers.__version__, "pillow": PIL.__version__, "seed": SEED}
EXTRA = [f"<loc{i:0>4}>" for i in range(1024)] + [f"<seg{i:0>3}>" for i in range(128)]
warnings.simplefilter("ignore")
transformers.logging.set_verbosity_error()

FIXED = [
    "", " ", "  ", "   ", "a", " a", "a ", "\n", "\n\n", "\n\n\n", "\n" * 9, "a\n", "\na", "a \n b", "\t", "\r\n",
    "detect red circle ; blue square", "caption en", "answer en where is the green star?", "segment triangle\n",
    "<loc0000><loc0512><loc1023><loc0007> red circle", "<loc0000> <loc0001>", "<loc0000", "loc0000>", "<loc1024>", "<loc00001>",
    "<seg000><seg127><seg128>", "<seg0001>", "<<loc0001>>", "<loc<loc0001>0002>", "<image>", "a<image>b", "<bos>", "<eos>a<pad>", "<mask><unk>",
    "<0x0A>", "<0xe2>", "▁", "▁▁a", "a▁b", "é", "e\u0301", "日本語", "こんにちは world", "🙂", "👩‍👩‍👧", "\u00a0", "\u3000", "\ufeff", "a\ufeffb", "\u0000", "\u200b",
    "ﬁ", "Ⅳ", "İ", "ß", "A" * 50, "ab" * 40, " " * 33, "red" * 30, "circle " * 12, "�", "\U0010ffff", "𝒳",
]


def random_texts(rng, count):
    words = ["red", "circle", "square", "the", "detect", " ", "  ", "\n", "\n\n", ";", " ; ", "<loc0007>", "<loc1023>", "<seg005>", "<loc", "<", ">",
             "<image>", "<eos>", "▁", "é", "日", "🙂", "\ufeff", "\t", "0", "7", "QZ", "<0x41>", "star", "ingly", "\u0301"]
    for _ in range(count):
        yield "".join(rng.choice(words) for _ in range(rng.randrange(1, 14)))
    for _ in range(count):
        yield "".join(chr(rng.choice([rng.randrange(32, 127), rng.randrange(0xA0, 0x500), rng.randrange(0x4E00, 0x4F00), rng.randrange(0x1F600, 0x1F640), 10, 32])) for _ in range(rng.randrange(1, 24)))


def prepared(json_text):
    """What the constructor of PaliGemmaProcessor does to a tokenizer."""
    tokenizer = Tokenizer.from_str(json_text)
    tokenizer.add_special_tokens([AddedToken("<image>", normalized=False, special=True)])
    tokenizer.add_tokens(EXTRA)
    return tokenizer


def tokenizer_oracle():
    source = json.loads((FIXTURES / "tokenizer/tokenizer.json").read_text())
    split = {**source, "pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}}
    texts = FIXED + list(random_texts(random.Random(SEED), 150))
    out = {"versions": VERSIONS, "cases": [], "decodings": []}
    plain, pre = prepared(json.dumps(source)), prepared(json.dumps(split))
    for text in texts:
        ids = plain.encode(text, add_special_tokens=False).ids
        assert ids == pre.encode(text, add_special_tokens=False).ids, text
        out["cases"].append([text, ids, plain.decode(ids, skip_special_tokens=False), plain.decode(ids, skip_special_tokens=True)])
    rng = random.Random(SEED + 1)
    size = plain.get_vocab_size()
    byte_ids = [plain.token_to_id(f"<0x{b:02X}>") for b in range(256)]
    some_bytes = [plain.token_to_id(f"<0x{b:02X}>") for b in (0xE2, 0x96, 0x81, 0xEF, 0xBB, 0xBF, 0xF0, 0x9F, 0x99, 0x82, 0x41, 0x0A, 0xC3, 0xA9)]
    for i in range(200):
        pool = [range(size), byte_ids, some_bytes, list(range(12)) + some_bytes][i % 4]
        ids = [rng.choice(pool) for _ in range(rng.randrange(1, 12))]
        out["decodings"].append([ids, plain.decode(ids, skip_special_tokens=False), plain.decode(ids, skip_special_tokens=True)])
    write(FIXTURES / "tokenizer/oracle.json", out)
    print(f"{len(texts)} texts, {len(out['decodings'])} decodings, {VERSIONS}")


def image(width, height, mode="RGB"):
    r, c, k = np.meshgrid(np.arange(height), np.arange(width), np.arange(4), indexing="ij")
    data = ((37 * r + 101 * c + 59 * k + 7 * r * c) % 256).astype(np.uint8)
    if mode == "RGB":
        return Image.fromarray(np.ascontiguousarray(data[..., :3]))
    if mode == "L":
        return Image.fromarray(np.ascontiguousarray(data[..., 0]))
    return Image.fromarray(data, mode)


# Each call: images as [width, height, mode] (flat or nested), then keyword arguments as Hugging Face spells them.
A, B, C = [40, 30, "RGB"], [17, 61, "RGB"], [33, 20, "L"]
CALLS = [
    ("one image", [A], ["detect star"], {}),
    ("marker", [A], ["<image>detect star"], {}),
    ("empty prompt", [A], [""], {}),
    ("two images in front", [[A, B]], ["which is red"], {}),
    ("two markers", [A, B], ["<image><image>which is red"], {}),
    ("marker in the middle", [A], ["red <image> square"], {}),
    ("marker at the end", [A], ["red<image>"], {}),
    ("markers apart", [A, B], ["first <image> then <image> now"], {}),
    ("batch, left padded", [A, B], ["detect red star", "a"], {"padding": True}),
    ("batch, right padded", [A, B], ["detect red star", "a"], {"padding": True, "padding_side": "right"}),
    ("batch of markers", [A, B, C], ["<image>red", "<image><image>blue circle"], {"padding": True}),
    ("suffix", [A], ["detect star"], {"suffix": ["<loc0001><loc0002><loc0300><loc0400> star"]}),
    ("empty suffix", [A], ["detect star"], {"suffix": [""]}),
    ("suffixes, left padded", [A, B], ["detect star", "caption en"], {"suffix": ["no", "a red circle and a blue square"], "padding": True}),
    ("suffixes, right padded", [A, B], ["detect star", "caption en"], {"suffix": ["no", "a red circle"], "padding": True, "padding_side": "right"}),
    ("max_length", [A], ["detect star"], {"padding": "max_length", "max_length": 19}),
    ("multiple of", [A], ["detect star"], {"padding": True, "pad_to_multiple_of": 8}),
    ("max_length and multiple of", [A], ["detect star"], {"padding": "max_length", "max_length": 19, "pad_to_multiple_of": 8}),
    ("suffix cut", [A], ["caption en"], {"suffix": ["a red circle and a blue square"], "truncation": "only_second", "max_length": 14}),
    ("suffix cut, longest first", [A], ["a"], {"suffix": ["a red circle and a blue square and a green star and so on"], "truncation": True, "max_length": 18}),
    ("suffix cut, padded", [A, B], ["caption en", "a"], {"suffix": ["a red circle and a blue square", "x"], "truncation": "only_second", "max_length": 14, "padding": "max_length"}),
    ("newline at the end", [A], ["detect star\n"], {}),
    ("bos written", [A], ["<image><bos>detect star"], {}),
    ("loc in the prompt", [A], ["describe <loc0100><loc0200><loc0300><loc0400>"], {}),
    ("grey image", [C], ["a"], {}),
    ("rgba image", [[40, 30, "RGBA"]], ["a"], {"_one": True}),
    ("cmyk image", [[40, 30, "CMYK"]], ["a"], {"_one": True}),
    ("size", [A], ["a"], {"size": {"height": 14, "width": 42}}),
    ("bilinear", [B], ["a"], {"resample": 2}),
    ("lanczos", [B], ["a"], {"resample": 1}),
    ("nearest", [B], ["a"], {"resample": 0}),
    ("no rescale", [A], ["a"], {"do_rescale": False}),
    ("no normalize", [A], ["a"], {"do_normalize": False}),
    ("rescale factor", [A], ["a"], {"rescale_factor": 0.01}),
    ("mean and std", [A], ["a"], {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}),
    ("no resize", [A], ["a"], {"do_resize": False}),
]


def build(tree):
    return image(*tree) if isinstance(tree[0], int) else [build(t) for t in tree]


def processor_oracle():
    with tempfile.TemporaryDirectory() as folder:
        for name in ("tokenizer.json", "tokenizer_config.json"):
            (pathlib.Path(folder) / name).write_bytes((FIXTURES / "tokenizer" / name).read_bytes())
        tokenizer = AutoTokenizer.from_pretrained(folder)
    images = SiglipImageProcessorPil(size={"height": 28, "width": 28})
    images.image_seq_length = 4
    processor = PaliGemmaProcessor(images, tokenizer)
    cases = []
    for name, pictures, texts, options in CALLS:
        options = {k: v for k, v in options.items() if not k.startswith("_")}
        result = processor(images=build(pictures), text=texts, return_tensors="np", **options)
        pixels = np.ascontiguousarray(result["pixel_values"], dtype=np.float32)
        cases.append({
            "name": name, "images": pictures, "texts": texts, "options": options,
            **{key: result[key].tolist() for key in ("input_ids", "attention_mask", "token_type_ids", "labels")},
            "pixels": {"shape": list(pixels.shape), "sha256": hashlib.sha256(pixels.tobytes()).hexdigest(), "first": pixels.ravel()[:6].tolist()},
        })
    write(FIXTURES / "processor.json", {"versions": VERSIONS, "saved": {"preprocessor_config": images.to_dict()}, "cases": cases})
    print(f"{len(cases)} calls")


def write(path, value):
    lists = {key: value[key] for key in ("cases", "decodings") if key in value}
    head = {key: item for key, item in value.items() if key not in lists}
    parts = [json.dumps(head)[1:-1]] + [f'{json.dumps(key)}: [\n' + ",\n".join(json.dumps(item) for item in items) + "\n]" for key, items in lists.items()]
    path.write_text("{" + ",\n".join(parts) + "}\n")


tokenizer_oracle()
processor_oracle()
