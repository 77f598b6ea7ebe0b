"""A tiny PaliGemma in big_vision's layout and what it is in Hugging Face's, found without a table of transpositions.

Each linear layer of big_vision is an einsum over its own arrays; the matrix that Hugging Face stores is what that einsum makes
of the unit vectors. So the expected tensors follow from the networks' definitions alone:

    SigLIP     patch convolution HWIO; attention "D N H", "N H D"; dense kernels [in, out]
    Gemma      "BTD,NDH->BTNH", "BSD,2KDH->2BSKH", "BTNH,NHD->BTD"; x @ gating[0], x @ gating[1], x @ linear

Writes packages/weights/test/fixtures/big-vision-{gemma,gemma2}.npz (float32; bfloat16 as JAX saves it) and the expected
safetensors beside them, and npz files of numpy with every type, stored and compressed.

    python tooling/oracles/big_vision.py
"""

import json
import pathlib

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

OUT = pathlib.Path(__file__).parents[2] / "packages/weights/test/fixtures"
SEED = 7

# Vision: width, heads, head width, feed-forward, layers, patch, patches. Text: the same and key/value heads, tokens.
W, VN, VH, M, VL, P, PATCHES = 8, 2, 4, 12, 2, 3, 4
D, N, H, F, L, V = 12, 4, 6, 20, 3, 10
VISION, TEXT = "vision_tower.vision_model", "language_model.model"


def unit(inputs):
    return np.eye(inputs, dtype=np.float32)


def matrix(layer, inputs):
    """[out, in] of a linear map: its value at each unit vector is a column."""
    return np.stack([np.asarray(layer(e)).reshape(-1) for e in unit(inputs)], axis=1)


def make(kind, kv):
    rng = np.random.default_rng(SEED)
    r = lambda *shape: rng.standard_normal(shape).astype(np.float32)  # noqa: E731
    block, att = "img/Transformer/encoderblock", "img/Transformer/encoderblock/MultiHeadDotProductAttention_0"
    a = {
        "img/embedding/kernel": r(P, P, 3, W), "img/embedding/bias": r(W), "img/pos_embedding": r(1, PATCHES, W),
        f"{block}/LayerNorm_0/scale": r(VL, W), f"{block}/LayerNorm_0/bias": r(VL, W),
        f"{block}/LayerNorm_1/scale": r(VL, W), f"{block}/LayerNorm_1/bias": r(VL, W),
        f"{block}/MlpBlock_0/Dense_0/kernel": r(VL, W, M), f"{block}/MlpBlock_0/Dense_0/bias": r(VL, M),
        f"{block}/MlpBlock_0/Dense_1/kernel": r(VL, M, W), f"{block}/MlpBlock_0/Dense_1/bias": r(VL, W),
        f"{att}/out/kernel": r(VL, VN, VH, W), f"{att}/out/bias": r(VL, W),
        "img/Transformer/encoder_norm/scale": r(W), "img/Transformer/encoder_norm/bias": r(W),
        "img/head/kernel": r(W, D), "img/head/bias": r(D),
        "llm/embedder/input_embedding": r(V, D), "llm/final_norm/scale": r(D),
        "llm/layers/attn/q_einsum/w": r(L, N, D, H), "llm/layers/attn/kv_einsum/w": r(L, 2, kv, D, H),
        "llm/layers/attn/attn_vec_einsum/w": r(L, N, H, D),
        "llm/layers/mlp/gating_einsum": r(L, 2, D, F), "llm/layers/mlp/linear": r(L, F, D),
        "llm/layers/pre_attention_norm/scale": r(L, D), "llm/layers/pre_ffw_norm/scale": r(L, D),
    }  # fmt: skip
    for name in ("query", "key", "value"):
        a[f"{att}/{name}/kernel"], a[f"{att}/{name}/bias"] = r(VL, W, VN, VH), r(VL, VN, VH)
    if kind == "gemma2":
        a["llm/layers/post_attention_norm/scale"], a["llm/layers/post_ffw_norm/scale"] = r(L, D), r(L, D)
    return a


