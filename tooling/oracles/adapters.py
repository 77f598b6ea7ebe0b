"""LoRA adapters that PEFT saves over hf-tiny, and what transformers computes with them.

Writes tooling/fixtures/adapters/<name>/: the adapter as `save_pretrained` writes it, and expected.safetensors with the logits of
input A (see hf-tiny) with the adapter kept apart and merged, and the merged weights that changed (a few of them).

    python tooling/oracles/adapters.py
"""

import json
import pathlib
import shutil

import numpy as np
import peft
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import PaliGemmaForConditionalGeneration

ROOT = pathlib.Path(__file__).parents[2]
TINY = ROOT / "packages/paligemma/test/fixtures/hf-tiny"
OUT = ROOT / "tooling/fixtures/adapters"
SEED = 11

CASES = {
    "text-q-v": ("pg1-tiny", dict(r=4, lora_alpha=8, target_modules=r".*language_model.*\.(q_proj|v_proj)")),
    "all-linear-rslora": ("pg2-tiny", dict(r=2, lora_alpha=3, use_rslora=True, target_modules="all-linear", alpha_pattern={"k_proj": 5, r"mlp\.fc1": 1})),
    "vision": ("pg1-tiny", dict(r=3, lora_alpha=6, target_modules=["fc1", "fc2", "out_proj", "patch_embedding"], rank_pattern={"fc2": 5}, bias="lora_only")),
    "dora": ("pg2-tiny", dict(r=2, lora_alpha=4, use_dora=True, target_modules=["o_proj", "down_proj", "fc2"])),
    "projector-saved": ("pg1-tiny", dict(r=2, lora_alpha=2, target_modules=["gate_proj", "up_proj"], modules_to_save=["multi_modal_projector"])),
    "lora-bias": ("pg1-tiny", dict(r=2, lora_alpha=2, lora_bias=True, target_modules=["fc1"])),
    "table": ("pg2-tiny", dict(r=2, lora_alpha=4, target_modules=["embed_tokens", "q_proj"])),
    "head": ("pg1-tiny", dict(r=2, lora_alpha=4, target_modules=["lm_head"])),
    "table-saved": ("pg1-tiny", dict(r=2, lora_alpha=4, target_modules=["q_proj"], modules_to_save=["embed_tokens"])),
}  # fmt: skip


def inputs():
    ids = torch.tensor([[256] * 4 + [2, 10, 11, 12, 108]])
    pixels = (np.sin(0.37 * np.arange(3 * 28 * 28)) * 0.9).astype(np.float32).reshape(1, 3, 28, 28)
    return dict(input_ids=ids, pixel_values=torch.from_numpy(pixels), attention_mask=torch.ones_like(ids), token_type_ids=torch.zeros_like(ids))


def logits(model):
    with torch.no_grad():
        return model.eval()(**inputs()).logits[0].contiguous()


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    for name, (base, settings) in CASES.items():
        torch.manual_seed(SEED)
        load = lambda base=base: PaliGemmaForConditionalGeneration.from_pretrained(TINY / base, attn_implementation="eager", dtype=torch.float32)  # noqa: E731
        model = peft.get_peft_model(load(), peft.LoraConfig(**settings))
        with torch.no_grad():
            # Untrained adapters do nothing: every trained number gets a little noise.
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter) * 0.05)
        folder = OUT / name
        model.save_pretrained(folder)
        (folder / "README.md").unlink(missing_ok=True)
        config = json.loads((folder / "adapter_config.json").read_text())
        config["base_model_name_or_path"] = base
        (folder / "adapter_config.json").write_text(json.dumps(config, indent=1) + "\n")

        apart = peft.PeftModel.from_pretrained(load(), folder)
        results = {"logits.base": logits(load()), "logits.apart": logits(apart)}
        before = {k: v.clone() for k, v in load().state_dict().items()}
        merged = apart.merge_and_unload()
        results["logits.merged"] = logits(merged)
        changed = [k for k, v in merged.state_dict().items() if k not in before or not torch.equal(v, before[k])]
        tied = any("embed_tokens" in key or "lm_head" in key for key in changed)
        for key in [] if tied else changed[:: max(1, len(changed) // 3)]:
            results[f"merged.{key}"] = merged.state_dict()[key].clone()
        save_file(results, folder / "expected.safetensors")
        for file in folder.iterdir():
            file.chmod(0o644)
        difference = (results["logits.apart"] - results["logits.merged"]).abs().max().item()
        moved = (results["logits.apart"] - results["logits.base"]).abs().max().item()
        size = sum(f.stat().st_size for f in folder.iterdir())
        keys = sorted(load_file(folder / "adapter_model.safetensors"))
        print(f"{name}: {len(changed)} changed, {size} bytes, apart and merged {difference:.1e} apart, {moved:.2f} from the base; {keys[0]}")
    versions = {"peft": peft.__version__, "transformers": transformers.__version__, "torch": torch.__version__, "seed": SEED}
    (OUT / "versions.json").write_text(json.dumps(versions, indent=1) + "\n")


main()
