"""What Hugging Face's PaliGemma says to the first 40 scenes: `python make_goldens.py MODEL EVALUATION OUT`.

goldens.json: prompt ids and new ids of every task; goldens.safetensors: logits of the first step, float32, [tasks, vocabulary].
"""
import json
import platform
import sys

import numpy as np
import tokenizers
import torch
import transformers
from PIL import Image
from safetensors.numpy import save_file
from transformers import PaliGemmaForConditionalGeneration

from dataset import PATCH, SIZE
from train import load_tokenizer

SCENES, NEW_TOKENS = 40, 128


@torch.no_grad()
def main(model_folder, evaluation, out):
    torch.set_num_threads(2)
    model = PaliGemmaForConditionalGeneration.from_pretrained(model_folder, dtype=torch.float32, attn_implementation="eager").eval()
    tokenizer = load_tokenizer(f"{model_folder}/tokenizer.json")
    image_token, newline = tokenizer.token_to_id("<image>"), tokenizer.token_to_id("\n")
    cases, logits = [], []
    for entry in json.load(open(f"{evaluation}/truth.json"))[:SCENES]:
        image = Image.open(f"{evaluation}/{entry['file']}").convert("RGB").resize((SIZE, SIZE), Image.BICUBIC)
        pixels = (np.asarray(image, np.float32) * np.float32(1 / 255) - np.float32(0.5)) / np.float32(0.5)
        pixels = torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None]
        for task in entry["tasks"]:
            prompt = [image_token] * (SIZE // PATCH) ** 2 + [2] + tokenizer.encode(task["prefix"], add_special_tokens=False).ids + [newline]
            ids = torch.tensor([prompt])
            made = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), token_type_ids=torch.zeros_like(ids), pixel_values=pixels,
                                  max_new_tokens=NEW_TOKENS, do_sample=False, output_logits=True, return_dict_in_generate=True)
            cases.append({"file": entry["file"], "kind": task["kind"], "prefix": task["prefix"], "promptIds": prompt, "newIds": made.sequences[0, len(prompt):].tolist()})
            logits.append(made.logits[0][0].float().numpy())
    versions = {"transformers": transformers.__version__, "torch": torch.__version__, "tokenizers": tokenizers.__version__, "python": platform.python_version(), "dtype": "float32", "attention": "eager"}
    with open(f"{out}/goldens.json", "w") as file:
        file.write(json.dumps({"versions": versions, "maxNewTokens": NEW_TOKENS})[:-1] + ', "cases": [\n' + ",\n".join(json.dumps(c) for c in cases) + "\n]}\n")
    save_file({"logits": np.stack(logits)}, f"{out}/goldens.safetensors")
    print(f"{len(cases)} goldens")


if __name__ == "__main__":
    main(*sys.argv[1:4])
