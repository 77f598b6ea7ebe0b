"""Tensor names and a small file as the Python libraries write them.

Writes packages/weights/test/fixtures/names.json: the tensor names of one tiny PaliGemma 1 and 2 under every spelling that
transformers and PEFT give them, and all-dtypes.safetensors, written by the safetensors library, with its values beside it.

    python tooling/oracles/checkpoint_files.py
"""

import json
import pathlib
import tempfile

import peft
import safetensors
import safetensors.torch
import torch
import transformers
from transformers import PaliGemmaConfig, PaliGemmaForConditionalGeneration

OUT = pathlib.Path(__file__).parents[2] / "packages/weights/test/fixtures"


def tiny(kind):
    text = dict(
        model_type=kind, vocab_size=300, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=1, head_dim=8,
    )  # fmt: skip
    vision = dict(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, image_size=28, patch_size=14,
        vision_use_head=False,
    )  # fmt: skip
    config = PaliGemmaConfig(text_config=text, vision_config=vision, projection_dim=32, image_token_index=256)
    return PaliGemmaForConditionalGeneration(config)


def saved(model):
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        with safetensors.safe_open(f"{folder}/model.safetensors", "pt") as file:
            return {name: list(file.get_slice(name).get_shape()) for name in sorted(file.keys())}


def in_memory(model):
    return {name: list(tensor.shape) for name, tensor in sorted(model.state_dict().items())}


def names():
    result = {}
    for kind in ("gemma", "gemma2"):
        torch.manual_seed(0)
        model = tiny(kind)
        lora = peft.get_peft_model(tiny(kind), peft.LoraConfig(r=2, target_modules=["q_proj"]))
        merged = lora.merge_and_unload()
        result[kind] = {
            "saved by transformers 5": saved(model),
            "in memory of transformers 5": in_memory(model),
            "saved after a merge by PEFT": saved(merged),
            "decoder alone": saved(model.model.language_model),
            "encoder alone": saved(model.model.vision_tower),
        }
    return result


def all_dtypes():
    t = torch.tensor
    tensors = {
        "float64": t([1.5, -2.25], dtype=torch.float64),
        "float32": t([[1.5], [-0.1]], dtype=torch.float32),
        "float16": t([1.5, -0.1, 65504], dtype=torch.float16),
        "bfloat16": t([1.5, -0.1, 3e38], dtype=torch.bfloat16),
        "int64": t([2**62, -1], dtype=torch.int64),
        "int32": t([-(2**31), 7], dtype=torch.int32),
        "int16": t([-(2**15), 7], dtype=torch.int16),
        "int8": t([-128, 127], dtype=torch.int8),
        "uint64": t([2**63 - 1, 5], dtype=torch.uint64),
        "uint32": t([2**32 - 1, 5], dtype=torch.uint32),
        "uint16": t([2**16 - 1, 5], dtype=torch.uint16),
        "uint8": t([255, 0], dtype=torch.uint8),
        "bool": t([True, False, True]),
        "scalar": t(3.0),
        "empty": torch.zeros([0, 4]),
    }
    safetensors.torch.save_file(tensors, OUT / "all-dtypes.safetensors", metadata={"format": "pt", "note": "größer"})
    return {name: [str(x) for x in tensor.flatten().to(torch.float64 if tensor.is_floating_point() else tensor.dtype).tolist()] for name, tensor in tensors.items()}


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    versions = {"transformers": transformers.__version__, "peft": peft.__version__, "safetensors": safetensors.__version__}
    (OUT / "names.json").write_text(json.dumps({"versions": versions, "names": names()}, indent=1) + "\n")
    (OUT / "all-dtypes.json").write_text(json.dumps({"versions": versions, "seed": 0, "values": all_dtypes()}, indent=1) + "\n")


main()
