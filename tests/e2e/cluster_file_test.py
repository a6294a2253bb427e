#!/usr/bin/env python3
"""Cluster files from the outside: herd check, herd inspect FILE, and the JSON Schema that editors use.

The schema and the reader come from one table; here they are held against each other: every key with values of every kind, one
at a time, and random files of many keys. What the schema refuses herd refuses; what the schema takes herd takes, but for what no
schema can say (BEYOND_SCHEMA), which herd has to say in those words.

    cluster_file_test.py HERD_BINARY
"""
import copy
import json
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import jsonschema_rs
import yaml

HERD = sys.argv[1]
ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "config" / "cluster"
SEED = 1
RANDOM_FILES = 600
failures = []

BASE = {
    "name": "c",
    "model": {"model_path": "/nowhere"},
    "coordinators": [{"name": "co", "address": "127.0.0.1:7100"}],
    "gateways": [{"name": "gw"}],
    "nodes": [{"name": "n0", "address": "127.0.0.1:7101", "devices": ["cpu"] * 8}],
}

# Values and contradictions beyond a schema: ranges of what has a unit, ports and CPUs inside texts, keys that exclude each other.
BEYOND_SCHEMA = re.compile("|".join([
    r"must be in \[", r"has the port", r"is dialled by", r"must be CPUs below", r"is more than max_request_timeout",
    r"both size the KV cache", r"needs ssl_\w+ beside it", r"counts only with load_format: random", r"is taken by",
    r"is not a loopback address", r"cannot be mixed on one node", r"names gpu-\d+ twice", r"keep one of them",
    r"each needs one of its own", r"each computes on one at least", r"more threads than CPUs", r"counts threads of CPU ranks",
    r"is no name of a node", r"must both hold \{name\}", r"needs the section tls", r"has no place", r"bytes; at most 1024",
    r"names a node, and nodes: any-with-certificate", r"is the name of", r"IP address in full", r"must be a day such as",
    r"chat_template another: give one of them",
]))
# What only a model can say.
BEYOND_FILE = re.compile("|".join([
    r"is more than the model's maximum", r"would be left without", r"are turned into float32, float16", r"is computed in its own encoding", r"\d+ were asked for",
    r"KV cache: ", r"has no place",
]))
DEMO_FILES = 50

# Something of every kind; whoever takes one of them does so on purpose.
ANYTHING = [None, True, False, 0, 1, -1, 8.5, 65536, 10**15, "", "x", "yes", "8", "8GiB", "30s", "4 gb", "-5s", "a:1", "127.0.0.1:65536",
            "http://a:4318/v1", "http://[::1]", "https://a", "http://a/@b",
            "0-3", "3-1", "cpu", "gpu-0", "gpu-01", "any-with-certificate", "Ü", "a\tb", "x" * 1025, [], {}, ["cpu"], [""], ["gpu-0", "gpu-0"],
            [7], [["a"]], {"a": "b"}, {"A": "b"}, {"a": 7}, [{}], "0s", "0B", "1.5h", "1.5GiB", "012"]


def herd(*arguments, code=0):
    run = subprocess.run([HERD, *map(str, arguments)], capture_output=True, timeout=120, check=False)
    out, err = run.stdout.decode(), run.stderr.decode()
    expect(f"{arguments}: exit {run.returncode}, wanted {code}: {err[-300:]}", run.returncode == code)
    return out, err


def expect(what, condition):
    if not condition:
        failures.append(what)


def check_all(texts, folder):
    """What herd says of each text, a dict each."""
    paths = []
    for number, text in enumerate(texts):
        path = folder / f"{number}.yaml"
        path.write_text(text, encoding="utf-8")
        paths.append(str(path))
    said = []
    for first in range(0, len(paths), 500):
        run = subprocess.run([HERD, "check", "--output", "json", *paths[first:first + 500]], capture_output=True, timeout=120,
                             check=False)
        said += [json.loads(line) for line in run.stdout.decode().splitlines()]
    expect(f"{len(texts)} files, {len(said)} answers", len(said) == len(texts))
    return said


def leaves(schema, path=()):
    """Every key with its own schema: path of keys and indices into a file."""
    for name, part in schema["properties"].items():
        here = (*path, name)
        yield here, part
        if "properties" in part:
            yield from leaves(part, here)
        for choice in (part, *part.get("anyOf", [])):
            if choice.get("type") == "array" and "properties" in choice["items"]:
                yield from leaves(choice["items"], (*here, 0))


