"""A small Gemma-style tokenizer.json (BPE, byte fallback, space -> U+2581, no pre-tokenizer) with PaliGemma's loc/seg pieces in the vocabulary."""
import json, random, sys
from tokenizers import Tokenizer, models, trainers, normalizers, decoders, processors
from scenes import COLORS, KINDS, NUMBERS, SHAPES, scene, task

def corpus():
    rng = random.Random(1)
    for _ in range(3000):
        _, things = scene(rng, size=(48, 48))
        if not things: continue
        p, s = task(rng, things, [[0] * 16] * len(things), rng.choice(KINDS))
        s = " ; ".join(o.split(">")[-1] for o in s.split(" ; "))
        yield from (w for t in (p, s) for w in ("▁" + t.replace(" ", " ▁")).split(" "))
    for w in list(COLORS) + SHAPES + NUMBERS: yield w; yield "▁" + w

SPECIAL = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
bytes_ = [f"<0x{i:02X}>" for i in range(256)]
chars = [chr(c) for c in range(32, 127) if chr(c) != " "] + ["▁", "\n"]
t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
tr = trainers.BpeTrainer(vocab_size=260, special_tokens=[], initial_alphabet=chars, limit_alphabet=200, show_progress=False)
t.train_from_iterator(corpus(), tr)
learned = json.loads(t.to_str())["model"]
pieces = [p for p, _ in sorted(learned["vocab"].items(), key=lambda kv: kv[1])]
order = SPECIAL + bytes_ + ["\n", "\n\n", "\n\n\n", "▁▁", "▁▁▁", "▁▁▁▁"]
for p in pieces:
    if p not in order: order.append(p)
order += [f"<loc{i:04d}>" for i in range(1024)] + [f"<seg{i:03d}>" for i in range(128)]
vocab = {p: i for i, p in enumerate(order)}
merges = [m if isinstance(m, list) else m.split(" ") for m in learned["merges"]]
merges = [["\n", "\n"], ["\n\n", "\n"], ["▁", "▁"], ["▁▁", "▁"], ["▁▁", "▁▁"]] + [m for m in merges]
added = [{"id": i, "content": c, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True} for i, c in enumerate(SPECIAL)]
added.append({"id": len(vocab), "content": "<image>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True})
doc = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
  "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}, "pre_tokenizer": None,
  "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<bos>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
     "pair": [{"SpecialToken": {"id": "<bos>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "<bos>", "type_id": 1}}, {"Sequence": {"id": "B", "type_id": 1}}],
     "special_tokens": {"<bos>": {"id": "<bos>", "ids": [2], "tokens": ["<bos>"]}}},
  "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]},
  "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False, "vocab": vocab, "merges": merges}}
out = sys.argv[1]
json.dump(doc, open(f"{out}/tokenizer.json", "w"), ensure_ascii=False)
json.dump({"tokenizer_class": "GemmaTokenizer", "add_bos_token": True, "add_eos_token": False, "bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>",
  "clean_up_tokenization_spaces": False, "padding_side": "left", "model_max_length": 1000000000000000019884624838656, "processor_class": "PaliGemmaProcessor", "extra_special_tokens": {"image_token": "<image>"}, "image_token": "<image>"}, open(f"{out}/tokenizer_config.json", "w"), indent=2)
print(len(vocab) + 1, "newline", vocab["\n"], "loc0", vocab["<loc0000>"])
x = Tokenizer.from_file(f"{out}/tokenizer.json")
for s in ["detect red circle", "answer en how many stars are there?", "a red circle, a blue square and a green triangle", "caption en\n\n", "日本"]:
    e = x.encode(s); print(e.tokens, repr(x.decode(e.ids)))
