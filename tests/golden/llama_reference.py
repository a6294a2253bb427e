"""A Llama forward pass in numpy float64, written from the formulas alone (shared by nothing else), and a reader for
Hugging Face directories that needs only numpy. Slow and plain on purpose: it judges the golden files.

Angles are computed in double. `transformers` computes them in float32; at the positions of the short prompts (< 128)
the difference moves logits by less than 1e-6 of their maximum, at 1,000 positions by about 1e-5.
"""
import json
import math
import struct
from pathlib import Path

import numpy as np

MUTATIONS = ("interleaved_rope", "no_rope_scaling", "no_smooth_band", "tiled_gqa", "eps_times_ten", "eps_ignored",
             "no_attention_bias", "no_output_bias", "no_mlp_bias", "sees_next_token", "scale_by_hidden", "gelu",
             "swapped_gate_up", "norm_weight_ignored", "keys_rotated_twice")


def read_safetensors(path):
    raw = Path(path).read_bytes()
    (length,) = struct.unpack_from("<Q", raw)
    header = json.loads(raw[8:8 + length])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        data = raw[8 + length + begin:8 + length + end]
        if entry["dtype"] == "F32":
            values = np.frombuffer(data, "<f4")
        elif entry["dtype"] == "F16":
            values = np.frombuffer(data, "<f2")
        elif entry["dtype"] == "BF16":
            values = (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
        else:
            raise ValueError(f"{path}: {name}: dtype {entry['dtype']}")
        tensors[name] = values.astype(np.float64).reshape(entry["shape"])
    return tensors


def read_directory(directory):
    """(config, tensors as float64) of a Hugging Face directory."""
    directory = Path(directory)
    config = json.loads((directory / "config.json").read_text())
    index = directory / "model.safetensors.index.json"
    if not index.exists():
        return config, read_safetensors(directory / "model.safetensors")
    tensors = {}
    for shard in sorted(set(json.loads(index.read_text())["weight_map"].values())):
        tensors.update(read_safetensors(directory / shard))
    return config, tensors


def rope_frequencies(config, head_dim, mutation=None):
    rope = config.get("rope_parameters") or {**(config.get("rope_scaling") or {}),
                                             "rope_theta": config.get("rope_theta", 10000.0)}
    frequencies = rope["rope_theta"] ** (-np.arange(0, head_dim, 2, dtype=np.float64) / head_dim)
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "default" or mutation == "no_rope_scaling":
        return frequencies
    assert kind == "llama3", kind
    factor, low, high = rope["factor"], rope["low_freq_factor"], rope["high_freq_factor"]
    old = rope["original_max_position_embeddings"]
    result = []
    for f in frequencies:
        wavelength = 2 * math.pi / f
        if wavelength < old / high:
            result.append(f)
        elif wavelength > old / low:
            result.append(f / factor)
        else:
            smooth = 0 if mutation == "no_smooth_band" else (old / wavelength - low) / (high - low)
            result.append((1 - smooth) * f / factor + smooth * f)
    return np.array(result)


def rotate(x, angles, interleaved):
    """x: [positions, heads, head_dim]; pairs (i, i + head_dim / 2), or (2i, 2i + 1) when interleaved."""
    cos, sin = np.cos(angles)[:, None, :], np.sin(angles)[:, None, :]
    out = np.empty_like(x)
    if interleaved:
        a, b = x[..., 0::2], x[..., 1::2]
        out[..., 0::2], out[..., 1::2] = a * cos - b * sin, b * cos + a * sin
    else:
        half = x.shape[-1] // 2
        a, b = x[..., :half], x[..., half:]
        out[..., :half], out[..., half:] = a * cos - b * sin, b * cos + a * sin
    return out


def forward(config, tensors, ids, mutation=None):
    """(logits [positions, vocab], hidden [layers + 1, positions, hidden]) of one prompt. `mutation`: one of MUTATIONS,
    a classic mistake made on purpose, to see that the golden files notice it."""
    heads = config["num_attention_heads"]
    kv_heads = config.get("num_key_value_heads") or heads
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    eps = config["rms_norm_eps"] * {"eps_times_ten": 10, "eps_ignored": 0}.get(mutation, 1)
    positions = len(ids)

    def norm(x, name):
        y = x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)
        return y if mutation == "norm_weight_ignored" else y * tensors[name]

    def linear(x, name):
        y = x @ tensors[name + ".weight"].T
        skipped = (mutation == "no_attention_bias" and name.split(".")[-1] in ("q_proj", "k_proj", "v_proj")
                   or mutation == "no_output_bias" and name.endswith("o_proj")
                   or mutation == "no_mlp_bias" and ".mlp." in name)
        return y + tensors[name + ".bias"] if name + ".bias" in tensors and not skipped else y

    angles = np.outer(np.arange(positions), rope_frequencies(config, head_dim, mutation))
    interleaved = mutation == "interleaved_rope"
    visible = np.tril(np.ones((positions, positions), bool), k=int(mutation == "sees_next_token"))
    scale = 1 / math.sqrt(config["hidden_size"] / heads if mutation == "scale_by_hidden" else head_dim)

    x = tensors["model.embed_tokens.weight"][np.array(ids)]
    hidden = [x]
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        a = norm(x, prefix + "input_layernorm.weight")
        q = rotate(linear(a, prefix + "self_attn.q_proj").reshape(positions, heads, head_dim), angles, interleaved)
        k = linear(a, prefix + "self_attn.k_proj").reshape(positions, kv_heads, head_dim)
        k = rotate(k, 2 * angles if mutation == "keys_rotated_twice" else angles, interleaved)
        v = linear(a, prefix + "self_attn.v_proj").reshape(positions, kv_heads, head_dim)
        out = np.empty((positions, heads, head_dim))
        for head in range(heads):
            kv = head % kv_heads if mutation == "tiled_gqa" else head // (heads // kv_heads)
            scores = np.where(visible, q[:, head] @ k[:, kv].T * scale, -np.inf)
            p = np.exp(scores - scores.max(axis=-1, keepdims=True))
            out[:, head] = p / p.sum(axis=-1, keepdims=True) @ v[:, kv]
        x = x + linear(out.reshape(positions, heads * head_dim), prefix + "self_attn.o_proj")
        m = norm(x, prefix + "post_attention_layernorm.weight")
        gate, up = linear(m, prefix + "mlp.gate_proj"), linear(m, prefix + "mlp.up_proj")
        if mutation == "swapped_gate_up":
            gate, up = up, gate
        if mutation == "gelu":
            act = 0.5 * gate * (1 + np.tanh(math.sqrt(2 / math.pi) * (gate + 0.044715 * gate ** 3)))
        else:
            act = gate / (1 + np.exp(-gate))
        x = x + linear(act * up, prefix + "mlp.down_proj")
        hidden.append(x)
    hidden[-1] = norm(x, "model.norm.weight")
    head = "model.embed_tokens.weight" if config.get("tie_word_embeddings") else "lm_head.weight"
    return hidden[-1] @ tensors[head].T, np.stack(hidden)