def expected(a, kind, dtype):
    # Values that the format can hold: every map below then only moves them.
    a = {k: v.astype(dtype).astype(np.float32) for k, v in a.items()}
    t = {}
    # A patch of one pixel and channel set: what the convolution (HWIO, "VALID") gives is that column of Hugging Face's OIHW.
    kernel = np.zeros((W, 3, P, P), np.float32)
    for c in range(3):
        for y in range(P):
            for x in range(P):
                patch = np.zeros((P, P, 3), np.float32)
                patch[y, x, c] = 1
                kernel[:, c, y, x] = np.einsum("hwc,hwco->o", patch, a["img/embedding/kernel"])
    t[f"{VISION}.embeddings.patch_embedding.weight"] = kernel
    t[f"{VISION}.embeddings.patch_embedding.bias"] = a["img/embedding/bias"]
    t[f"{VISION}.embeddings.position_embedding.weight"] = a["img/pos_embedding"][0]
    block, att = "img/Transformer/encoderblock", "img/Transformer/encoderblock/MultiHeadDotProductAttention_0"
    for i in range(VL):
        at = f"{VISION}.encoder.layers.{i}"
        for j in (0, 1):
            t[f"{at}.layer_norm{j + 1}.weight"] = a[f"{block}/LayerNorm_{j}/scale"][i]
            t[f"{at}.layer_norm{j + 1}.bias"] = a[f"{block}/LayerNorm_{j}/bias"][i]
        for theirs, ours in (("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj")):
            w, b = a[f"{att}/{theirs}/kernel"][i], a[f"{att}/{theirs}/bias"][i]
            t[f"{at}.self_attn.{ours}.weight"] = matrix(lambda x, w=w: np.einsum("d,dnh->nh", x, w), W)
            t[f"{at}.self_attn.{ours}.bias"] = (np.einsum("d,dnh->nh", np.zeros(W, np.float32), w) + b).reshape(-1)
        w = a[f"{att}/out/kernel"][i]
        t[f"{at}.self_attn.out_proj.weight"] = matrix(lambda x, w=w: np.einsum("nh,nhd->d", x.reshape(VN, VH), w), VN * VH)
        t[f"{at}.self_attn.out_proj.bias"] = a[f"{att}/out/bias"][i]
        for j, width in ((0, W), (1, M)):
            w = a[f"{block}/MlpBlock_0/Dense_{j}/kernel"][i]
            t[f"{at}.mlp.fc{j + 1}.weight"] = matrix(lambda x, w=w: x @ w, width)
            t[f"{at}.mlp.fc{j + 1}.bias"] = a[f"{block}/MlpBlock_0/Dense_{j}/bias"][i]
    t[f"{VISION}.post_layernorm.weight"] = a["img/Transformer/encoder_norm/scale"]
    t[f"{VISION}.post_layernorm.bias"] = a["img/Transformer/encoder_norm/bias"]
    t["multi_modal_projector.linear.weight"] = matrix(lambda x: x @ a["img/head/kernel"], W)
    t["multi_modal_projector.linear.bias"] = a["img/head/bias"]
    t[f"{TEXT}.embed_tokens.weight"] = a["llm/embedder/input_embedding"]
    t[f"{TEXT}.norm.weight"] = a["llm/final_norm/scale"]
    for i in range(L):
        at = f"{TEXT}.layers.{i}"
        q, kv, o = (a[f"llm/layers/attn/{n}/w"][i] for n in ("q_einsum", "kv_einsum", "attn_vec_einsum"))
        both = lambda x, kv=kv: np.einsum("d,ckdh->ckh", x, kv)  # noqa: E731
        t[f"{at}.self_attn.q_proj.weight"] = matrix(lambda x, q=q: np.einsum("d,ndh->nh", x, q), D)
        t[f"{at}.self_attn.k_proj.weight"] = matrix(lambda x: both(x)[0], D)
        t[f"{at}.self_attn.v_proj.weight"] = matrix(lambda x: both(x)[1], D)
        t[f"{at}.self_attn.o_proj.weight"] = matrix(lambda x, o=o: np.einsum("nh,nhd->d", x.reshape(N, H), o), N * H)
        gating, linear = a["llm/layers/mlp/gating_einsum"][i], a["llm/layers/mlp/linear"][i]
        t[f"{at}.mlp.gate_proj.weight"] = matrix(lambda x, g=gating: x @ g[0], D)
        t[f"{at}.mlp.up_proj.weight"] = matrix(lambda x, g=gating: x @ g[1], D)
        t[f"{at}.mlp.down_proj.weight"] = matrix(lambda x, w=linear: x @ w, F)
        # By what the norms are applied to, not by what they are called.
        norms = (
            {"pre_attention_norm": "input_layernorm", "pre_ffw_norm": "post_attention_layernorm"}
            if kind == "gemma"
            else {
                "pre_attention_norm": "input_layernorm", "post_attention_norm": "post_attention_layernorm",
                "pre_ffw_norm": "pre_feedforward_layernorm", "post_ffw_norm": "post_feedforward_layernorm",
            }
        )  # fmt: skip
        for theirs, ours in norms.items():
            t[f"{at}.{ours}.weight"] = a[f"llm/layers/{theirs}/scale"][i]
    return {name: np.ascontiguousarray(v).astype(dtype) for name, v in t.items()}


def numpy_types():
    rng = np.random.default_rng(SEED)
    arrays = {
        kind: rng.integers(0, 100, (2, 3)).astype(kind)
        for kind in ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?")
    } | {"bf16": rng.standard_normal(5).astype(ml_dtypes.bfloat16), "scalar": np.float32(2.5), "empty": np.zeros((0, 3), np.float32)}
    np.savez(OUT / "types.npz", **arrays)
    np.savez_compressed(OUT / "types-compressed.npz", **arrays)
    values = {name: np.asarray(a).astype(np.float64).flatten().tolist() for name, a in arrays.items()}
    (OUT / "types-npz.json").write_text(json.dumps({"numpy": np.__version__, "seed": SEED, "values": values}, indent=1) + "\n")


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for kind, kv, dtype in (("gemma", 1, np.float32), ("gemma2", 2, ml_dtypes.bfloat16)):
        arrays = make(kind, kv)
        np.savez(OUT / f"big-vision-{kind}.npz", **{f"params/{name}": a.astype(dtype) for name, a in arrays.items()})
        save_file(expected(arrays, kind, dtype), OUT / f"big-vision-{kind}.safetensors")
    numpy_types()


main()
