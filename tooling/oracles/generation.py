"""Decoding as transformers does it.

Writes into packages/generation/test/fixtures:
  hf-tiny-cases.json, hf-tiny-logits.bin   every gen.* case of hf-tiny, and the logits (float32, [prefixes, 300]) of every
                                           prefix that transformers visited on the way
  hf-decoding.json    random options over a model that is a hash of its last three tokens: ids and beam scores
  hf-warpers.json     random chains of score transforms: the scores that are left

    python tooling/oracles/generation.py path/to/hf-tiny
"""

import json
import math
import pathlib
import random
import sys

import numpy
import torch
import transformers
from transformers import GenerationConfig, GenerationMixin, PaliGemmaForConditionalGeneration, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

OUT = pathlib.Path(__file__).parents[2] / "packages/generation/test/fixtures"
SEED = 7
VERSIONS = {"transformers": transformers.__version__, "torch": torch.__version__, "seed": SEED}
VOCABULARY = 24


# ── every gen.* case of hf-tiny ──

IMAGE = [256] * 4
A = [*IMAGE, 2, 10, 11, 12, 108]
B = [A, [0, 0, *IMAGE, 2, 30, 108]]


def tiny(folder):
    cases, prefixes, table = [], {}, []
    for name in ("pg1-tiny", "pg2-tiny", "pg2-tiny-w4"):
        expected = json.loads((folder / name / "expected.json").read_text())
        model = PaliGemmaForConditionalGeneration.from_pretrained(folder / name, attn_implementation="eager").eval()
        seen = {}
        prepare = model.prepare_inputs_for_generation

        def spy(input_ids, *args, seen=seen, prepare=prepare, **kwargs):
            seen["ids"] = input_ids.tolist()
            return prepare(input_ids, *args, **kwargs)

        model.prepare_inputs_for_generation = spy

        def keep(_module, _args, output, seen=seen, name=name):
            for ids, logits in zip(seen["ids"], output.logits[:, -1]):
                key = f"{name}:{','.join(map(str, ids))}"
                if key not in prefixes:
                    prefixes[key] = len(table)
                    table.append(logits.float().numpy())

        model.register_forward_hook(keep)
        for case, value in expected.items():
            if not case.startswith("gen."):
                continue
            batch = "batch" in case
            ids = torch.tensor(B if batch else [A])
            images = 2 if batch else 1
            count = images * 3 * 28 * 28
            pixels = (torch.arange(count, dtype=torch.float64) * 0.37).sin().mul(0.9).float().reshape(images, 3, 28, 28)
            arguments = dict(value["args"])
            if "prefix_allowed_tokens_fn" in arguments:
                arguments["prefix_allowed_tokens_fn"] = lambda _request, _ids: [20, 21, 22, 1]
            result = model.generate(
                input_ids=ids, pixel_values=pixels, attention_mask=(ids != 0).long(), token_type_ids=torch.zeros_like(ids),
                return_dict_in_generate=True, output_scores=True, **arguments,
            )  # fmt: skip
            tokens = result.sequences[:, ids.shape[1] :].tolist()
            assert tokens == value["new_tokens"], (name, case, tokens, value["new_tokens"])
            cases.append({"model": name, "case": case, "promptIds": ids.tolist(), **value})
    numpy.stack(table).astype("<f4").tofile(OUT / "hf-tiny-logits.bin")
    write("hf-tiny-cases.json", {"cases": cases, "prefixes": list(prefixes)})


# ── a model that is a hash of its last three tokens ──


def score(ids, token):
    """The same arithmetic as in test/hash-source.ts; every value is exact in float32."""
    h = 2166136261
    for value in [*([0, 0, 0] + list(ids))[-3:], token]:
        h = (h ^ value) * 16777619 % 2**32
        h ^= h >> 15
    h = h * 2246822519 % 2**32
    h ^= h >> 13
    return (h >> 8) / 2**20 - 8


class HashModel(PreTrainedModel, GenerationMixin):
    config_class = transformers.PretrainedConfig
    main_input_name = "input_ids"

    def __init__(self):
        config = transformers.PretrainedConfig(vocab_size=VOCABULARY, num_hidden_layers=1)
        super().__init__(config)
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.generation_config = GenerationConfig(pad_token_id=0, eos_token_id=1, bos_token_id=2)

    def forward(self, input_ids, **_kwargs):
        rows = [[score(ids, token) for token in range(VOCABULARY)] for ids in input_ids.tolist()]
        return CausalLMOutput(logits=torch.tensor(rows)[:, None, :])

    def prepare_inputs_for_generation(self, input_ids, **_kwargs):
        return {"input_ids": input_ids}


