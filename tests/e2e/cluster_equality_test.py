#!/usr/bin/env python3
"""A cluster's answers are `herd generate`'s: the same text, token ids and log-probabilities (as bits), whole and streamed, whatever the
parallelism, the step size, the KV cache, with TLS between the processes and without, through any gateway. And the demo cluster of
`herd up` answers the openai client and curl.

    cluster_equality_test.py HERD [--full]

A sample of the arrangements, or all; larger models are cluster_netns_test.py's. The openai client is used where its package is
installed.
"""
import argparse
import json
import random
import shutil
import subprocess
import sys
import time

from cluster_process import ClusterFile, UpCluster, make_certificates
from equality_cases import cases_of, compare, spell
from serve_process import Checks, TestFolder

STARTS_IN_S = 10  # the demo cluster, to its first answer: what its page promises

# (name, what the file is made with). 130 blocks hold one whole context and hardly more: sequences are preempted and computed again.
SMALL_STEPS = {"scheduler": {"max_num_batched_tokens": 64, "max_num_seqs": 16}}
SAMPLE = (
    ("TP 2 x DP 2, TLS", {"data_parallel": 2, "nodes": 2, "gateways": 2, "tls": True}),
    ("TP 1 x DP 2 on one node, few blocks", {"tensor_parallel": 1, "data_parallel": 2, "devices": 2,
                                             "more": {"kv": {"num_blocks": 130}}}),
)
FULL = (
    ("TP 1", {"tensor_parallel": 1}),
    ("TP 2", {}),
    ("TP 4", {"tensor_parallel": 4}),
    ("TP 1 x DP 3", {"tensor_parallel": 1, "data_parallel": 3, "nodes": 3}),
    ("TP 2, small steps", {"more": SMALL_STEPS}),
    ("TP 2 x DP 2, small steps, few blocks", {"data_parallel": 2, "nodes": 2, "more": SMALL_STEPS | {"kv": {"num_blocks": 130}}}),
    ("TP 2, long blocks, no prefix cache", {"more": {"kv": {"block_size": 64, "enable_prefix_caching": False}}}),
    ("TP 2, other instructions", {"more": {"compute": {"cpu_isa": "avx2"}}}),
    ("TP 2, two threads a rank", {"threads": 4}),
    ("TP 2 x DP 2 on one node, three gateways, TLS", {"data_parallel": 2, "devices": 4, "gateways": 3, "tls": True}),
)

checks = Checks()


def cluster_of(herd, folder, arrangement):
    options = dict(arrangement)
    threads, tls = options.pop("threads", None), options.pop("tls", False)
    if tls:
        options["certificates"] = folder / "certificates"
        if not options["certificates"].exists():
            make_certificates(herd, options["certificates"], 4, 4)
    file = ClusterFile(folder, **options)
    for node in file.content["nodes"]:
        node |= {"threads": threads} if threads else {}
    return UpCluster(herd, file.write(), checks=checks)


def arrangements(herd, folder, names, cases):
    spelled = False
    for name, arrangement in names:
        with cluster_of(herd, folder, arrangement) as cluster:
            if not spelled:
                spell(cases, cluster.gateway())
                spelled = True
            share = -(-len(cases) // len(cluster.gateways))
            for at, (gateway_name, gateway) in enumerate(cluster.gateways.items()):
                compare(checks, gateway, f"{name}, {gateway_name}, 64 at once", cases[at * share:(at + 1) * share], 64,
                        lambda index: index % 2 == 0)


def demo(herd):
    """`herd up` without a file; what it tells is enough for a client and for `herd status`."""
    began = time.monotonic()
    with UpCluster(herd, checks=checks) as cluster:
        url = cluster.told.content["endpoints"][0]["url"]
        model = cluster.gateway().get("/v1/models").json()["data"][0]["id"]
        body = {"model": model, "prompt": "The capital of France is", "max_tokens": 8, "temperature": 0}
        said = subprocess.run(["curl", "-sS", f"{url}/v1/completions", "-H", "Content-Type: application/json", "-d", json.dumps(body)],
                              capture_output=True, timeout=60, check=True).stdout
        print(f"note: demo cluster: curl has its answer {time.monotonic() - began:.1f} s after the start; {STARTS_IN_S} are promised",
              flush=True)
        checks.check("demo cluster: curl", "Paris" in json.loads(said)["choices"][0]["text"], said)
        checks.equal("demo cluster: roles", {role: len(cluster.told.of(role)) for role in ("gateway", "coordinator", "node", "rank")},
                     {"gateway": 1, "coordinator": 1, "node": 2, "rank": 4})
        openai_client(url, model)
        plain = subprocess.run([herd, "status", "--output", "json"], capture_output=True, timeout=60, check=False)
        checks.check("demo cluster: herd status finds it by itself", plain.returncode == 0 and
                     {each["pid"] for each in json.loads(plain.stdout)["processes"]} == {member.pid for member in cluster.told.members},
                     plain.stderr[-500:])


def openai_client(url, model):
    try:
        import openai
    except ImportError:
        return checks.skip("demo cluster: the openai client", "its package is not installed")
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", timeout=60, max_retries=0)
    asked = {"model": model, "messages": [{"role": "user", "content": "What is the capital of France?"}], "temperature": 0}
    whole = client.chat.completions.create(**asked).choices[0].message.content
    pieces = [chunk.choices[0].delta.content or "" for chunk in client.chat.completions.create(**asked, stream=True) if chunk.choices]
    checks.check("demo cluster: the openai client, whole and streamed", "Paris" in whole and "".join(pieces) == whole, (whole, pieces))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("herd")
    parser.add_argument("--full", action="store_true")
    flags = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"order of requests: seed {seed}", flush=True)
    with TestFolder() as folder:
        if shutil.which("curl"):
            demo(flags.herd)
        else:
            checks.skip("demo cluster", "there is no curl")
        cases = cases_of(flags.herd)
        random.Random(seed).shuffle(cases)
        arrangements(flags.herd, folder, SAMPLE + (FULL if flags.full else ()), cases)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
