#!/usr/bin/env python3
"""Writes tests/golden/models/<name>/: tiny random Llama checkpoints in real Hugging Face format, and what
`transformers` computes with them (float32, eager attention, CPU). Needs golden/requirements.txt; tests need only the
output.

    make_model_goldens.py [NAME ...]

    config.json, model*.safetensors   the checkpoint
    golden.json                       prompt, greedy tokens, tolerance, smallest top-2 margin, bf16 yardstick
    logits.npy                        float32 [positions, vocab], of the prompt
    hidden.npy                        float32 [layers + 1, positions, hidden]: embedding first, last after final norm
    long_logits.npy                   rows of a prompt of 1,000 tokens, from the float64 pass of llama_reference.py
                                      (float32 angles are off by up to 6e-5 rad there), where golden.json has "long"

Seeds are searched until greedy decoding is decided at every step: top-2 margin >= 10 tolerances, tolerance = 1e-4 of
the largest |logit| of the step. Weights are scaled so that mistakes show: small embeddings (the norm's epsilon
matters), peaked attention, a llama3 scaling that begins inside the prompt.
"""
import json
import re
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from check_goldens import check, relative
from llama_reference import forward, read_directory

MODELS = Path(__file__).resolve().parent / "models"
PROMPT, NEW_TOKENS = 28, 64
TOLERANCE, MARGIN_FACTOR = 1e-4, 10
DISTINCT_TOKENS = 20  # a model that repeats itself tests little
LONG_PROMPT = 1000
LONG_ROWS = [0, 31, 32, 511, 512, 513, 767, 999]  # around partitions of 512 keys and blocks of 32

LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 32}
OLD, NEW = "rope_theta and rope_scaling", "rope_parameters"
BASE = {"num_hidden_layers": 2, "rms_norm_eps": 1e-5, "vocab_size": 257, "max_position_embeddings": 2048,
        "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": True}

# hidden/heads/kv/D: head_dim differs from hidden / heads where it is given.
FIXTURES = {
    "mha-d32-tied-f32": dict(  # neither head_dim nor num_key_value_heads in config.json; long prompt
        dtype="f32", rope=None, theta=10000.0, spelling=OLD, long=True, drop=("head_dim", "num_key_value_heads"),
        hidden_size=64, num_attention_heads=2, num_key_value_heads=2, intermediate_size=57),
    "gqa2-d64-untied-llama3-f32": dict(  # long prompt
        dtype="f32", rope=LLAMA3, theta=500000.0, spelling=NEW, long=True,
        hidden_size=40, num_attention_heads=2, num_key_value_heads=1, head_dim=64, intermediate_size=97,
        tie_word_embeddings=False),
    "gqa2-d80-all-biases-f32": dict(
        dtype="f32", rope=None, theta=10000.0, spelling=NEW,
        hidden_size=40, num_attention_heads=2, num_key_value_heads=1, head_dim=80, intermediate_size=97,
        attention_bias=True, mlp_bias=True),
    "gqa3-9heads-llama3-sharded-f16": dict(  # 9 query and 3 KV heads; "type" instead of "rope_type"; three shards
        dtype="f16", rope=LLAMA3, theta=10000.0, spelling=OLD, shard="100KB", type_key="type",
        hidden_size=54, num_attention_heads=9, num_key_value_heads=3, head_dim=32, intermediate_size=97),
    "gqa4-d32-untied-llama3-f16": dict(
        dtype="f16", rope=LLAMA3, theta=500000.0, spelling=OLD,
        hidden_size=64, num_attention_heads=4, num_key_value_heads=1, head_dim=32, intermediate_size=172,
        vocab_size=331, tie_word_embeddings=False),
    "gqa8-d32-bf16": dict(
        dtype="bf16", rope=None, theta=500000.0, spelling=OLD, rms_norm_eps=1e-6,
        hidden_size=64, num_attention_heads=8, num_key_value_heads=1, head_dim=32, intermediate_size=97),
    "gqa3-d128-untied-llama3-bf16": dict(
        dtype="bf16", rope=LLAMA3, theta=500000.0, spelling=NEW,
        hidden_size=48, num_attention_heads=3, num_key_value_heads=1, head_dim=128, intermediate_size=97,
        tie_word_embeddings=False),
    "gqa4-d64-attention-bias-sharded-bf16": dict(  # biases on q, k, v, o only; two shards
        dtype="bf16", rope=LLAMA3, theta=10000.0, spelling=NEW, shard="200KB", attention_bias=True,
        hidden_size=40, num_attention_heads=4, num_key_value_heads=1, head_dim=64, intermediate_size=296,
        vocab_size=331, tie_word_embeddings=False),
    "mha-d48-4layers-mixed-dtypes": dict(  # bf16 matrices, float32 embedding and norms
        dtype="mixed", rope=None, theta=10000.0, spelling=OLD, num_hidden_layers=4,
        hidden_size=48, num_attention_heads=2, num_key_value_heads=2, head_dim=48, intermediate_size=57),
}
TORCH_DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


