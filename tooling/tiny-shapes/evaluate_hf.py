"""Scores a tiny-shapes model through Hugging Face's own generate, while it trains and in the end."""
import re
from collections import defaultdict

import numpy as np
import torch
from PIL import Image

from dataset import PATCH, SIZE
from scenes import scene, task

OBJECT = re.compile(r"((?:<loc\d{4}>){4})((?:<seg\d{3}>)*)([^<;]*)")


def objects(text):
    return [([int(v) / 1023 for v in re.findall(r"<loc(\d{4})>", loc)], label.strip()) for loc, _, label in OBJECT.findall(text)]


def iou(a, b):
    a, b = np.array(a), np.array(b)
    both = np.prod(np.maximum(0, np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])))
    return float(both / max(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - both, 1e-9))


@torch.no_grad()
def evaluate(model, tokenizer, rng, count, kinds):
    """-> {kind: share right}, with the mean IoU of all boxes whose labels and number were right."""
    image_token, newline, n = tokenizer.token_to_id("<image>"), tokenizer.token_to_id("\n"), (SIZE // PATCH) ** 2
    groups = defaultdict(list)
    for i in range(count):
        image, things = scene(rng)
        if not things:
            continue
        kind = kinds[i % len(kinds)]
        prefix, suffix = task(rng, things, [[0] * 16] * len(things), kind)
        x = np.asarray(image.resize((SIZE, SIZE), Image.BICUBIC), np.float32).transpose(2, 0, 1) / 127.5 - 1
        prompt = [image_token] * n + [2] + tokenizer.encode(prefix, add_special_tokens=False).ids + [newline]
        groups[len(prompt)].append((x, prompt, kind, suffix))
    right, total, overlaps = defaultdict(int), defaultdict(int), []
    for group in groups.values():
        ids = torch.tensor([p for _, p, _, _ in group])
        out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), token_type_ids=torch.zeros_like(ids), pixel_values=torch.from_numpy(np.stack([x for x, _, _, _ in group])), max_new_tokens=110, do_sample=False)
        for row, (_, _, kind, suffix) in zip(out, group):
            text = tokenizer.decode([t for t in row[ids.shape[1]:].tolist() if t > 2], skip_special_tokens=False)
            total[kind] += 1
            if kind.startswith(("detect", "segment")):
                found, truth = objects(text), objects(suffix)
                same = [l for _, l in found] == [l for _, l in truth]
                right[kind] += same
                if same:
                    overlaps += [iou(a, b) for (a, _), (b, _) in zip(found, truth)]
            else:
                right[kind] += text == suffix
    return {**{k: round(right[k] / total[k], 3) for k in total}, "iou": round(float(np.mean(overlaps)) if overlaps else 0, 3)}