def options(rng):
    chosen = {"max_new_tokens": rng.randint(1, 14)}
    maybe = {
        "repetition_penalty": lambda: rng.choice([0.7, 1.2, 1.9]),
        "no_repeat_ngram_size": lambda: rng.randint(1, 3),
        "min_new_tokens": lambda: rng.randint(1, chosen["max_new_tokens"]),
        "bad_words_ids": lambda: [[rng.randrange(VOCABULARY) for _ in range(rng.randint(1, 2))] for _ in range(3)],
        "sequence_bias": lambda: [
            [[rng.randrange(VOCABULARY) for _ in range(rng.randint(1, 3))], rng.uniform(-4, 4)] for _ in range(3)
        ],
        "suppress_tokens": lambda: rng.sample(range(2, VOCABULARY), 3),
        "begin_suppress_tokens": lambda: rng.sample(range(VOCABULARY), 3),
        "forced_eos_token_id": lambda: 1,
        "exponential_decay_length_penalty": lambda: [rng.randint(0, 5), rng.choice([1.1, 1.5])],
        "remove_invalid_values": lambda: True,
        "renormalize_logits": lambda: True,
        "eos_token_id": lambda: [1, 5],
    }
    for key in rng.sample(sorted(maybe), rng.randint(0, 4)):
        chosen[key] = maybe[key]()
    if rng.random() < 0.6:
        chosen["num_beams"] = rng.randint(2, 4)
        chosen["num_return_sequences"] = rng.randint(1, chosen["num_beams"])
        chosen["length_penalty"] = rng.choice([-1.0, 0.0, 0.5, 1.0, 2.0])
        chosen["early_stopping"] = rng.choice([True, False, "never"])
    return chosen


def decoding(count):
    rng = random.Random(SEED)
    model = HashModel().eval()
    cases = []
    while len(cases) < count:
        chosen = options(rng)
        prompt = [[rng.randrange(2, VOCABULARY) for _ in range(5)] for _ in range(rng.randint(1, 3))]
        result = model.generate(
            input_ids=torch.tensor(prompt), use_cache=False, do_sample=False, return_dict_in_generate=True,
            output_scores=True, **{k: arguments(k, v) for k, v in chosen.items()},
        )  # fmt: skip
        scores = getattr(result, "sequences_scores", None)
        # transformers adds +inf to a removed end of sequence in exponential_decay_length_penalty, and argmax then takes the
        # NaN; here a removed token stays removed.
        if any(step.isnan().any() for step in result.scores):
            continue
        # A score beyond ±1e8 belongs to a place that no real answer took, or to an overflow (a removed end of sequence
        # that remove_invalid_values made finite and exponential_decay_length_penalty raised again).
        if scores is not None and not (scores.abs() < 1e8).all():
            continue
        cases.append(
            {
                "options": chosen,
                "promptIds": prompt,
                "sequences": result.sequences[:, 5:].tolist(),
                "scores": None if scores is None else scores.tolist(),
            }
        )
    write("hf-decoding.json", {"vocabulary": VOCABULARY, "cases": cases})


def arguments(key, value):
    return [[ids, float(bias)] for ids, bias in value] if key == "sequence_bias" else value


# ── chains of score transforms ──


def warpers(count):
    rng = random.Random(SEED)
    cases = []
    model = HashModel().eval()
    for _ in range(count):
        maybe = {
            "temperature": lambda: rng.choice([0.3, 0.7, 1.6]),
            "top_k": lambda: rng.randint(0, 12),
            "top_p": lambda: rng.choice([0.0, 0.3, 0.9, 0.99]),
            "min_p": lambda: rng.choice([0.02, 0.3]),
            "typical_p": lambda: rng.choice([0.2, 0.6, 0.95]),
            "epsilon_cutoff": lambda: rng.choice([0.003, 0.03]),
            "eta_cutoff": lambda: rng.choice([0.003, 0.3]),
            # Not 1: whether the last token's sum of entropies reaches the whole is a matter of rounding.
            "top_h": lambda: rng.choice([0.2, 0.5, 0.8]),
            "repetition_penalty": lambda: 1.3,
            "renormalize_logits": lambda: True,
        }
        chosen = {key: maybe[key]() for key in rng.sample(sorted(maybe), rng.randint(1, 4))}
        prompt = [rng.randrange(2, VOCABULARY) for _ in range(5)]
        result = model.generate(
            input_ids=torch.tensor([prompt]), use_cache=False, do_sample=True, max_new_tokens=1,
            return_dict_in_generate=True, output_scores=True, **chosen,
        )  # fmt: skip
        left = [value if math.isfinite(value) else None for value in result.scores[0][0].tolist()]
        cases.append({"options": chosen, "promptIds": prompt, "scores": left})
    write("hf-warpers.json", {"vocabulary": VOCABULARY, "cases": cases})


def write(name, content):
    (OUT / name).write_text(json.dumps({"versions": VERSIONS, **content}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    torch.manual_seed(SEED)
    OUT.mkdir(parents=True, exist_ok=True)
    tiny(pathlib.Path(sys.argv[1]))
    decoding(400)
    warpers(200)