def hf_config(spec):
    known = set(LlamaConfig().to_dict()) - {"dtype"}
    fields = {**BASE, **{key: value for key, value in spec.items() if key in known}}
    rope = {"rope_type": "default", **(spec["rope"] or {}), "rope_theta": spec["theta"]}
    return LlamaConfig(**fields, rope_parameters=rope, attn_implementation="eager")


def storage_dtype(spec, name):
    if spec["dtype"] != "mixed":
        return TORCH_DTYPES[spec["dtype"]]
    return torch.float32 if "norm" in name or "embed" in name else torch.bfloat16


def random_weights(model, spec, seed):
    """Values already rounded to what the file will hold."""
    config, random = model.config, np.random.default_rng(seed)
    embedding_std = 0.02
    out = 3 * embedding_std  # a layer adds more than the embedding brought, or tied models repeat their input
    std = {"embed_tokens": embedding_std, "lm_head": 4 / config.hidden_size ** 0.5,
           "q_proj": 1.7 / config.hidden_size ** 0.5, "k_proj": 1.7 / config.hidden_size ** 0.5,
           "v_proj": 1.0 / config.hidden_size ** 0.5, "gate_proj": 1.5 / config.hidden_size ** 0.5,
           "up_proj": 1.0 / config.hidden_size ** 0.5, "down_proj": out / config.intermediate_size ** 0.5,
           "o_proj": out / (config.num_attention_heads * config.head_dim) ** 0.5}
    bias_std = {"q_proj": 0.5, "k_proj": 0.5, "v_proj": 0.3, "o_proj": 0.02, "gate_proj": 0.3, "up_proj": 0.3,
                "down_proj": 0.02}
    final_norm = 4 / (embedding_std * config.hidden_size ** 0.5) if config.tie_word_embeddings else 1.0
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            module, kind = name.split(".")[-2:]
            if "norm" in module:
                centre = final_norm if name == "model.norm.weight" else 1.0
                values = centre * (1 + 0.25 * random.standard_normal(parameter.shape))
            else:
                values = (bias_std if kind == "bias" else std)[module] * random.standard_normal(parameter.shape)
            rounded = torch.from_numpy(values.astype(np.float32)).to(storage_dtype(spec, name)).float()
            parameter.copy_(rounded)


def greedy(model, prompt, new_tokens=NEW_TOKENS):
    """(tokens, smallest top-2 margin relative to the step's max|logit|)"""
    result = model.generate(torch.tensor([prompt]), do_sample=False, max_new_tokens=new_tokens,
                            min_new_tokens=new_tokens, eos_token_id=None, pad_token_id=0, output_logits=True,
                            return_dict_in_generate=True)
    steps = torch.cat(result.logits)
    top2 = steps.topk(2, dim=-1).values
    margin = ((top2[:, 0] - top2[:, 1]) / steps.abs().amax(dim=-1)).min().item()
    return result.sequences[0, len(prompt):].tolist(), margin


def prompts(spec, vocab, seed):
    random = np.random.default_rng(seed + 1_000_000)
    short = random.integers(3, vocab, PROMPT).tolist()
    long = random.integers(3, vocab, LONG_PROMPT).tolist() if spec.get("long") else None
    return short, long


def find_seed(name, spec):
    model = LlamaForCausalLM(hf_config(spec)).eval()
    for seed in range(200):
        random_weights(model, spec, seed)
        short, long = prompts(spec, model.config.vocab_size, seed)
        for prompt in filter(None, (short, long)):
            tokens, margin = greedy(model, prompt)
            if len(set(tokens)) < DISTINCT_TOKENS or margin < 1.05 * MARGIN_FACTOR * TOLERANCE:
                break
        else:
            return model, seed
    sys.exit(f"{name}: no seed below 200 decides every greedy step")


