"""What transformers makes of sparse PaliGemma configurations.

Writes packages/config/test/fixtures/defaults.json: each case holds the config.json as a release (or a user) wrote it and
the values that transformers resolves, which `parseConfig` must resolve too. `saved` is the same configuration as
transformers saves it, in its present spelling.

    python tooling/oracles/config_defaults.py
"""

import copy
import json
import pathlib

import transformers
from transformers import PaliGemmaConfig

VISION = {
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "model_type": "siglip_vision_model",
    "num_attention_heads": 16,
    "num_hidden_layers": 27,
    "num_image_tokens": 256,
    "patch_size": 14,
    "projection_dim": 2048,
    "projector_hidden_act": "gelu_fast",
    "vision_use_head": False,
}
TEXT_1 = {
    "hidden_size": 2048,
    "intermediate_size": 16384,
    "model_type": "gemma",
    "num_attention_heads": 8,
    "num_hidden_layers": 18,
    "num_image_tokens": 256,
    "num_key_value_heads": 1,
    "torch_dtype": "float32",
    "vocab_size": 257216,
}
TEXT_2 = {
    "attn_logit_softcapping": 50.0,
    "cache_implementation": "hybrid",
    "eos_token_id": [1, 107],
    "final_logit_softcapping": 30.0,
    "hidden_act": "gelu_pytorch_tanh",
    "hidden_activation": "gelu_pytorch_tanh",
    "model_type": "gemma2",
    "num_image_tokens": 256,
    "query_pre_attn_scalar": 256,
    "sliding_window": 4096,
    "torch_dtype": "bfloat16",
    "vocab_size": 257216,
}
TOP = {
    "bos_token_id": 2,
    "eos_token_id": 1,
    "ignore_index": -100,
    "image_token_index": 257152,
    "model_type": "paligemma",
    "pad_token_id": 0,
}


def released_1(image_size, dtype="float32"):
    vision = VISION if image_size == 224 else VISION | {"image_size": image_size}
    return TOP | {"hidden_size": 2048, "projection_dim": 2048, "torch_dtype": dtype, "text_config": TEXT_1, "vision_config": vision}


def released_2(image_size, hidden, intermediate, layers, heads, kv, **more):
    sizes = {
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "num_key_value_heads": kv,
    } | more
    vision = VISION | {"projection_dim": hidden} | ({} if image_size == 224 else {"image_size": image_size})
    return TOP | {
        "num_hidden_layers": layers,
        "projection_dim": hidden,
        "torch_dtype": "bfloat16",
        "text_config": TEXT_2 | sizes,
        "vision_config": vision,
    }


CASES = {f"paligemma-3b-{size}": released_1(size) for size in (224, 448, 896)}
for size in (224, 448, 896):
    CASES[f"paligemma2-3b-{size}"] = released_2(size, 2304, 9216, 26, 8, 4)
    CASES[f"paligemma2-10b-{size}"] = released_2(size, 3584, 14336, 42, 16, 8)
    CASES[f"paligemma2-28b-{size}"] = released_2(size, 4608, 36864, 46, 32, 16, head_dim=128, query_pre_attn_scalar=144)
CASES |= {
    "nothing": {"model_type": "paligemma"},
    "no model types": {"model_type": "paligemma", "text_config": {"hidden_size": 2048, "vocab_size": 257216}, "vision_config": {}},
    "first release's activation": released_1(224) | {"text_config": TEXT_1 | {"hidden_act": "gelu", "hidden_activation": None}},
    "no window": released_2(224, 2304, 9216, 26, 8, 4, sliding_window=None),
    "no caps": released_2(224, 2304, 9216, 26, 8, 4, attn_logit_softcapping=None, final_logit_softcapping=None),
    "another base": released_1(224) | {"text_config": TEXT_1 | {"rope_theta": 500000.0}},
}

TEXT_KEYS = {
    "model_type", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "head_dim", "rms_norm_eps", "max_position_embeddings", "query_pre_attn_scalar",
    "attn_logit_softcapping", "final_logit_softcapping", "sliding_window", "layer_types",
}  # fmt: skip
VISION_KEYS = {
    "model_type", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_channels",
    "image_size", "patch_size", "layer_norm_eps", "hidden_act",
}  # fmt: skip


def resolve(config):
    text, vision = config.text_config.to_dict(), config.vision_config.to_dict()
    return {
        "text": {key: text[key] for key in sorted(TEXT_KEYS) if key in text}
        | {"rope_theta": text["rope_parameters"]["rope_theta"]},
        "vision": {key: vision[key] for key in sorted(VISION_KEYS)},
        "image_token_index": config.image_token_index,
        "projection_dim": config.projection_dim,
        "num_image_tokens": config.text_config.num_image_tokens,
        "tie_word_embeddings": config.tie_word_embeddings,
    }


def main():
    cases = []
    for name, given in CASES.items():
        config = PaliGemmaConfig.from_dict(copy.deepcopy(given))
        case = {"name": name, "given": given, "resolved": resolve(config)}
        if name in ("paligemma-3b-448", "paligemma2-28b-224", "no window"):
            case["saved"] = json.loads(config.to_json_string(use_diff=False))
        cases.append(case)
    out = pathlib.Path(__file__).parents[2] / "packages/config/test/fixtures/defaults.json"
    out.write_text(json.dumps({"transformers": transformers.__version__, "cases": cases}, indent=1) + "\n")


main()
