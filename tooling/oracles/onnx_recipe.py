"""An ONNX export of hf-tiny in the manner of the public recipe for transformers.js: no mask, no number of logits, weights inside.

Writes packages/paligemma/test/fixtures/onnx-recipe/ (config.json and onnx/*.onnx) from pg2-tiny, with torch's own exporter, which
knows nothing of ours: opset 14, constants as operators, names of its own.

    python tooling/oracles/onnx_recipe.py
"""

import pathlib
import shutil
import sys

import torch
from transformers import DynamicCache, PaliGemmaForConditionalGeneration

ROOT = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parents[2]
TINY = ROOT / "packages/paligemma/test/fixtures/hf-tiny/pg2-tiny"
OUT = ROOT / "packages/paligemma/test/fixtures/onnx-recipe"

model = PaliGemmaForConditionalGeneration.from_pretrained(TINY, attn_implementation="eager", dtype=torch.float32).eval().requires_grad_(False)
text = model.model.language_model
layers, heads, size, hidden = text.config.num_hidden_layers, text.config.num_key_value_heads, text.config.head_dim, text.config.hidden_size


class Vision(torch.nn.Module):
    def forward(self, pixel_values):
        features = model.model.vision_tower(pixel_values).last_hidden_state
        return model.model.multi_modal_projector(features)


class Embed(torch.nn.Module):
    def forward(self, input_ids):
        return text.embed_tokens(input_ids)


class Decoder(torch.nn.Module):
    def forward(self, inputs_embeds, position_ids, *past):
        cache = DynamicCache()
        for i in range(layers):
            cache.update(past[2 * i], past[2 * i + 1], i)
        mask = {kind: torch.zeros(1, 1, 1, 1) for kind in ("full_attention", "sliding_attention")}
        out = text(inputs_embeds=inputs_embeds, position_ids=position_ids, attention_mask=mask, past_key_values=cache, use_cache=True)
        present = [x for layer in cache.layers for x in (layer.keys, layer.values)]
        return (model.lm_head(out.last_hidden_state), *present)


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    (OUT / "onnx").mkdir(parents=True)
    shutil.copy(TINY / "config.json", OUT / "config.json")
    names = [f"{i}.{kind}" for i in range(layers) for kind in ("key", "value")]
    past = tuple(torch.zeros(1, heads, 3, size) for _ in names)
    common = dict(opset_version=14, dynamo=False, do_constant_folding=True)
    with torch.no_grad():
        torch.onnx.export(Vision(), (torch.zeros(1, 3, 28, 28),), OUT / "onnx/vision_encoder.onnx", input_names=["pixel_values"], output_names=["image_features"], dynamic_axes={"pixel_values": {0: "batch_size"}}, **common)  # fmt: skip
        torch.onnx.export(Embed(), (torch.zeros(1, 5, dtype=torch.int64),), OUT / "onnx/embed_tokens.onnx", input_names=["input_ids"], output_names=["inputs_embeds"], dynamic_axes={"input_ids": {0: "batch_size", 1: "sequence_length"}}, **common)  # fmt: skip
        axes = {"inputs_embeds": {0: "batch_size", 1: "sequence_length"}, "position_ids": {0: "batch_size", 1: "sequence_length"}}
        axes |= {f"past_key_values.{n}": {0: "batch_size", 2: "past_sequence_length"} for n in names}
        axes |= {f"present.{n}": {0: "batch_size", 2: "total_sequence_length"} for n in names}
        torch.onnx.export(Decoder(), (torch.zeros(1, 5, hidden), torch.arange(4, 9)[None], *past), OUT / "onnx/decoder_model_merged.onnx", input_names=["inputs_embeds", "position_ids", *[f"past_key_values.{n}" for n in names]], output_names=["logits", *[f"present.{n}" for n in names]], dynamic_axes=axes, **common)  # fmt: skip
    for file in sorted((OUT / "onnx").iterdir()):
        print(file.name, file.stat().st_size)


main()