def write_checkpoint(model, spec, directory):
    for name, parameter in model.named_parameters():
        parameter.data = parameter.data.to(storage_dtype(spec, name))
    model.save_pretrained(directory, max_shard_size=spec.get("shard", "50GB"))
    # config.json in the spelling the fixture wants, both of which real checkpoints have.
    path = directory / "config.json"
    config = json.loads(path.read_text())
    dtype = {"f32": "float32", "f16": "float16"}.get(spec["dtype"], "bfloat16")
    config.pop("dtype", None)
    config["torch_dtype" if spec["spelling"] == OLD else "dtype"] = dtype
    if spec["spelling"] == OLD:
        config.pop("rope_parameters")
        config["rope_theta"] = spec["theta"]
        scaling = dict(spec["rope"]) if spec["rope"] else None
        if scaling and spec.get("type_key"):
            scaling[spec["type_key"]] = scaling.pop("rope_type")
        config["rope_scaling"] = scaling
    for key in spec.get("drop", ()):
        config.pop(key, None)
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def load(directory, dtype):
    return LlamaForCausalLM.from_pretrained(directory, dtype=dtype, attn_implementation="eager").eval()


def make(name, spec):
    directory = MODELS / name
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.iterdir():
        old.unlink()
    model, seed = find_seed(name, spec)
    short, long = prompts(spec, model.config.vocab_size, seed)
    write_checkpoint(model, spec, directory)

    model = load(directory, torch.float32)  # from here on, what is in the files
    output = model(torch.tensor([short]), output_hidden_states=True)
    logits = output.logits[0].numpy()
    hidden = torch.cat(output.hidden_states).numpy()
    tokens, margin = greedy(model, short)
    assert margin >= MARGIN_FACTOR * TOLERANCE, (name, margin)
    golden = {"seed": seed, "prompt_token_ids": short, "greedy_token_ids": tokens, "relative_tolerance": TOLERANCE,
              "margin_factor": MARGIN_FACTOR, "smallest_relative_margin": margin,
              "max_abs_logit": float(np.abs(logits).max())}
    if spec["dtype"] == "bf16":
        rounded = load(directory, torch.bfloat16)(torch.tensor([short])).logits[0].float().numpy()
        golden["bf16_rms_error"] = float(np.sqrt(np.mean((rounded - logits).astype(np.float64) ** 2)))
    np.save(directory / "logits.npy", logits)
    np.save(directory / "hidden.npy", hidden)
    if long:
        long_tokens, long_margin = greedy(model, long)
        assert long_margin >= MARGIN_FACTOR * TOLERANCE, (name, long_margin)
        rows = forward(*read_directory(directory), long)[0][LONG_ROWS]
        theirs = model(torch.tensor([long])).logits[0, LONG_ROWS].numpy()
        np.save(directory / "long_logits.npy", rows.astype(np.float32))
        golden["long"] = {"prompt_token_ids": long, "greedy_token_ids": long_tokens, "logit_positions": LONG_ROWS,
                          "smallest_relative_margin": long_margin,
                          "transformers_float32_relative_error": relative(theirs, rows)}
    text = json.dumps(golden, indent=1)
    (directory / "golden.json").write_text(compact_lists(text) + "\n")

    errors, line = check(directory)
    size = sum(path.stat().st_size for path in directory.iterdir())
    print(f"{name}: seed {seed}, {size / 1024:.0f} KiB, {len(set(tokens))} distinct tokens, bf16 rms "
          f"{golden.get('bf16_rms_error', float('nan')):.3g}, max|logit| {golden['max_abs_logit']:.3g}, {line}",
          flush=True)
    assert not errors, (name, errors)


def compact_lists(text):
    """A list of numbers on one line."""
    return re.sub(r"\[[\d\s,]+\]", lambda match: " ".join(match.group().split()).replace("[ ", "[").replace(" ]", "]"),
                  text)


def main():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with torch.no_grad():
        for name in sys.argv[1:] or FIXTURES:
            make(name, FIXTURES[name])


if __name__ == "__main__":
    main()
