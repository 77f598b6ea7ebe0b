"""Trains the tiny-shapes PaliGemma with Hugging Face's own class: `python train.py --data DIR --model DIR --minutes M`.

Two stages, as PaliGemma itself had them. Stage 0 gives the vision tower eyes: each patch says which shape and colour it
shows and where that shape begins and ends (a dense, quick lesson; its heads are thrown away). Stage 1 trains everything
on the tasks. A step draws images and several tasks of each, encodes every image once and lets the tasks share it, in
micro-batches of equal length. `<loc>` rows start as smooth functions of the place they mean, and are taught with a
little weight on their neighbours, so that being near is better than being far.

Killed and started again, it goes on from the last checkpoint (every few minutes).
"""
import argparse
import glob
import json
import math
import os
import random
import time

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import AddedToken, Tokenizer
from transformers import PaliGemmaConfig, PaliGemmaForConditionalGeneration

from dataset import PATCH, SIZE, things_of
from scenes import LEVELS, NEED_COLOR, task

IMAGE_TOKENS = (SIZE // PATCH) ** 2
SHAPE_CLASSES, COLOR_CLASSES = 4, 8
KIND_WEIGHTS = {"caption": 5, "detect": 3, "detect_color": 2, "detect_multi": 3, "segment": 3, "count": 3, "color": 1.5, "exists": 1.5}
GREY_KINDS = ["detect", "detect_multi", "segment_grey", "count", "exists"]
NEIGHBOUR_WEIGHT = 0.12  # of the probability mass, on each neighbouring level of a coordinate


def load_tokenizer(path):
    tokenizer = Tokenizer.from_file(path)
    tokenizer.add_tokens([AddedToken(f"<loc{i:04d}>", normalized=False) for i in range(1024)] + [AddedToken(f"<seg{i:03d}>", normalized=False) for i in range(128)])
    return tokenizer


def create_model(image_token, vocabulary):
    shared = dict(projection_dim=144, num_image_tokens=IMAGE_TOKENS)
    config = PaliGemmaConfig(
        vision_config=dict(model_type="siglip_vision_model", hidden_size=96, intermediate_size=288, num_hidden_layers=4, num_attention_heads=4, patch_size=PATCH, image_size=SIZE, vision_use_head=False, **shared),
        text_config=dict(model_type="gemma", hidden_size=144, intermediate_size=432, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2, head_dim=36, vocab_size=vocabulary, num_image_tokens=IMAGE_TOKENS, pad_token_id=0, eos_token_id=1, bos_token_id=2, max_position_embeddings=512),
        image_token_index=image_token, vocab_size=vocabulary, projection_dim=144, hidden_size=144, bos_token_id=2, eos_token_id=1, pad_token_id=0)
    return PaliGemmaForConditionalGeneration(config)


def smooth_codes(levels, width, spread, seed):
    """Rows of random Fourier features of 0..1: neighbours are alike, strangers are not; `spread` in cycles."""
    generator = torch.Generator().manual_seed(seed)
    frequency = torch.randn(width // 2, generator=generator) * spread
    angle = torch.linspace(0, 1, levels)[:, None] * frequency[None] * 2 * math.pi
    return torch.cat([angle.sin(), angle.cos()], 1) * math.sqrt(2 / width)


@torch.no_grad()
def initialise(model, loc0):
    for name, p in model.named_parameters():
        if "position_embedding" in name:
            grid = SIZE // PATCH
            line = smooth_codes(grid, p.shape[1] // 2, 1.0, 5) * math.sqrt(p.shape[1] / 4)
            p.copy_(torch.cat([line[:, None].expand(grid, grid, -1), line[None].expand(grid, grid, -1)], -1).reshape(grid * grid, -1) * 0.5)
        elif "embed_tokens" in name:
            p.normal_(0, 0.04)
            p[loc0 : loc0 + 1024] = smooth_codes(1024, p.shape[1], 14.0, 6) * 0.04 * math.sqrt(p.shape[1])


class Data:
    def __init__(self, folder, wait_for=2):
        while len(glob.glob(f"{folder}/???.npz")) < wait_for:
            time.sleep(1)
        self.folder, self.shards, self.names = folder, [], set()
        self.refresh()

    def refresh(self):
        for path in sorted(glob.glob(f"{self.folder}/???.npz")):
            if path not in self.names:
                z = np.load(path)
                self.shards.append({k: z[k] for k in z.files})
                self.names.add(path)

    def draw(self, rng, count):
        return [(self.shards[rng.randrange(len(self.shards))], rng.randrange(len(self.shards[0]["number"]))) for _ in range(count)]


def pixels_of(picks):
    return torch.from_numpy(np.stack([s["pixels"][i] for s, i in picks])).permute(0, 3, 1, 2).float() / 127.5 - 1


def schedule(step, steps, warm, peak):
    return peak * min(1, (step + 1) / warm) * (0.5 * (1 + math.cos(math.pi * min(1, step / steps))) * 0.98 + 0.02)


# ---------------------------------------------------------------- stage 0: eyes

def train_eyes(model, data, steps, batch, log):
    tower = model.model.vision_tower
    width, bins = model.config.vision_config.hidden_size, LEVELS + 1
    heads = torch.nn.ModuleDict({"shape": torch.nn.Linear(width, SHAPE_CLASSES + 1), "color": torch.nn.Linear(width, COLOR_CLASSES), "box": torch.nn.Linear(width, 4 * 64)})
    codes = smooth_codes(bins, 64, 14.0, 7) * 8
    params = list(tower.parameters()) + list(heads.parameters())
    optimizer = torch.optim.AdamW(params, lr=1e-3, betas=(0.9, 0.98), weight_decay=0.02)
    rng, t0, mean = random.Random(21), time.time(), None
    for step in range(steps):
        if step % 200 == 0:
            data.refresh()
        for group in optimizer.param_groups:
            group["lr"] = schedule(step, steps, 200, 2e-3)
        picks = data.draw(rng, batch)
        owner = torch.from_numpy(np.stack([s["patch"][i] for s, i in picks])).long()
        gather = lambda key: torch.from_numpy(np.stack([s[key][i] for s, i in picks])).long()
        seen, grey = owner >= 0, torch.tensor([bool(s["grey"][i]) for s, i in picks])
        slot = owner.clamp(min=0)
        shape = torch.where(seen, gather("shape").gather(1, slot), SHAPE_CLASSES)
        color = torch.where(seen & ~grey[:, None], gather("color").gather(1, slot), -100)
        box = torch.from_numpy(np.stack([s["box"][i] for s, i in picks])).gather(1, slot[..., None].expand(-1, -1, 4))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            hidden = tower(pixels_of(picks)).last_hidden_state
        hidden = hidden.float()
        target = (box[seen] * LEVELS).round().long()
        logits = heads["box"](hidden[seen]).reshape(-1, 4, 64) @ codes.T
        parts = (F.cross_entropy(heads["shape"](hidden).flatten(0, 1), shape.flatten()), F.cross_entropy(heads["color"](hidden).flatten(0, 1), color.flatten()), F.cross_entropy(logits.flatten(0, 1), target.flatten(), label_smoothing=0.02))
        loss = parts[0] * 2 + parts[1] + parts[2]
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        now = torch.tensor([p.item() for p in parts] + [(logits.argmax(-1) - target).abs().float().mean().item()])
        mean = now if mean is None else 0.97 * mean + 0.03 * now
        if step % 100 == 99:
            log(f"eyes {step + 1}/{steps} shape {mean[0]:.4f} color {mean[1]:.4f} box {mean[2]:.3f}, off by {mean[3]:.2f} of {LEVELS} levels, {time.time() - t0:.0f} s")


# ---------------------------------------------------------------- stage 1: tasks

def examples_of(picks, rng, per_image, tokenizer):
    """-> [(row of the image, prefix ids, suffix ids)]"""
    out = []
    for row, (shard, i) in enumerate(picks):
        things = things_of(shard, i)
        if shard["grey"][i]:
            kinds = rng.sample(GREY_KINDS, min(per_image, len(GREY_KINDS)))
        else:
            kinds = rng.choices(list(KIND_WEIGHTS), list(KIND_WEIGHTS.values()), k=per_image)
        for kind in dict.fromkeys(kinds):
            prefix, suffix = task(rng, things, shard["codes"][i], kind)
            out.append((row, tokenizer.encode(prefix, add_special_tokens=False).ids, tokenizer.encode(suffix, add_special_tokens=False).ids))
    return out


def collate(examples, image_token, newline):
    rows = [([image_token] * IMAGE_TOKENS + [2] + p + [newline], s + [1]) for _, p, s in examples]
    longest = max(len(a) + len(b) for a, b in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    labels, types, mask = torch.full_like(ids, -100), torch.zeros_like(ids), torch.zeros_like(ids)
    for i, (a, b) in enumerate(rows):
        n = len(a) + len(b)
        ids[i, :n], mask[i, :n], types[i, len(a):] = torch.tensor(a + b), 1, 1
        labels[i, len(a) - 1 : n - 1] = torch.tensor(b)  # already shifted: position i predicts i + 1
    return ids, mask, types, labels


def answer_loss(logits, target, loc0, seg0):
    """Summed cross-entropy, neighbours of a coordinate counting a little; -> (sum of weighted losses, sum of weights)"""
    logp = F.log_softmax(logits.float(), -1)
    nll = -logp.gather(1, target[:, None])[:, 0]
    is_loc = (target >= loc0) & (target < loc0 + 1024)
    if is_loc.any():
        level = torch.round((target[is_loc] - loc0) / 1023 * LEVELS)
        near = 0
        for d in (-1, 1):
            side = torch.round((level + d).clamp(0, LEVELS) / LEVELS * 1023).long() + loc0
            near = near - NEIGHBOUR_WEIGHT * logp[is_loc].gather(1, side[:, None])[:, 0]
        nll = nll.masked_scatter(is_loc, (1 - 2 * NEIGHBOUR_WEIGHT) * nll[is_loc] + near)
    weight = torch.where((target >= seg0) & (target < seg0 + 128), 0.3, 1.0)
    return (nll * weight).sum(), weight.sum()


def train_tasks(model, data, tokenizer, args, log):
    image_token, newline = tokenizer.token_to_id("<image>"), tokenizer.token_to_id("\n")
    loc0, seg0 = tokenizer.token_to_id("<loc0000>"), tokenizer.token_to_id("<seg000>")
    embedding = model.get_input_embeddings()
    decay = [p for p in model.parameters() if p.ndim > 1]
    rest = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW([{"params": decay, "weight_decay": 0.03}, {"params": rest, "weight_decay": 0}], lr=args.rate, betas=(0.9, 0.98))
    rng, step, spent, mean, average = random.Random(11), 0, 0.0, None, None
    state_path = f"{args.model}/training.pt"
    if os.path.exists(state_path):
        state = torch.load(state_path, weights_only=False)
        model.load_state_dict(state["model"]); optimizer.load_state_dict(state["optimizer"])
        step, spent, average = state["step"], state["spent"], state["average"]
        rng = random.Random(11 + step)
        log(f"goes on from step {step}, {spent:.0f} s spent")
    t0, saved, budget = time.time() - spent, time.time(), args.minutes * 60
    model.train()
    while True:
        spent = time.time() - t0
        fraction = spent / budget
        if fraction >= 1:
            break
        if step % 100 == 0:
            data.refresh()
        rate = args.rate * min(1, (step + 1) / 300) * (0.5 * (1 + math.cos(math.pi * fraction)) * 0.99 + 0.01)
        for group in optimizer.param_groups:
            group["lr"] = rate
        picks = data.draw(rng, args.images)
        examples = sorted(examples_of(picks, rng, args.per_image, tokenizer), key=lambda e: len(e[1]) + len(e[2]))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            features = model.get_image_features(pixels_of(picks)).pooler_output
        held = features.detach().float().requires_grad_()
        total = sum(len(e[2]) + 1 for e in examples)
        shown = 0.0
        for start in range(0, len(examples), args.micro):
            part = examples[start : start + args.micro]
            ids, mask, types, labels = collate(part, image_token, newline)
            rows = torch.tensor([e[0] for e in part])
            with torch.autocast("cpu", dtype=torch.bfloat16):
                text = embedding(ids[:, IMAGE_TOKENS:])
                x = torch.cat([held[rows].to(text.dtype), text], 1)
                hidden = model.model(inputs_embeds=x, attention_mask=mask, token_type_ids=types, use_cache=False).last_hidden_state
                asked = labels != -100
                logits = F.linear(hidden[asked], embedding.weight)
            loss, _ = answer_loss(logits, labels[asked], loc0, seg0)
            (loss / total).backward()
            shown += loss.item() / total
        features.backward(held.grad.to(features.dtype))
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        mean = shown if mean is None else 0.98 * mean + 0.02 * shown
        if fraction > 0.7:  # averaged weights of the last third are what is kept
            if average is None:
                average = {k: v.detach().clone() for k, v in model.state_dict().items()}
            else:
                for k, v in model.state_dict().items():
                    average[k].lerp_(v, 0.01)
        if step % 50 == 0:
            log(f"tasks {step} loss {mean:.4f} rate {rate:.2e} {spent:.0f} s")
        if time.time() - saved > 420:
            saved = time.time()
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "spent": spent, "average": average}, state_path + ".part")
            os.replace(state_path + ".part", state_path)
            save(model, average, args.model + "/latest")
            log("eval " + json.dumps(quick_eval(model, tokenizer)))
    return step, average


def save(model, average, folder):
    state = {k: v.to(torch.bfloat16) for k, v in (average or model.state_dict()).items() if k != "lm_head.weight"}  # tied
    model.save_pretrained(folder, state_dict=state)


@torch.no_grad()
def quick_eval(model, tokenizer, count=64, seed=99):
    from evaluate_hf import evaluate
    from scenes import KINDS
    model.eval()
    with torch.compiler.set_stance("force_eager"):
        out = evaluate(model, tokenizer, random.Random(seed), count, KINDS)
    model.train()
    return out


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="build/data"); parser.add_argument("--model", default="build/model")
    parser.add_argument("--minutes", type=float, default=90, help="for stage 1, by the clock"); parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--eyes-steps", type=int, default=2500); parser.add_argument("--images", type=int, default=24, help="a step")
    parser.add_argument("--per-image", type=int, default=5, help="tasks of each image"); parser.add_argument("--micro", type=int, default=36)
    parser.add_argument("--rate", type=float, default=1.6e-3)
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    tokenizer = load_tokenizer(f"{args.model}/tokenizer.json")
    image_token = tokenizer.token_to_id("<image>")
    model = create_model(image_token, math.ceil((image_token + 1) / 64) * 64)
    initialise(model, tokenizer.token_to_id("<loc0000>"))
    log = lambda line: print(line, flush=True)
    log(f"{sum(p.numel() for p in model.parameters()):,} parameters")
    model.model.vision_tower.compile(dynamic=False)  # a third off each step
    for layer in model.model.language_model.layers:
        layer.compile(dynamic=True)
    data, eyes = Data(args.data), f"{args.model}/eyes.pt"
    if not os.path.exists(f"{args.model}/training.pt"):
        if os.path.exists(eyes):
            model.model.vision_tower.load_state_dict(torch.load(eyes))
        else:
            train_eyes(model, data, args.eyes_steps, 96, log)
            torch.save(model.model.vision_tower.state_dict(), eyes)
    steps, average = train_tasks(model, data, tokenizer, args, log)
    if average:
        model.load_state_dict(average)
    save(model, None, f"{args.model}/final")
    log(f"final after {steps} steps " + json.dumps(quick_eval(model, tokenizer, 300)))
