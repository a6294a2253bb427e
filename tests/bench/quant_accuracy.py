#!/usr/bin/env python3
"""How far weights in blocks, and activations of 8 bits, are from fp32: mean KL divergence of the next token.

    quant_accuracy.py HERD MODEL... [--tokens 2048] [--window 512] [--peer FOLDER] [--save FOLDER]

The text is the repository's own pages (README.md, docs/). Of every position of every window: KL(p || q) in nats, p by a run in fp32
(`--quantization-encoding float32`: the numbers that the blocks stand for, and activations, in fp32), q by the encoding of the file.
--peer: FOLDER/MODEL_NAME.npy has another program's logits of the same tokens, [windows, window, vocabulary] as float32, which are held
against the same fp32 run. --save: writes the tokens there, FOLDER/MODEL_NAME.tokens.json, for it. Wants numpy.
"""
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
RUN_S = 3600


def run(words):
    done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=RUN_S)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(words[:4])} …: exit code {done.returncode}: {done.stderr[-400:]}")
    return done.stdout


def tokens_of_pages(herd, model, count):
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "text"
        text.write_text("\n".join(page.read_text() for page in pages)[: 6 * count])
        answer = run([herd, "generate", "-q", "--model-path", model, "--prompt-file", str(text), "--max-new-tokens", "1", "--output", "json"])
    return json.loads(answer.splitlines()[0])["prompt_token_ids"][:count]


def logits(herd, model, window, flags):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "logits.npy"
        run([herd, "score", "-q", "--model-path", model, "--prompt-token-ids", ",".join(map(str, window)), "--return-logits", "all",
             "--output", f"npy:{file}", *flags])
        return np.load(file)


def log_softmax(values):
    values = values.astype(np.float64)
    values -= values.max(axis=-1, keepdims=True)
    return values - np.log(np.exp(values).sum(axis=-1, keepdims=True))


def divergences(exact, other):
    """KL of each position."""
    p = log_softmax(exact)
    return (np.exp(p) * (p - log_softmax(other))).sum(axis=-1)


def native_share(herd, model):
    """Of the matrices, how many are computed as they are stored."""
    tensors = json.loads(run([herd, "inspect", model, "--output", "json"]))["tensors"]
    matrices = [tensor for tensor in tensors if tensor["used"] and "," in tensor["shape"]]
    blocks = [tensor for tensor in matrices if tensor["encoding"].startswith("q")]
    return f"{len(blocks)} of {len(matrices)}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("herd")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--window", type=int, default=512)
    parser.add_argument("--peer", type=Path)
    parser.add_argument("--save", type=Path)
    arguments = parser.parse_args()
    print("| Model | Matrices in blocks | Positions | herd, mean KL to fp32 | llama.cpp, mean KL to fp32 | herd / llama.cpp |\n|---|---|---|---|---|---|")
    for model in arguments.models:
        name = Path(model).stem
        tokens = tokens_of_pages(arguments.herd, model, arguments.tokens)
        windows = [tokens[at:at + arguments.window] for at in range(0, len(tokens) - arguments.window + 1, arguments.window)]
        if arguments.save:
            (arguments.save / f"{name}.tokens.json").write_text(json.dumps(windows))
        peer_file = arguments.peer / f"{name}.npy" if arguments.peer else None
        theirs = np.load(peer_file, mmap_mode="r") if peer_file and peer_file.is_file() else None
        own, peer = [], []
        for number, window in enumerate(windows):
            exact = logits(arguments.herd, model, window, ["--quantization-encoding", "float32"])
            own.append(divergences(exact, logits(arguments.herd, model, window, [])))
            if theirs is not None:
                peer.append(divergences(exact, theirs[number]))
        mean = np.concatenate(own).mean()
        beside = np.concatenate(peer).mean() if peer else None
        print(f"| {name} | {native_share(arguments.herd, model)} | {sum(map(len, own))} | {mean:.3e} | "
              + ("– | – |" if beside is None else f"{beside:.3e} | {mean / beside:.3f} |"), flush=True)


if __name__ == "__main__":
    sys.exit(main())
