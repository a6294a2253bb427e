#!/usr/bin/env python3
"""transformers on PyTorch, on this GPU, with a model of the same shape: what herd's figures stand beside.

    gpu_peer.py CONFIG_FOLDER [--batch 1,32] [--input-len 512] [--output-len 32] [--prefill-len 4096] [--compile]
                [--seconds S] [--herd RESULT.json]... [--json FILE] [--device cpu]

CONFIG_FOLDER holds a config.json (the same that `herd bench latency CONFIG_FOLDER --load-format random` takes); weights
are random, bfloat16, on the GPU. Decode: generate() with its default cache, and with --compile also with the static
cache, whose forward pass transformers compiles; the rate is that of the tokens after the first ones, so that neither
prefill nor start count. Prefill: one forward pass of one prompt, logits of its last row. Prompts are random ids, medians
of three. --herd: files of `herd bench latency --output-json`, shown beside (same batch and lengths). --seconds: begin
nothing new after that; what was left out is said. --device cpu: to try the script itself.

Exit codes: 0; 2 usage; 4 torch, transformers or a GPU is missing (says which).
"""
import argparse
import json
import statistics
import sys
import time
from pathlib import Path

REPEATS = 3
WARM_TOKENS = 4  # generated before a rate counts


def missing(text):
    print(f"gpu_peer: {text}", file=sys.stderr)
    sys.exit(4)


def load_modules(device):
    try:
        import torch
    except ImportError as reason:
        missing(f"torch is missing ({reason})")
    try:
        import transformers
    except ImportError as reason:
        missing(f"transformers is missing ({reason})")
    if device == "cuda" and not torch.cuda.is_available():
        missing("no GPU that torch can use")
    return torch, transformers


class Peer:
    def __init__(self, torch, transformers, folder, device):
        self.torch, self.device = torch, device
        words = json.loads((folder / "config.json").read_text())
        words.pop("architectures", None)
        words.pop("model_type", None)
        config = transformers.LlamaConfig(**words)
        torch.manual_seed(1)
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.bfloat16)
        with torch.device(device):
            self.model = transformers.LlamaForCausalLM(config).eval()
        torch.set_default_dtype(before)
        # No token ends a sequence: random weights would end it anywhere.
        self.model.generation_config.eos_token_id = None
        self.model.generation_config.pad_token_id = 0
        self.vocab = config.vocab_size

    def prompts(self, batch, length):
        return self.torch.randint(1, self.vocab, (batch, length), device=self.device)

    def wait(self):
        if self.device == "cuda":
            self.torch.cuda.synchronize()

    def timed(self, action):
        self.wait()
        begin = time.perf_counter()
        action()
        self.wait()
        return time.perf_counter() - begin

    def generate(self, ids, tokens, static):
        extra = {"cache_implementation": "static"} if static else {}
        out = self.model.generate(ids, attention_mask=self.torch.ones_like(ids), do_sample=False, max_new_tokens=tokens,
                                  min_new_tokens=tokens, **extra)
        if out.shape[1] != ids.shape[1] + tokens:
            raise RuntimeError(f"{tokens} tokens were asked for, {out.shape[1] - ids.shape[1]} came")

    def decode_rate(self, batch, length, tokens, static):
        """Tokens per second of the whole batch."""
        # The static cache is as long as the longest generation it was made for: the long one goes first.
        self.generate(self.prompts(batch, length), WARM_TOKENS + tokens, static)
        self.generate(self.prompts(batch, length), WARM_TOKENS, static)
        gaps = []
        for _ in range(REPEATS):
            ids = self.prompts(batch, length)
            long = self.timed(lambda ids=ids: self.generate(ids, WARM_TOKENS + tokens, static))
            short = self.timed(lambda ids=ids: self.generate(ids, WARM_TOKENS, static))
            gaps.append(long - short)
        return batch * tokens / statistics.median(gaps)

    def prefill_rate(self, length):
        def forward():
            with self.torch.inference_mode():
                self.model(self.prompts(1, length), use_cache=True, logits_to_keep=1)

        forward()
        return length / statistics.median(self.timed(forward) for _ in range(REPEATS))


def herd_figure(results, kind, batch, length):
    """tokens/s of the file that was made with this batch and prompt length, or None."""
    for result in results:
        if result.get("batch_size") == batch and result.get("input_len") == length:
            return result.get(f"{kind}_tokens_per_s")
    return None


def measure(arguments, peer, results):
    """Yields rows; a row without figure says why."""
    begin = time.perf_counter()

    def row(kind, batch, length, mode, action):
        entry = {"kind": kind, "batch_size": batch, "input_len": length, "mode": mode,
                 "herd_tokens_per_s": herd_figure(results, kind, batch, length), "tokens_per_s": None, "left_out": None}
        if arguments.seconds and time.perf_counter() - begin > arguments.seconds:
            entry["left_out"] = "no time left"
            return entry
        try:
            entry["tokens_per_s"] = action()
        except (RuntimeError, TypeError, ValueError, NotImplementedError) as reason:  # one variant, not all
            entry["left_out"] = f"{type(reason).__name__}: {str(reason).strip().splitlines()[0][:120]}"
        return entry

    for batch in arguments.batch:
        yield row("decode", batch, arguments.input_len, "eager",
                  lambda batch=batch: peer.decode_rate(batch, arguments.input_len, arguments.output_len, False))
    yield row("prefill", 1, arguments.prefill_len, "eager", lambda: peer.prefill_rate(arguments.prefill_len))
    if arguments.compile:
        for batch in arguments.batch:
            yield row("decode", batch, arguments.input_len, "static cache, compiled",
                      lambda batch=batch: peer.decode_rate(batch, arguments.input_len, arguments.output_len, True))


def shown(row):
    theirs = f"{row['tokens_per_s']:12.1f}" if row["tokens_per_s"] else f"{'-':>12}"
    ours = f"{row['herd_tokens_per_s']:12.1f}" if row["herd_tokens_per_s"] else f"{'-':>12}"
    both = row["tokens_per_s"] and row["herd_tokens_per_s"]
    ratio = f"{row['herd_tokens_per_s'] / row['tokens_per_s']:8.2f}" if both else f"{'-':>8}"
    left_out = f"  left out: {row['left_out']}" if row["left_out"] else ""
    return f"{row['kind']:8} {row['batch_size']:6} {row['input_len']:8} {row['mode']:24} {theirs} {ours} {ratio}{left_out}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--batch", type=lambda text: [int(word) for word in text.split(",")], default=[1, 32])
    parser.add_argument("--input-len", type=int, default=512)
    parser.add_argument("--output-len", type=int, default=32)
    parser.add_argument("--prefill-len", type=int, default=4096)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--herd", type=Path, action="append", default=[])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    arguments = parser.parse_args()
    if not (arguments.folder / "config.json").is_file():
        parser.error(f"{arguments.folder}/config.json does not exist")
    results = [json.loads(path.read_text()) for path in arguments.herd if path.is_file()]
    torch, transformers = load_modules(arguments.device)
    peer = Peer(torch, transformers, arguments.folder, arguments.device)
    name = torch.cuda.get_device_name() if arguments.device == "cuda" else "CPU"
    print(f"{name}; torch {torch.__version__}, transformers {transformers.__version__}")
    print(f"{'':8} {'batch':>6} {'prompt':>8} {'transformers':24} {'tokens/s':>12} {'herd':>12} {'ratio':>8}")
    rows = []
    for row in measure(arguments, peer, results):
        rows.append(row)
        print(shown(row), flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps({"gpu": name, "torch": torch.__version__,
                                                  "transformers": transformers.__version__, "rows": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