def with_value(path, value):
    """BASE with one value changed, and no other."""
    file = copy.deepcopy(BASE)
    at = file
    for step in path[:-1]:
        at = at[step] if isinstance(step, int) else at.setdefault(step, {})
    at[path[-1]] = value
    if path[0] == "tls" and len(path) > 1:  # its keys stand together
        file["tls"] = {"ca_file": "a", "cert_file": "b", "key_file": "c", **file["tls"]}
    return file


def own_values(schema):
    """Values at the borders of what the schema says."""
    values = list(schema.get("enum", []))
    for choice in schema.get("anyOf", []):
        values += own_values(choice)
    for border in ("minimum", "maximum", "exclusiveMinimum"):
        if border in schema:
            values += [schema[border], schema[border] - 1, schema[border] + 1]
    if schema.get("type") == "array":
        values += [["a"] * 256, ["a"] * 257]
    if schema.get("type") == "object" and "additionalProperties" in schema:
        values += [{"no_such_key": 1}, {f"k{i}": "v" for i in range(256)}, {f"k{i}": "v" for i in range(257)}]
    return values


def files_of_one_value(schema):
    files = [BASE]
    for path, part in leaves(schema):
        files += [with_value(path, value) for value in ANYTHING + own_values(part)]
        slim = with_value(path, 0)
        at = slim
        for step in path[:-1]:
            at = at[step]
        del at[path[-1]]
        files.append(slim)
    return files


def random_files(schema, count):
    draw = random.Random(SEED)
    keys = [(path, part) for path, part in leaves(schema) if "properties" not in part and path[0] not in ("tls",)]
    for _ in range(count):
        file = copy.deepcopy(BASE)
        for path, part in draw.sample(keys, draw.randint(1, 8)):
            right = own_values(part) or ["x", "8GiB", "30s", True, "127.0.0.1:7200", "0-7", ["gpu-0"] * 8]
            value = draw.choice(right if draw.random() < 0.9 else ANYTHING)
            at = file
            try:
                for step in path[:-1]:
                    at = at[step] if isinstance(step, int) else at.setdefault(step, {})
                at[path[-1]] = value
            except (TypeError, KeyError, IndexError):
                continue  # a value drawn before stands in the way
        yield file


def with_demo_model(file, devices, memory):
    """The same file about a model that is there."""
    file = copy.deepcopy(file)
    file["model"]["model_path"] = str(ROOT / "config" / "demo_model")
    node = file["nodes"][0]
    if devices:
        node["devices"] = devices
    if memory:
        node["memory"] = memory
    return file


