"""One checkpoint in Hugging Face transformers on PyTorch's CPU, as one line of JSON; the peer of speed-run.ts.

    python tooling/bench/speed.py FOLDER --dtype float32|bfloat16 [--tokens 24] [--repeats 3] [--batch 1] [--threads 2]

Same prompt, same picture, greedy, key-value cache on, logits of the last position only, one warm-up. Prompt and tokens are
timed around the model's own forward, without the bookkeeping of `generate`, which is in PyTorch's favour.
"""

import argparse
import json
import resource
import time

import torch
import transformers

parser = argparse.ArgumentParser()
parser.add_argument("folder")
parser.add_argument("--dtype", choices=["float32", "bfloat16"], required=True)
parser.add_argument("--tokens", type=int, default=24)
parser.add_argument("--repeats", type=int, default=3)
parser.add_argument("--batch", type=int, default=1)
parser.add_argument("--threads", type=int, default=2)
options = parser.parse_args()

torch.set_num_threads(options.threads)
begin = time.perf_counter()
model = transformers.PaliGemmaForConditionalGeneration.from_pretrained(
    options.folder, dtype=getattr(torch, options.dtype)
).eval()
load = time.perf_counter() - begin

vision = model.config.vision_config
count = vision.num_channels * vision.image_size**2
picture = torch.sin(torch.arange(count, dtype=torch.float64)).to(model.dtype)
pixels = picture.reshape(1, vision.num_channels, vision.image_size, vision.image_size)
images = (vision.image_size // vision.patch_size) ** 2
prompt = [model.config.image_token_id] * images + [2, 10, 11, 12, 108]
ids = torch.tensor([prompt] * options.batch)
pixels = pixels.expand(options.batch, -1, -1, -1)


def once(tokens):
    """Seconds of the prompt and of each further token."""
    begin = time.perf_counter()
    out = model(
        input_ids=ids,
        pixel_values=pixels,
        attention_mask=torch.ones_like(ids),
        token_type_ids=torch.zeros_like(ids),
        use_cache=True,
        logits_to_keep=1,
    )
    token = out.logits[:, -1].argmax(-1, keepdim=True)
    first = time.perf_counter() - begin
    steps, chosen = [], [token[0].item()]
    for _ in range(tokens - 1):
        begin = time.perf_counter()
        out = model(input_ids=token, past_key_values=out.past_key_values, use_cache=True, logits_to_keep=1)
        token = out.logits[:, -1].argmax(-1, keepdim=True)
        steps.append(time.perf_counter() - begin)
        chosen.append(token[0].item())
    return first, steps, chosen


def median(numbers):
    return sorted(numbers)[len(numbers) // 2]


with torch.inference_mode():
    once(2)
    firsts, steps, chosen = [], [], []
    for repeat in range(options.repeats):
        first, more, chosen = once(options.tokens if repeat == 0 else 2)
        firsts.append(first)
        steps += more

print(
    json.dumps(
        {
            "engine": f"transformers {transformers.__version__}, torch {torch.__version__}",
            "precision": options.dtype,
            "batch": options.batch,
            "promptTokens": len(prompt),
            "loadSeconds": round(load, 2),
            "promptSeconds": round(median(firsts), 3),
            "promptSecondsLeast": round(min(firsts), 3),
            "tokenMilliseconds": round(1000 * median(steps), 2),
            "tokenMillisecondsLeast": round(1000 * min(steps), 2),
            "peakMemoryMegabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6),
            "tokens": chosen[:8],
        }
    )
)
