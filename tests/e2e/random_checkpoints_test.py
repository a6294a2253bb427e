#!/usr/bin/env python3
"""What transformers loads herd loads, with equal logits: random tiny checkpoints with one to three deviations each
(random_checkpoints.py). Where herd refuses one, it says why.

    random_checkpoints_test.py HERD                       replays the sample in random_checkpoints.json; needs numpy
    random_checkpoints_test.py HERD --count 2000 --seed 0 against transformers itself; needs golden/requirements.txt
    random_checkpoints_test.py HERD --count 2000 --seed 0 --write-sample    and keeps a sample with every deviation

A checkpoint counts as loaded by transformers when it found every tensor in the file (else it makes some up) and the
logits are finite. Logits are equal within the tolerance of the golden models: 1e-4 of the largest |logit| (float32 on
both sides; a mistake in loading changes far more). At least 95 % must be equal, none different, none a crash.
"""
import argparse
import collections
import hashlib
import json
import logging
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

from random_checkpoints import RandomCheckpoint

SAMPLE = Path(__file__).with_name("random_checkpoints.json")
TOLERANCE = 1e-4
SHARE_MIN = 0.95
KEPT_VALUES = 16  # of a checkpoint's logits, in the sample
SECONDS = 60


def digest_of(folder):
    """Of every file's name and bytes: the sample speaks of these checkpoints and no others."""
    sum_ = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        sum_.update(path.name.encode() + b"\0" + path.read_bytes())
    return sum_.hexdigest()[:16]


def herd_logits(herd, folder, prompt, scratch):
    """(logits, "") or (None, what herd said)."""
    out = Path(scratch) / "logits.npy"
    run = subprocess.run(
        [herd, "score", "-q", "--model-path", folder, "--prompt-token-ids", ",".join(map(str, prompt)),
         "--return-logits", "all", "--quantization-encoding", "float32", "--output", f"npy:{out}"],
        capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, timeout=SECONDS)
    if run.returncode == 0:
        return np.load(out), ""
    if run.returncode not in (3, 4) or not run.stderr.startswith("herd: "):
        raise AssertionError(f"herd ended with {run.returncode}: {run.stderr[-500:]}")
    return None, run.stderr.strip().splitlines()[-1].replace(str(folder), "…")


class Transformers:
    """The oracle. Imported only here: replaying the sample does without."""

    def __init__(self):
        os.environ["HF_HUB_OFFLINE"] = "1"
        import torch
        import transformers
        torch.set_num_threads(1)
        transformers.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        logging.disable(logging.CRITICAL)
        warnings.simplefilter("ignore")
        self.torch, self.transformers = torch, transformers

    def logits(self, folder, prompt):
        """(logits, "") or (None, why it cannot be the oracle here)."""
        try:
            model, info = self.transformers.AutoModelForCausalLM.from_pretrained(
                folder, dtype=self.torch.float32, attn_implementation="eager", output_loading_info=True)
            with self.torch.no_grad():
                logits = model(self.torch.tensor([prompt])).logits[0].numpy()
        except Exception as error:  # whatever it raises, it does not run this one
            return None, f"{type(error).__name__}: {error}".replace("\n", " ")[:200]
        made_up = sorted(info["missing_keys"]) + sorted(map(str, info["mismatched_keys"]))
        if made_up:
            return None, f"made up: {', '.join(made_up[:3])}"
        return (logits, "") if np.isfinite(logits).all() else (None, "the logits are not finite")


def kept(seed, logits):
    """Places whose logits go into the sample: drawn, the same on every machine."""
    places = np.random.RandomState(seed % 2**32).randint(0, logits.size, KEPT_VALUES)
    return sorted(set(places.tolist()))