def agreement_with_a_model(folder, validator, files):
    """Files that are right as files: what herd refuses now is what the model cannot do, said at a key that the file has."""
    right = [file for file in files if validator.is_valid(file) and isinstance(file["nodes"], list)]
    kinds = {"plain": (None, None), "memory": (None, "1GiB"), "gpus": ([f"gpu-{gpu}" for gpu in range(8)], "1GiB")}
    drawn = random.Random(SEED).sample(right, DEMO_FILES)
    counts = {}
    for kind, (devices, memory) in kinds.items():
        files = [with_demo_model(file, devices, memory) for file in drawn]
        for file, answer in zip(files, check_all([json.dumps(file, indent=1) for file in files], folder)):
            counts.setdefault((kind, answer["valid"]), []).append(file)
            for problem in answer["problems"]:
                expect(f"{kind}: what the model cannot do is said in keys: {problem}: {json.dumps(file)[:600]}",
                       BEYOND_SCHEMA.search(problem["what"]) or BEYOND_FILE.search(problem["what"]))
                expect(f"{kind}: at a line, without flags: {problem}", problem["line"] and "--" not in problem["what"])
            plain_cpu = kind == "plain" and answer["valid"] and "memory" not in file["nodes"][0] and "cpu" in file["nodes"][0]["devices"]
            expect(f"{kind}: memory that was not judged is said: {answer}",
                   not plain_cpu or any("was not checked" in note for note in answer["notes"]))
    print("with the demo model:", {key: len(files) for key, files in counts.items()})
    expect(f"most are right with a model: {counts.keys()}", all(len(counts.get((kind, True), [])) > DEMO_FILES // 2 for kind in kinds))


def agreement(folder):
    """Schema and reader, on files that are JSON, which is YAML."""
    schema = json.loads((EXAMPLES / "cluster.schema.json").read_text())
    jsonschema_rs.meta.validate(schema)
    validator = jsonschema_rs.Draft202012Validator(schema)
    files = [*files_of_one_value(schema), *random_files(schema, RANDOM_FILES)]
    said = check_all([json.dumps(file, ensure_ascii=False) for file in files], folder)
    both, neither, beyond = 0, 0, set()
    for file, answer in zip(files, said):
        right = validator.is_valid(file)
        words = "; ".join(problem["what"] for problem in answer["problems"])
        if right == answer["valid"]:
            both += right
            neither += not right
        elif right and all(BEYOND_SCHEMA.search(problem["what"]) for problem in answer["problems"]):
            beyond.update(BEYOND_SCHEMA.findall(words))
        else:
            failures.append(f"the schema says {right}, herd says {answer['valid']} ({words}): {json.dumps(file)[:600]}")
    print(f"{len(files)} files: {both} right for both, {neither} wrong for both, {len(beyond)} kinds beyond the schema")
    expect(f"both answers are met often: {both}, {neither}", both > 400 and neither > 1500 and len(beyond) >= 12)
    agreement_with_a_model(folder, validator, files)


def schema_is_kept():
    out, _ = herd("check", "--schema")
    expect("config/cluster/cluster.schema.json is not what `herd check --schema` prints",
           out == (EXAMPLES / "cluster.schema.json").read_text())


def examples():
    """They are right, other readers of YAML take them for the same, and they come to what their first lines say."""
    validator = jsonschema_rs.Draft202012Validator(json.loads((EXAMPLES / "cluster.schema.json").read_text()))
    paths = sorted(EXAMPLES.glob("*.yaml"))
    out, _ = herd("check", *paths)
    for path in paths:
        expect(f"{path.name} is right: {out}", f"{path}: is right\n" in out)
        expect(f"{path.name} for the schema", validator.is_valid(yaml.safe_load(path.read_text())))
    out, _ = herd("inspect", EXAMPLES / "one_host.yaml", "--output", "json")
    said = json.loads(out)
    ranks = said["nodes"][0]["ranks"]
    expect(f"one host: {ranks}", [(rank["replica"], rank["rank"], rank["device"], rank["threads"]) for rank in ranks]
           == [(0, 0, "cpu", 1), (0, 1, "cpu", 1)])
    expect("its KV cache is what it asks for", sum(rank["memory"]["kv_bytes"] for rank in ranks) == 64 << 20)
    expect("every rank has weights and buffers", all(rank["memory"]["weights_bytes"] > 1 << 20 and
                                                     rank["memory"]["step_buffer_bytes"] > 1 << 20 for rank in ranks))
    expect("effective settings are all there", said["settings"]["limits.request_timeout"] == "600s" and
           said["settings"]["model.served_model_name"] == "[demo]" and said["settings"]["model.layers"] is None)
    out, _ = herd("inspect", EXAMPLES / "three_nodes.yaml", "--output", "json")
    said = json.loads(out)
    expect(f"three nodes: {said['replicas']}", [replica["node"] for replica in said["replicas"]] == ["node-a", "node-b"])
    expect("two ranks a replica, on one node", [len(node["ranks"]) for node in said["nodes"]] == [2, 2, 0])
    text, _ = herd("inspect", EXAMPLES / "three_nodes.yaml")
    for part in ("cluster three-nodes: 1 coordinator, 2 gateways, 3 nodes; 2 replicas of 2 ranks", "rank 1 of replica 1 on cpu",
                 "node-c: 2 devices without a rank"):
        expect(f"{part!r} is in the text: {text}", part in text)


def refusals(folder):
    right = json.dumps(BASE)
    path = folder / "cluster.yaml"

    def told(text, *arguments, code=3):
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return herd(*(arguments or ("check",)), path, code=code)

    out, err = told(right, code=0)
    expect(f"a model that is not here is said, and no error: {out}", "fit it was not checked: /nowhere" in out)
    out, _ = told(right, "check", "--output", "json", code=0)
    expect(f"as JSON too: {out}", any("was not checked: /nowhere" in note for note in json.loads(out)["notes"]))
    text, _ = told(right, "inspect", code=0)
    expect(f"inspect too: {text}", "cannot be read on this machine" in text and "rank 0 of replica 0 on cpu\n" in text)
    wrong = right.replace('"name": "gw"', '"name": "gw", "prot": 1, "port": 0')
    for command in ("check", "inspect"):
        out, err = told(wrong, command)
        expect(f"{command} tells both problems and no more: {err}",
               err == f"{path}:1:gateways[0].prot: is not known; port is meant?\n"
                      f"{path}:1:gateways[0].port: must be a whole number in [1, 65535], not \"0\"\n")
        expect(f"{command} prints nothing else", out == "")
    out, _ = told(wrong, "check", "--output", "json")
    said = json.loads(out)
    expect(f"as JSON: {out}", said["file"] == str(path) and not said["valid"] and
           [(problem["line"], problem["key"]) for problem in said["problems"]] == [(1, "gateways[0].prot"), (1, "gateways[0].port")])
    for text in (b"\x00" * 10, b"\xff\xfe" + "name: c".encode("utf-16-le"), b"", b"\x7fELF" + bytes(range(256)), b"[" * 100000):
        _, err = told(text)
        expect(f"bytes that are no cluster file: {err}", err.startswith(f"{path}:") and len(err) < 20000)
    _, err = told(b"a" * (1 << 20) + b"\n")
    expect(f"a large file: {err}", "1048576" in err)
    out, err = herd("check", folder / "missing.yaml", EXAMPLES / "one_host.yaml", code=4)
    expect(f"one file that is not there does not hide another: {out} {err}", "missing.yaml: cannot open" in err and "one_host.yaml: is right" in out)
    out, _ = herd("check", "--output", "json", folder / "missing.yaml", EXAMPLES / "one_host.yaml", code=4)
    said = [json.loads(line) for line in out.splitlines()]
    expect(f"as JSON, a line each: {out}", [each["valid"] for each in said] == [False, True] and
           "cannot open" in said[0]["problems"][0]["what"])
    _, err = herd("check", code=2)
    expect(f"without a file: {err}", "name a cluster file" in err)
    herd("check", "--output", "xml", path, code=2)
    big = json.loads(right)
    big["nodes"][0]["devices"] = ["cpu"]
    big["parallelism"] = {"tensor_parallel_size": 2}
    _, err = told(json.dumps(big))
    expect(f"too few devices: {err}", ":1:nodes: replica 0 of 1 (2 ranks on one node) has no place: n0 has 1 of its 1 device left, 2 are "
                                      "needed" in err)
    big["model"]["model_path"] = str(ROOT / "config" / "demo_model")
    big["nodes"][0].update(devices=["cpu"] * 4, memory="10MiB")
    _, err = told(json.dumps(big))
    expect(f"too little memory: {err}", "n0 has" in err and "memory left, a replica takes" in err)
    config = json.loads((ROOT / "tests" / "golden" / "configs" / "uneven_bias" / "config.json").read_text())
    config.update(num_attention_heads=4, num_key_value_heads=4)
    (folder / "config.json").write_text(json.dumps(config))
    big["model"].update(model_path=".", load_format="random")
    big["parallelism"]["tensor_parallel_size"] = 8
    big["nodes"][0].update(devices=["cpu"] * 8, memory="1GiB")
    text = json.dumps(big, indent=1)
    _, err = told(text)
    expect(f"a model that cannot be cut so: {err}",
           f":{line_of(text, 'tensor_parallel_size')}:parallelism.tensor_parallel_size: 8: rank " in err and
           "would be left without an attention head" in err)
    gpus = copy.deepcopy(BASE)
    gpus["model"]["model_path"] = str(ROOT / "config" / "demo_model")
    gpus["nodes"][0]["devices"] = ["gpu-1"]
    text, _ = told(json.dumps(gpus), "inspect", code=0)
    expect(f"what of a GPU is not known before it starts: {text}",
           re.search(r"replica 0 on gpu-1: weights [\d.]+ GB, KV cache from what is free when it starts\n", text))
    short = copy.deepcopy(gpus)
    short["nodes"][0].update(devices=["cpu"], memory="1GiB")
    short["scheduler"] = {"max_model_len": 2048}
    out, _ = told(json.dumps(short), "inspect", "--output", "json", code=0)
    memory = json.loads(out)["nodes"][0]["ranks"][0]["memory"]
    least = memory["weights_bytes"] + memory["step_buffer_bytes"] + memory["rope_table_bytes"]
    short["nodes"][0]["memory"] = f"{least + memory['kv_bytes']}B"  # half of what is left is for KV
    _, err = told(json.dumps(short), code=0)
    short["nodes"][0]["memory"] = f"{least + (1 << 20)}B"
    _, err = told(json.dumps(short))
    expect(f"no memory for a KV cache is said in keys: {err}", ":1:nodes" in err and "--" not in err)


def line_of(text, word):
    return 1 + [word in line for line in text.splitlines()].index(True)


def on_demo_model(**sections):
    """BASE with one CPU rank of the demo model, and these sections in other words."""
    file = copy.deepcopy(BASE)
    file["model"]["model_path"] = str(ROOT / "config" / "demo_model")
    file["nodes"][0]["devices"] = ["cpu"]
    for name, section in sections.items():
        if name == "node":
            file["nodes"][0].update(section)
        else:
            file.setdefault(name, {}).update(section)
    return file


def models(folder):
    """What a file says about its model, judged with the model at hand."""
    path = folder / "model.yaml"

    def told(file, *arguments, code=0):
        path.write_text(json.dumps(file, indent=1))
        return herd(*(arguments or ("check",)), path, code=code)

    gpu = {"devices": ["gpu-0"], "memory": "100MiB"}
    told(on_demo_model(node=gpu, kv={"kv_cache_memory": "1GiB"}))  # the GPU's memory, not the node's
    told(on_demo_model(node=gpu, kv={"num_blocks": 100000}))
    for memory in ({}, {"memory": "1GiB"}, gpu):
        long = on_demo_model(node=memory, scheduler={"max_model_len": 100000000})
        _, err = told(long, code=3)
        expect(f"longer than the model, {memory}: {err}",
               err == f"{path}:{line_of(path.read_text(), 'max_model_len')}:scheduler.max_model_len: 100000000 is more than the model's "
                      "maximum, 2048\n")
    short = on_demo_model(scheduler={"max_model_len": 2048}, kv={"num_blocks": 1})
    _, err = told(short, code=3)
    expect(f"fewer blocks than the length needs: {err}",
           f":{line_of(path.read_text(), 'max_model_len')}:scheduler.max_model_len: KV cache: room for 16 tokens" in err and
           "scheduler.max_model_len 2048 needs" in err and "--" not in err)
    out, _ = told(on_demo_model(kv={"kv_cache_memory": "1000TiB"}))
    expect(f"memory that no node says: {out}", "n0: whether its ranks fit was not checked: the file does not say its memory" in out)
    out, _ = told(on_demo_model(node={"memory": "1GiB"}, kv={"kv_cache_memory": "100MiB"}))
    expect(f"memory that is said and enough: {out}", "not checked" not in out)

    broken = folder / "broken"
    broken.mkdir()
    (broken / "config.json").write_text("{]")
    file = on_demo_model(model={"model_path": "broken"})
    _, err = told(file, code=3)
    expect(f"a broken model is a problem: {err}", f":{line_of(path.read_text(), 'model_path')}:model.model_path: {broken}/config.json" in err)
    told(file, "inspect", code=3)

    own = on_demo_model(model={"model_path": "not-here"}, node={"model_path": str(ROOT / "config" / "demo_model")})
    out, _ = told(own)
    expect(f"a model of a node is told: {out}", "sizes are of the model of n0, " in out and f"{folder}/not-here" in out)
    text, _ = told(own, "inspect")
    expect(f"where it lies on the node: {text}", re.search(r"node n0 at .*, 1 device, model /.*/config/demo_model\n.*: weights ", text))
    near = on_demo_model(node={"model_path": "beside"})
    out, _ = told(near, "inspect", "--output", "json")
    expect(f"beside the file: {out}", json.loads(out)["nodes"][0].get("model_path") == str(folder / "beside"))


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        schema_is_kept()
        examples()
        refusals(folder)
        models(folder)
        agreement(folder)
    for failure in failures[:40]:
        print(failure)
    print("cluster files:", "FAILED" if failures else "passed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
