#!/usr/bin/env python3
"""Nobody is suspected who works: prompts in steps of 512 rows on a random model of 1.2 billion weights, beside a compiler
that takes the same cores, for ten minutes. Each operation takes long and, with others on its cores, longer. With --cluster: the ten
processes of the demo cluster, asked by as many clients as its replicas run sequences.

    suspicion_soak.py HERD_BINARY [--cluster] [--minutes 10] [--beside COMMAND] [--tp 2]

Fails when a rank was suspected or a replica formed its group again; of a cluster also when an attempt began anew, a replica was found
slow, or an epoch rose. --beside: a shell command, run again and again, twice at a time; the default compiles a source of this
repository. Standard library only.
"""
import argparse
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

from cluster_process import UpCluster
from serve_load import cpu_model
from serve_process import DEMO_MODEL, Checks, Server, TestFolder

CONFIG = {  # the shape of Llama 3.2 1B
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16", "hidden_size": 2048,
    "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64,
    "intermediate_size": 8192, "vocab_size": 128256, "rms_norm_eps": 1e-5, "max_position_embeddings": 4096,
    "rope_theta": 500000.0, "tie_word_embeddings": True, "hidden_act": "silu", "bos_token_id": 128000,
    "eos_token_id": 128001}
ROWS = 512
PROMPT_TOKENS = 1024  # two whole steps
CLIENTS = 3
ANSWER_PATIENCE_S = 1800  # a step may take half a minute on a busy machine
COMPILE = f"c++ -std=c++20 -O2 -I{ROOT} -c {ROOT}/actors/roles/gateway_actor.cc -o /dev/null"

checks = Checks()


class Beside:
    """A command, again and again, twice at a time, until it is stopped."""

    def __init__(self, command):
        self.command, self.runs, self.stopping = command, 0, threading.Event()
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(2)]
        for thread in self.threads:
            thread.start()

    def _run(self):
        while not self.stopping.is_set():
            began = time.monotonic()
            process = subprocess.Popen(self.command, shell=True, start_new_session=True, stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
            while process.poll() is None and not self.stopping.wait(0.1):
                pass
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            elif process.returncode == 0:
                self.runs += 1
            elif time.monotonic() - began < 1:
                self.stopping.wait(1)  # it fails at once: not a loop of forks

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()


def client(server, seed, end, answers):
    """One long prompt after another, none with a beginning that another one had."""
    rng = random.Random(seed)
    while time.monotonic() < end:
        prompt = [rng.randrange(0, 128000) for _ in range(PROMPT_TOKENS)]
        body = {"prompt": prompt, "max_tokens": 4, "ignore_eos": True, "temperature": 0}
        connection = server.connect(ANSWER_PATIENCE_S)
        try:
            answers.append(server.post("/v1/completions", body, connection=connection).status)
        except OSError as error:
            answers.append(str(error))
        finally:
            connection.close()


CLUSTER_CLIENTS = 64
CLUSTER_PROMPT, CLUSTER_TOKENS = 200, 400


def cluster_client(gateway, seed, end, answers):
    """Prompts of all lengths up to that of the demo model's window, answers as long."""
    rng = random.Random(seed)
    while time.monotonic() < end:
        prompt = [rng.randrange(10, 250) for _ in range(rng.randrange(1, CLUSTER_PROMPT))]
        body = {"prompt": prompt, "max_tokens": rng.randrange(1, CLUSTER_TOKENS), "ignore_eos": True, "temperature": 1, "seed": seed}
        connection = gateway.connect(ANSWER_PATIENCE_S)
        try:
            answers.append(gateway.post("/v1/completions", body, connection=connection).status)
        except OSError as error:
            answers.append(str(error))
        finally:
            connection.close()


def soak_cluster(cluster, minutes, beside):
    before, gateway = cluster.await_serving(), cluster.gateway()
    end, answers = time.monotonic() + 60 * minutes, []
    clients = [threading.Thread(target=cluster_client, args=(gateway, seed, end, answers), daemon=True)
               for seed in range(CLUSTER_CLIENTS)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join(60 * minutes + ANSWER_PATIENCE_S)
    after = cluster.await_serving()
    others = [member for member in after.members if member.role != "coordinator"]  # whom `herd status` asks and leaves
    lost = sum(value for member in others for (name, labels), value in after.page(member).items()
               if name == "herd_links_total" and "lost" in str(labels))
    print(f"note: {minutes:g} minutes, {len(answers)} answers, {beside.runs} runs of {beside.command}", flush=True)
    checks.check("the command beside it ran", beside.runs > 0, beside.command)
    checks.check("every prompt is answered", bool(answers) and set(answers) == {200}, answers[:20])
    checks.equal("attempts that began anew", counted(gateway, "herd_requests_replayed_total"), 0)
    checks.equal("replicas found slow", counted(gateway, "herd_replica_ejections_total"), 0)
    checks.equal("connections lost", lost, 0)
    checks.equal("epochs", after.epochs(), before.epochs())


def counted(server, name):
    return sum(value for (found, _), value in server.metrics().items() if found == name)


def soak(server, minutes, beside):
    end = time.monotonic() + 60 * minutes
    answers = []
    clients = [threading.Thread(target=client, args=(server, seed, end, answers), daemon=True) for seed in range(CLIENTS)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join(60 * minutes + ANSWER_PATIENCE_S)
    suspicions, generations = (counted(server, f"herd_{name}_total") for name in ("rank_suspicions", "replica_generations"))
    steps = counted(server, "herd_scheduler_step_seconds_count")
    step_s = counted(server, "herd_scheduler_step_seconds_sum") / max(1, steps)
    print(f"note: {minutes:g} minutes, {len(answers)} prompts of {PROMPT_TOKENS} tokens, {int(steps)} steps of {step_s:.2f} s, "
          f"{beside.runs} runs of {beside.command}", flush=True)
    checks.check("the command beside it ran", beside.runs > 0, beside.command)
    checks.check("every prompt is answered", bool(answers) and set(answers) == {200}, answers[:20])
    checks.equal("suspicions", suspicions, 0)
    checks.equal("replicas that were lost and came back", generations, 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("herd")
    parser.add_argument("--cluster", action="store_true")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--beside", default=COMPILE)
    parser.add_argument("--tp", type=int, default=2)
    flags = parser.parse_args()
    print(cpu_model(), flush=True)
    beside = Beside(flags.beside)
    if flags.cluster:
        try:
            with UpCluster(flags.herd, words=[DEMO_MODEL], checks=checks) as cluster:
                soak_cluster(cluster, flags.minutes, beside)
        finally:
            beside.stop()
        return checks.finish()
    with TestFolder() as folder:
        (folder / "config.json").write_text(json.dumps(CONFIG))
        words = ["--load-format", "random", "-tp", flags.tp, "--max-num-batched-tokens", ROWS, "--max-num-seqs", 4,
                 "--max-model-len", 2048, "--kv-cache-memory", "512MiB"]
        try:
            with Server(flags.herd, *words, folder=folder, model=(folder,), checks=checks) as server:
                soak(server, flags.minutes, beside)
        finally:
            beside.stop()
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