def against_transformers(options):
    oracle = Transformers()
    tally, refused, unloaded, sample = collections.Counter(), {}, collections.Counter(), []
    worst, seen = 0.0, set()
    for seed in range(options.seed, options.seed + options.count):
        checkpoint = RandomCheckpoint(seed)
        with tempfile.TemporaryDirectory() as scratch:
            folder = checkpoint.write(scratch)
            entry = {"seed": seed, "digest": digest_of(folder), "deviations": checkpoint.deviations}
            expected, why = oracle.logits(folder, checkpoint.prompt)
            try:
                logits, message = herd_logits(options.herd, folder, checkpoint.prompt, scratch)
            except (AssertionError, subprocess.TimeoutExpired) as error:
                tally["crashed"] += 1
                print(f"FAILED seed {seed}, {checkpoint.deviations}: {error}", flush=True)
                continue
        if expected is None:
            tally["not loaded by transformers"] += 1
            unloaded[f"{'+'.join(checkpoint.deviations)}: {why}"] += 1
            continue
        scale = float(np.abs(expected).max())
        if logits is None:
            tally["refused"] += 1
            refused.setdefault(message, []).append(seed)
            entry["refused"] = message
        elif logits.shape != expected.shape or np.abs(logits - expected).max() > TOLERANCE * scale:
            tally["different"] += 1
            apart = np.abs(logits - expected).max() / scale if logits.shape == expected.shape else logits.shape
            print(f"FAILED seed {seed}, {checkpoint.deviations}: logits differ by {apart} of the largest", flush=True)
            continue
        else:
            tally["equal"] += 1
            worst = max(worst, float(np.abs(logits - expected).max()) / scale)
            places = kept(seed, expected)
            entry.update(scale=float(f"{scale:.7g}"), shape=list(expected.shape),
                         logits={str(place): float(f"{expected.flat[place]:.7g}") for place in places})
        if not seen.issuperset(checkpoint.deviations):
            sample.append(entry)
            seen.update(checkpoint.deviations)
    for message, seeds in sorted(refused.items(), key=lambda item: -len(item[1])):
        print(f"refused {len(seeds)}: {message} (seeds {', '.join(map(str, seeds[:5]))})")
    for what, count in unloaded.most_common(40):
        print(f"not loaded by transformers {count}: {what}")
    loaded = tally["equal"] + tally["refused"] + tally["different"] + tally["crashed"]
    share = tally["equal"] / max(1, loaded)
    print(f"random_checkpoints_test: {options.count} checkpoints, {dict(tally)}; {share:.1%} of what transformers loads "
          f"is loaded with equal logits, the largest difference is {worst:.1e} of the largest logit")
    good = share >= SHARE_MIN and not tally["different"] and not tally["crashed"] and loaded > 0
    if options.write_sample and good:
        SAMPLE.write_text("[\n" + ",\n".join(json.dumps(entry) for entry in sample) + "\n]\n")
    return 0 if good else 1


def replay(options):
    sample = json.loads(SAMPLE.read_text())
    failed = 0
    for entry in sample:
        checkpoint = RandomCheckpoint(entry["seed"])
        with tempfile.TemporaryDirectory() as scratch:
            folder = checkpoint.write(scratch)
            problem = ""
            if digest_of(folder) != entry["digest"] or checkpoint.deviations != entry["deviations"]:
                problem = "the generator makes another checkpoint than the sample's: write the sample again"
            else:
                try:
                    logits, message = herd_logits(options.herd, folder, checkpoint.prompt, scratch)
                    problem = difference(entry, logits, message)
                except (AssertionError, subprocess.TimeoutExpired) as error:
                    problem = str(error)
        if problem:
            failed += 1
            print(f"FAILED seed {entry['seed']}, {entry['deviations']}: {problem}")
    print(f"random_checkpoints_test: {len(sample) - failed} of {len(sample)} checkpoints as transformers has them")
    return int(failed > 0 or not sample)


def difference(entry, logits, message):
    """Between what herd did and what the sample says; empty when there is none."""
    if "refused" in entry:  # by the same file and field; a later herd may load it: then write the sample again
        same = message.split(": ")[:3] == entry["refused"].split(": ")[:3]
        return "" if same else f"expected {entry['refused']!r}, gave {message or 'logits'!r}"
    if logits is None:
        return message
    if list(logits.shape) != entry["shape"]:
        return f"logits of shape {logits.shape}, expected {entry['shape']}"
    apart = max(abs(float(logits.flat[int(place)]) - value) for place, value in entry["logits"].items())
    return f"logits are {apart:.3g} apart" if not apart <= TOLERANCE * entry["scale"] else ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("herd", type=lambda text: Path(text).resolve())
    parser.add_argument("--count", type=int, default=0, help="checkpoints to compare with transformers")
    parser.add_argument("--seed", type=int, default=0, help="the first one's")
    parser.add_argument("--write-sample", action="store_true", help="keep some of them for the replay")
    options = parser.parse_args()
    return against_transformers(options) if options.count else replay(options)


if __name__ == "__main__":
    sys.exit(main())
