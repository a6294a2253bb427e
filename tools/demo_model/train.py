#!/usr/bin/env python3
"""Trains the demo model from scratch on the output of make_data.py and writes a Hugging Face folder.

    train.py --data DIR/train.jsonl --out DIR [--steps N] [--resume CHECKPOINT]

One CPU core is enough (about 40 minutes); the random seeds are fixed.
"""
import argparse
import json
import math
import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM

VOCAB = 4096
SPECIAL = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
LLAMA3_REGEX = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
                r"|\s+(?!\S)|\s+")
CHAT_TEMPLATE = ("{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + "
                 "message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}"
                 "{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}"
                 "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}")


# ------------------------------------------------------------------------------------------------------ tokenizer

def texts_of(records):
    for record in records:
        if "text" in record:
            yield record["text"]
        else:
            for message in record["messages"]:
                yield message["content"]


def train_tokenizer(records):
    """A byte-level BPE in the layout of Llama 3. While merges are learnt, every digit stands alone, so no token has two
    digits; the finished file has the regular expression of Llama 3 unchanged."""
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    llama3 = pre_tokenizers.Split(Regex(LLAMA3_REGEX), "isolated")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([llama3, pre_tokenizers.Digits(individual_digits=True), byte_level])
    trainer = trainers.BpeTrainer(vocab_size=VOCAB - len(SPECIAL), min_frequency=1, show_progress=False,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    # the words behind headers and in system messages are part of the corpus too
    corpus = list(texts_of(records)) + ["system", "user", "assistant", "\n\n", "ipython"] * 50
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.model.ignore_merges = True  # as in Llama 3; training would have reset it
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([llama3, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIAL)
    # the text has a few dozen words too few for all merges: reserved tokens, as in Llama 3, fill the vocabulary
    tokenizer.add_special_tokens([f"<|reserved_special_token_{n}|>" for n in range(VOCAB - tokenizer.get_vocab_size())])
    bos = SPECIAL[0]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A {bos}:1 $B:1", special_tokens=[(bos, tokenizer.token_to_id(bos))])
    return tokenizer


def encode(record, tokenizer):
    """Token ids, and a mask of the tokens to learn: answers with their <|eot_id|>; all of a plain text."""
    special = {name: tokenizer.token_to_id(name) for name in SPECIAL}
    ids = lambda text: tokenizer.encode(text, add_special_tokens=False).ids
    out, learn = [special["<|begin_of_text|>"]], [0]
    if "text" in record:
        body = ids(record["text"]) + [special["<|end_of_text|>"]]
        return out + body, learn + [1] * len(body)
    for message in record["messages"]:
        header = [special["<|start_header_id|>"], *ids(message["role"]), special["<|end_header_id|>"], *ids("\n\n")]
        body = ids(message["content"]) + [special["<|eot_id|>"]]
        out += header + body
        learn += [0] * len(header) + [int(message["role"] == "assistant")] * len(body)
    return out, learn


# ------------------------------------------------------------------------------------------------------- training

def make_batches(examples, tokens_per_batch, rng):
    """Batches of about equal length, in random order: little padding."""
    order = sorted(range(len(examples)), key=lambda i: (len(examples[i][0]), rng.random()))
    batches, batch, longest = [], [], 0
    for i in order:
        longest = max(longest, len(examples[i][0]))
        if batch and longest * (len(batch) + 1) > tokens_per_batch:
            batches.append(batch)
            batch, longest = [], len(examples[i][0])
        batch.append(i)
    batches.append(batch)
    rng.shuffle(batches)
    return batches


def collate(examples, pad):
    width = max(len(ids) for ids, _ in examples)
    ids = torch.tensor([e[0] + [pad] * (width - len(e[0])) for e in examples])
    learn = torch.tensor([e[1] + [0] * (width - len(e[1])) for e in examples], dtype=torch.bool)
    return ids, learn


def loss_of(model, ids, learn):
    # Padding is on the right, so the causal mask alone keeps it out; logits only where there is something to learn.
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
        logits = model.lm_head(hidden[:, :-1][learn[:, 1:]])
    return F.cross_entropy(logits.float(), ids[:, 1:][learn[:, 1:]])


def optimizers(model, lr_matrix, lr_rest):
    """Muon for the matrices inside the layers, AdamW for embedding and norms."""
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    rest = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    return [torch.optim.Muon(matrices, lr=lr_matrix, momentum=0.95, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(rest, lr=lr_rest, betas=(0.9, 0.95), weight_decay=0.0)]


def save(model, tokenizer, out):
    out.mkdir(parents=True, exist_ok=True)
    config = {
        "architectures": ["LlamaForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
        "bos_token_id": tokenizer.token_to_id("<|begin_of_text|>"), "eos_token_id": eos_ids(tokenizer),
        "head_dim": 32, "hidden_act": "silu", "hidden_size": 256, "initializer_range": 0.02,
        "intermediate_size": model.config.intermediate_size, "max_position_embeddings": 2048, "mlp_bias": False, "model_type": "llama",
        "num_attention_heads": 8, "num_hidden_layers": 4, "num_key_value_heads": 4, "pretraining_tp": 1, "rms_norm_eps": 1e-5,
        "rope_scaling": None, "rope_theta": 10000.0, "tie_word_embeddings": True, "torch_dtype": "bfloat16", "use_cache": True,
        "vocab_size": model.config.vocab_size}
    generation = {"bos_token_id": config["bos_token_id"], "eos_token_id": config["eos_token_id"], "do_sample": False}
    specials = [t.content for _, t in sorted(tokenizer.get_added_tokens_decoder().items())]
    tokenizer_config = {
        "added_tokens_decoder": {str(tokenizer.token_to_id(t)): {"content": t, "lstrip": False, "normalized": False, "rstrip": False,
                                 "single_word": False, "special": True} for t in specials},
        "bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>", "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False, "model_input_names": ["input_ids", "attention_mask"], "model_max_length": 2048,
        "tokenizer_class": "PreTrainedTokenizerFast"}
    for name, content in (("config", config), ("generation_config", generation), ("tokenizer_config", tokenizer_config)):
        (out / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    tokenizer.save(str(out / "tokenizer.json"))
    weights = {n: p.detach().to(torch.bfloat16).contiguous() for n, p in model.named_parameters() if n != "lm_head.weight"}
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})


def eos_ids(tokenizer):
    return [tokenizer.token_to_id("<|end_of_text|>"), tokenizer.token_to_id("<|eot_id|>")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--tokens", type=int, default=2048, help="tokens of a batch")
    parser.add_argument("--lr-matrix", type=float, default=4e-3)
    parser.add_argument("--lr-rest", type=float, default=4e-3)
    parser.add_argument("--minutes", type=float, default=0, help="end the schedule after this time instead of --steps")
    parser.add_argument("--init", type=Path, help="start from the weights and the tokenizer of this folder")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)

    records = [json.loads(line) for line in open(args.data, encoding="utf-8")]
    tokenizer = Tokenizer.from_file(str(args.init / "tokenizer.json")) if args.init else train_tokenizer(records)
    examples = [encode(r, tokenizer) for r in records]
    print(f"{len(records)} records, {sum(len(e[0]) for e in examples)} tokens, longest {max(len(e[0]) for e in examples)}, "
          f"vocabulary {tokenizer.get_vocab_size()}", flush=True)

    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=256, intermediate_size=640, num_hidden_layers=4, num_attention_heads=8,
        num_key_value_heads=4, head_dim=32, max_position_embeddings=2048, rms_norm_eps=1e-5, rope_parameters={"rope_type": "default",
        "rope_theta": 10000.0}, tie_word_embeddings=True, attn_implementation="sdpa"))
    if args.init:
        model.load_state_dict(load_file(args.init / "model.safetensors"), strict=False)
    print(f"{sum(p.numel() for p in model.parameters())} parameters", flush=True)

    opts = optimizers(model, args.lr_matrix, args.lr_rest)
    base = [[g["lr"] for g in o.param_groups] for o in opts]
    pad = tokenizer.token_to_id("<|end_of_text|>")
    batches, step, start, running, tokens = [], 0, time.time(), None, 0
    while True:
        done = (time.time() - start) / (60 * args.minutes) if args.minutes else step / args.steps
        if done >= 1:
            break
        # warm up, hold, then linearly to zero over the last 60 %
        factor = min(1.0, (step + 1) / 100, (1 - done) / 0.6)
        for opt, rates in zip(opts, base):
            for group, rate in zip(opt.param_groups, rates):
                group["lr"] = rate * factor
        if not batches:
            batches = make_batches(examples, args.tokens, rng)
        ids, learn = collate([examples[i] for i in batches.pop()], pad)
        loss = loss_of(model, ids, learn)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for opt in opts:
            opt.step()
            opt.zero_grad(set_to_none=True)
        running = loss.item() if running is None else 0.98 * running + 0.02 * loss.item()
        step, tokens = step + 1, tokens + ids.numel()
        if step % 50 == 0:
            seconds = time.time() - start
            print(f"step {step} loss {running:.4f} {tokens / seconds:.0f} tokens/s {seconds:.0f} s", flush=True)
        if step % 500 == 0:
            save(model, tokenizer, args.out)
    save(model, tokenizer, args.out)
    print(f"finished: {step} steps, {tokens} tokens, {time.time() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
