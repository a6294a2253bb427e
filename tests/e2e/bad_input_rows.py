"""The table of bad_input_test.py: what is broken, the exit code, what the message must name.

    2  wrong usage      3  bad file or data      4  a file or device that is not there

A row builds its model in an empty folder and returns the path to give to herd. Files start as the sound checkpoint
BASE (float32, one file, tied, 2 layers, hidden 64, 2 heads, vocabulary 257) or SHARDED (three files).
"""
import json
import os
import shutil
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

from herd_process import GOLDEN
from model_files import ARRAY, BOOL, F32, GGML_Q4_0, STRING, U32, Gguf, Safetensors, byte_tokenizer_json, gguf_of, gguf_string

BASE = GOLDEN / "models" / "mha-d32-tied-f32"
SHARDED = GOLDEN / "models" / "gqa3-9heads-llama3-sharded-f16"
WEIGHTS, CONFIG, INDEX = "model.safetensors", "config.json", "model.safetensors.index.json"
SHARD = "model-00002-of-00003.safetensors"
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7\n"
NORM, UP, DOWN, Q = ("model.norm.weight", "model.layers.1.mlp.up_proj.weight", "model.layers.0.mlp.down_proj.weight",
                     "model.layers.1.self_attn.q_proj.weight")
IDS = ("--prompt-token-ids", "5,6,7")


@dataclass
class Row:
    name: str
    build: Callable[[Path], Path]
    codes: tuple  # any of them is right
    named: tuple = ()  # every one of them is on stderr; a tuple inside: at least one of it
    flags: tuple = IDS
    command: tuple = ("generate",)
    once: tuple = ()  # on stderr exactly once
    stdout: Callable[[str], bool] = field(default=lambda text: True)  # what it must show


def copied(folder, source=BASE):
    for path in source.iterdir():
        if path.suffix == ".json" and path.name != "golden.json" or path.suffix == ".safetensors":
            shutil.copyfile(path, folder / path.name)
    return folder


def sound(folder):
    return copied(folder)


def file_bytes(name, change, source=BASE):
    """The bytes of one file go through `change`."""
    def build(folder):
        path = copied(folder, source) / name
        path.write_bytes(change(path.read_bytes()))
        return folder
    return build


def weights(change, **written):
    """`change` edits the Safetensors in place; `written` goes to its write()."""
    def build(folder):
        stored = Safetensors(copied(folder) / WEIGHTS)
        change(stored)
        stored.write(folder / WEIGHTS, **written)
        return folder
    return build


def entry(name, **values):
    """Header fields of a tensor; None removes one."""
    def change(stored):
        for key, value in values.items():
            if value is None:
                del stored.header[name][key]
            else:
                stored.header[name][key] = value
    return weights(change)


def offsets(name, move):
    """data_offsets of a tensor moved by (begin, end)."""
    return weights(lambda stored: stored.header[name].update(
        data_offsets=[a + b for a, b in zip(stored.header[name]["data_offsets"], move)]))


def config(source=BASE, **values):
    """Keys of config.json set; None removes one."""
    def build(folder):
        path = copied(folder, source) / CONFIG
        fields = {**json.loads(path.read_text()), **values}
        path.write_text(json.dumps({key: value for key, value in fields.items() if value is not None}))
        return folder
    return build


def config_text(text):
    return file_bytes(CONFIG, lambda old: text if isinstance(text, bytes) else text.encode())


def shards(change):
    """`change` edits the index (a dict) of a sharded checkpoint and may edit files of the folder."""
    def build(folder):
        path = copied(folder, SHARDED) / INDEX
        index = json.loads(path.read_text())
        change(index, folder)
        path.write_text(json.dumps(index))
        return folder
    return build


def without(name, source=BASE):
    def build(folder):
        (copied(folder, source) / name).unlink()
        return folder
    return build


def with_tokenizer(change=lambda fields: None):
    def build(folder):
        fields = byte_tokenizer_json()
        change(fields)
        (copied(folder) / "tokenizer.json").write_text(json.dumps(fields))
        return folder
    return build


def gguf(change):
    """`change` edits the Gguf in place, or returns the bytes to write."""
    def build(folder):
        model = gguf_of(BASE)
        result = change(model)
        path = folder / "model.gguf"
        if isinstance(result, bytes):
            path.write_bytes(result)
        else:
            model.write(path)
        return path
    return build


def gguf_entry(key, kind, value):
    return gguf(lambda model: model.set(key, kind, value))


def gguf_tensor(name, **values):
    return gguf(lambda model: model.tensor(name).__dict__.update(values))


def gguf_cut(section, share):
    """The file ends inside a section: 0 header, 1 metadata, 2 tensor infos, 3 data."""
    def change(model):
        parts = model.sections()
        return b"".join(parts[:section]) + parts[section][:int(len(parts[section]) * share)]
    return gguf(change)


def nan_at_the_end(stored):
    stored.replace_tensor(UP, stored.tensor(UP)[:-4] + struct.pack("<f", float("nan")))


def fifo_config(folder):
    (copied(folder) / CONFIG).unlink()
    os.mkfifo(folder / CONFIG)
    return folder


def plain_file(folder):
    (folder / "notes.txt").write_text("not a model\n")
    return folder / "notes.txt"


def pickled(folder):
    (copied(folder) / WEIGHTS).rename(folder / "pytorch_model.bin")
    return folder


def twice_in_shards(index, folder):
    """A norm of the third shard stored in the second, too."""
    third, second = Safetensors(folder / "model-00003-of-00003.safetensors"), Safetensors(folder / SHARD)
    data = third.tensor(NORM)
    second.header[NORM] = {**third.header[NORM], "data_offsets": [len(second.data), len(second.data) + len(data)]}
    second.data += data
    second.write(folder / SHARD)


def llama3(**changes):
    rope = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32, **changes}
    return {key: value for key, value in rope.items() if value is not None}


def different_in_shards(index, folder):
    """As twice_in_shards, with one byte of the second copy changed."""
    twice_in_shards(index, folder)
    second = Safetensors(folder / SHARD)
    second.replace_tensor(NORM, second.tensor(NORM)[:-1] + b"\x41")
    second.write(folder / SHARD)


def needed_in_absent_shard(index, folder):
    (folder / SHARD).unlink()


def with_head(values, **changes):
    """BASE says tied; a head is stored as well: `values` makes its bytes from the embedding's."""
    def change(stored):
        entry, data = stored.header[EMBEDDING], values(stored.tensor(EMBEDDING))
        stored.header[HEAD] = {**entry, "data_offsets": [len(stored.data), len(stored.data) + len(data)]}
        stored.data += data
        if changes.get("only"):
            stored.remove_tensor(EMBEDDING)
    return weights(change)


def renamed(rename):
    """Every tensor under another name."""
    return weights(lambda stored: setattr(stored, "header", {
        name if name == "__metadata__" else rename(name): entry for name, entry in stored.header.items()}))


def gguf_named(name):
    def build(folder):
        gguf_of(BASE).write(folder / name)
        return folder / name
    return build


def folder_named(name):
    def build(folder):
        (folder / name).mkdir()
        return copied(folder / name)
    return build


def beginning(name, text):
    return file_bytes(name, lambda raw: text)


def alone(name, content):
    """A folder with one file; the file is the model."""
    def build(folder):
        (folder / name).write_bytes(content)
        return folder / name
    return build


def lora(folder):
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "org/base", "r": 8}))
    shutil.copyfile(BASE / WEIGHTS, folder / "adapter_model.safetensors")
    return folder


def shards_without_index(folder):
    (copied(folder, SHARDED) / INDEX).unlink()
    return folder


def dangling(name):
    """A link of a download cache whose file is gone."""
    def build(folder):
        (copied(folder) / name).unlink()
        (folder / name).symlink_to("../blobs/0123abcd")
        return folder
    return build


def python_json(name, **values):
    """Values that Python's json module writes and JSON does not have; the file is made where there is none."""
    def build(folder):
        path = copied(folder) / name
        fields = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps({**fields, **values}))
        return folder
    return build


def raw_header(text, **more):
    return weights(lambda stored: None, header_text=text, **more)


def duplicate_norm(stored):
    """The header with the norm's entry twice, as text: a dict cannot hold it."""
    text = json.dumps(stored.header)
    return f'{text[:-1]}, "{NORM}": {json.dumps(stored.header[NORM])}}}'.encode()


def build_duplicate_norm(folder):
    stored = Safetensors(copied(folder) / WEIGHTS)
    stored.write(folder / WEIGHTS, header_text=duplicate_norm(stored))
    return folder


def tokens_of(text):
    return json.loads(text.splitlines()[0])["token_ids"]


GREEDY = json.loads((BASE / "golden.json").read_text())
GREEDY_FLAGS = ("--prompt-token-ids", ",".join(map(str, GREEDY["prompt_token_ids"])), "--max-new-tokens", "16",
    "--ignore-eos",
                "--quantization-encoding", "float32")


def greedy(text):
    return tokens_of(text) == GREEDY["greedy_token_ids"][:16]


SHARDED_GREEDY = json.loads((SHARDED / "golden.json").read_text())
SHARDED_FLAGS = ("--prompt-token-ids", ",".join(map(str, SHARDED_GREEDY["prompt_token_ids"])), "--max-new-tokens", "16",
                 "--ignore-eos", "--quantization-encoding", "float32")
NAN, INFINITY = float("nan"), float("inf")


def sharded_greedy(text):
    return tokens_of(text) == SHARDED_GREEDY["greedy_token_ids"][:16]


def replaced(text):
    """b'a\\xff\\xfeb' became a, two U+FFFD, b: bytes are the token ids of the tokenizer."""
    return bytes(json.loads(text.splitlines()[0])["prompt_token_ids"]) == "a\ufffd\ufffdb".encode()


SOUND = [
    Row("sound safetensors", sound, (0,), flags=GREEDY_FLAGS, stdout=greedy),
    Row("sound GGUF", gguf(lambda model: None), (0,), flags=GREEDY_FLAGS, stdout=greedy),
    Row("sound GGUF without vocabulary", gguf(lambda model: setattr(model, "metadata", [
        each for each in model.metadata if not each[0].startswith("tokenizer.")])), (0,), flags=GREEDY_FLAGS,
            stdout=greedy),
    Row("prompt that is not UTF-8", with_tokenizer(), (0,), flags=("--prompt", b"a\xff\xfeb"), stdout=replaced),
    Row("prompt of one token, the last of the vocabulary", sound, (0,), flags=("--prompt-token-ids", "256")),
]

SAFETENSORS = [
    Row("empty file", file_bytes(WEIGHTS, lambda raw: b""), (3,), (WEIGHTS,)),
    Row("ends in the header length", file_bytes(WEIGHTS, lambda raw: raw[:5]), (3,), (WEIGHTS,)),
    Row("ends in the header", file_bytes(WEIGHTS, lambda raw: raw[:300]), (3,), (WEIGHTS,)),
    Row("ends behind the header", file_bytes(WEIGHTS, lambda raw: raw[:8 + struct.unpack_from("<Q", raw)[0]]), (3,),
        (WEIGHTS,)),
    Row("ends in the middle of the data", file_bytes(WEIGHTS, lambda raw: raw[:len(raw) // 2]), (3,), (WEIGHTS,)),
    Row("one byte short", file_bytes(WEIGHTS, lambda raw: raw[:-1]), (3,), (WEIGHTS,)),
    Row("one byte too many", file_bytes(WEIGHTS, lambda raw: raw + b"\0"), (3,), (WEIGHTS,)),
    Row("header length 2^64 - 1", weights(lambda stored: None, header_length=2**64 - 1), (3,), (WEIGHTS,)),
    Row("header length 2^63", weights(lambda stored: None, header_length=2**63), (3,), (WEIGHTS,)),
    Row("header length 99 MB in a small file", weights(lambda stored: None, header_length=99_000_000), (3,),
        (WEIGHTS,)),
    Row("header length 0", weights(lambda stored: None, header_length=0), (3,), (WEIGHTS,)),
    Row("header is not JSON", raw_header(b"{not json}"), (3,), (WEIGHTS,)),
    Row("header is a list", raw_header(b"[1, 2]"), (3,), (WEIGHTS,)),
    Row("header nests 100,000 deep", raw_header(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), (3,), (WEIGHTS,)),
    Row("header entry is a number", raw_header(b'{"model.norm.weight": 7}'), (3,), (WEIGHTS,)),
    Row("offsets overlap", offsets(NORM, (-4, -4)), (3,), (WEIGHTS, ("overlap", "gap"))),
    Row("offsets reversed", entry(NORM, data_offsets=[8, 0]), (3,), (WEIGHTS, NORM)),
    Row("offsets beyond the file", offsets(NORM, (2**40, 2**40)), (3,), (WEIGHTS, NORM)),
    Row("offsets near 2^64", entry(NORM, data_offsets=[2**64 - 257, 2**64 - 1]), (3,), (WEIGHTS, NORM)),
    Row("offsets beyond 64 bits", entry(NORM, data_offsets=[0, 2**70]), (3,), (WEIGHTS, NORM)),
    Row("offset negative", entry(NORM, data_offsets=[-4, 252]), (3,), (WEIGHTS, NORM)),
    Row("three offsets", entry(NORM, data_offsets=[0, 1, 2]), (3,), (WEIGHTS, NORM)),
    Row("shape product overflows", entry(NORM, shape=[2**33, 2**33]), (3,), (WEIGHTS, NORM)),
    Row("shape larger than the data", entry(NORM, shape=[65]), (3,), (WEIGHTS, NORM)),
    Row("shape is a string", entry(NORM, shape="64"), (3,), (WEIGHTS, NORM)),
    Row("shape negative", entry(NORM, shape=[-64]), (3,), (WEIGHTS, NORM)),
    Row("dtype unknown", entry(NORM, dtype="F33"), (3,), (WEIGHTS, NORM)),
    Row("dtype missing", entry(NORM, dtype=None), (3,), (WEIGHTS, NORM)),
    Row("dtype of another kind", entry(DOWN, dtype="I32"), (3,), (WEIGHTS, DOWN)),
    Row("tensor twice", build_duplicate_norm, (3,), (WEIGHTS, NORM)),
    Row("tensor missing: final norm", weights(lambda stored: stored.remove_tensor(NORM)), (3,), (WEIGHTS, NORM)),
    Row("tensor missing: a layer's query", weights(lambda stored: stored.remove_tensor(Q)), (3,), (WEIGHTS, Q)),
    Row("matrix transposed", entry(DOWN, shape=[57, 64]), (3,), (WEIGHTS, DOWN)),
    Row("matrix as a vector", entry(DOWN, shape=[64 * 57]), (3,), (WEIGHTS, DOWN)),
    Row("entry with a field of a later version", entry(NORM, quantization={"a": [1, None]}), (0,), flags=GREEDY_FLAGS,
        stdout=greedy),
    Row("metadata null", weights(lambda stored: stored.header.update(__metadata__=None)), (0,), flags=GREEDY_FLAGS,
        stdout=greedy),
    Row("names without the prefix", renamed(lambda name: name.removeprefix("model.")), (0,), flags=GREEDY_FLAGS,
        stdout=greedy),
    Row("names with the prefix twice", renamed(lambda name: "model." + name), (0,), flags=GREEDY_FLAGS, stdout=greedy),
    Row("tied, an equal head stored as well", with_head(lambda data: data), (0,), flags=GREEDY_FLAGS, stdout=greedy),
    Row("tied, another head stored as well", with_head(lambda data: data[4:] + data[:4]), (0,),
        (CONFIG, "tie_word_embeddings", HEAD), flags=GREEDY_FLAGS, once=("tie_word_embeddings is true",),
        stdout=lambda text: not greedy(text)),
    Row("tied, stored under the head's name", with_head(lambda data: data, only=True), (0,), flags=GREEDY_FLAGS,
        stdout=greedy),
    Row("weights are a Git LFS pointer", beginning(WEIGHTS, LFS), (3,), (WEIGHTS, "Git LFS pointer")),
    Row("weights are a page of HTML", beginning(WEIGHTS, b"<!DOCTYPE html><html></html>"), (3,), (WEIGHTS, "HTML")),
    Row("weights are a dead link", dangling(WEIGHTS), (4,), (WEIGHTS, "../blobs/0123abcd")),
    Row("NaN in a weight", weights(nan_at_the_end), (3,), (UP,), once=(UP,)),
]

SHARDS = [
    Row("shard missing", without(SHARD, SHARDED), (3, 4), (SHARD,)),
    Row("shard cut", file_bytes(SHARD, lambda raw: raw[:-100], SHARDED), (3,), (SHARD,)),
    Row("index is cut JSON", file_bytes(INDEX, lambda raw: raw[:100], SHARDED), (3,), (INDEX,)),
    Row("index without weight_map", shards(lambda index, folder: index.pop("weight_map")), (3,), (INDEX, "weight_map")),
    Row("index leads out of the folder", shards(lambda index,
        folder: index["weight_map"].update({NORM: "../x.safetensors"})),
        (3,), (INDEX, NORM)),
    Row("index names a tensor that no shard has, nor the model needs", shards(lambda index,
        folder: index["weight_map"].update({"model.extra": SHARD})), (0,), (INDEX, "model.extra"), SHARDED_FLAGS,
        once=("model.extra",), stdout=sharded_greedy),
    Row("index names a shard that is not there, for a tensor the model does not need", shards(lambda index,
        folder: index["weight_map"].update({"model.extra": "absent.safetensors"})), (0,), (INDEX, "absent.safetensors"),
        SHARDED_FLAGS, stdout=sharded_greedy),
    Row("index names the wrong shard", shards(lambda index, folder: index["weight_map"].update({NORM: SHARD})), (0,),
        (INDEX, NORM), SHARDED_FLAGS, stdout=sharded_greedy),
    Row("index leaves out a tensor that is needed", shards(lambda index, folder: index["weight_map"].pop(NORM)), (0,),
        (INDEX, NORM), SHARDED_FLAGS, stdout=sharded_greedy),
    Row("tensor in two shards, the same", shards(twice_in_shards), (0,), (), SHARDED_FLAGS, stdout=sharded_greedy),
    Row("tensor in two shards, not the same", shards(different_in_shards), (3,), ("model-0000", NORM)),
    Row("index names a shard that is needed and not there", shards(needed_in_absent_shard), (4,), (SHARD, INDEX)),
    Row("shards without an index", shards_without_index, (4,), (INDEX, SHARD, "--weight-path")),
]

CONFIGS = [
    Row("config cut", config_text('{"hidden_size": 64, "num_'), (3,), (CONFIG,)),
    Row("config empty", config_text(""), (3,), (CONFIG,)),
    Row("config is a list", config_text("[]"), (3,), (CONFIG,)),
    Row("config is not UTF-8", config_text(b'{"model_type": "\xff\xfe"}'), (3,), (CONFIG,)),
    Row("config nests 100,000 deep", config_text("[" * 100_000), (3,), (CONFIG,)),
    Row("config of 100 MB", config_text(" " * 100_000_000), (3,), (CONFIG,)),
    Row("config key twice: the last counts", file_bytes(CONFIG, lambda raw: raw.rstrip()[:-1]
        + b', "hidden_size": 32}'), (3,), (CONFIG, "32")),
    Row("config key twice, good at last", file_bytes(CONFIG, lambda raw: b'{"hidden_size": 32, ' + raw.lstrip()[1:]),
        (0,), flags=GREEDY_FLAGS, stdout=greedy),
    Row("config with NaN and infinities nobody reads", python_json(CONFIG, time_step_limit=[0.0, INFINITY, -INFINITY],
        x={"y": NAN}), (0,), flags=GREEDY_FLAGS, stdout=greedy),
    Row("generation config with infinity nobody reads", python_json("generation_config.json",
        length_penalty=-INFINITY), (0,), flags=GREEDY_FLAGS, stdout=greedy),
    Row("tokenizer config with NaN nobody reads", python_json("tokenizer_config.json", x=NAN), (0,), flags=GREEDY_FLAGS,
        stdout=greedy),
    Row("config with half a surrogate pair nobody reads", python_json(CONFIG, x="\ud800"), (0,), flags=GREEDY_FLAGS,
        stdout=greedy),
    Row("config with NaN where it is read", python_json(CONFIG, rms_norm_eps=NAN), (3,), (CONFIG, "rms_norm_eps: NaN")),
    Row("config with infinity where it is read", python_json(CONFIG, hidden_size=INFINITY), (3,), (CONFIG,
        "hidden_size: Infinity")),
    Row("config is a Git LFS pointer", beginning(CONFIG, LFS), (3,), (CONFIG, "Git LFS pointer")),
    Row("config is a dead link", dangling(CONFIG), (4,), (CONFIG, "../blobs/0123abcd")),
    Row("model of bidirectional attention", config(is_causal=False), (3,), (CONFIG, "is_causal")),
    Row("other spellings of the architecture", config(architectures=["LLaMAForCausalLM"], hidden_act="swish"), (0,),
        flags=GREEDY_FLAGS, stdout=greedy),
    Row("rope_scaling wins over rope_parameters", config(rope_scaling={"rope_type": "default"},
        rope_parameters=llama3(rope_theta=5e5)), (0,), flags=GREEDY_FLAGS, stdout=greedy),
    Row("rope_parameters by kind of layer", config(rope_parameters={"full_attention": {"rope_type": "default"}}), (3,),
        (CONFIG, "full_attention")),
    Row("hidden_size contradicts the tensors", config(hidden_size=80), (3,), (CONFIG, "shape")),
    Row("hidden_size zero", config(hidden_size=0), (3,), (CONFIG, "hidden_size")),
    Row("hidden_size is a string", config(hidden_size="64"), (3,), (CONFIG, "hidden_size")),
    Row("hidden_size 2^40", config(hidden_size=2**40), (3,), (CONFIG, "hidden_size")),
    Row("hidden_size a fraction", config(hidden_size=64.5), (3,), (CONFIG, "hidden_size")),
    Row("heads do not divide hidden_size", config(num_attention_heads=3), (3,), (CONFIG, "num_attention_heads")),
    Row("heads no multiple of KV heads", config(num_attention_heads=4, num_key_value_heads=3), (3,), (CONFIG,
        "num_key_value_heads")),
    Row("KV heads contradict the tensors", config(num_attention_heads=2, num_key_value_heads=1), (3,), (CONFIG,
        "k_proj")),
    Row("heads zero", config(num_attention_heads=0), (3,), (CONFIG, "num_attention_heads")),
    Row("head_dim odd", config(head_dim=31), (3,), (CONFIG, "head_dim")),
    Row("vocab_size larger than the embedding", config(vocab_size=300), (3,), (CONFIG, "model.embed_tokens.weight")),
    Row("vocab_size smaller than the embedding", config(vocab_size=256), (3,), (CONFIG, "model.embed_tokens.weight")),
    Row("more layers than tensors", config(num_hidden_layers=3), (3,), ("model.layers.2.",)),
    Row("a billion layers", config(num_hidden_layers=10**9), (3,), (CONFIG, "num_hidden_layers")),
    Row("layers negative", config(num_hidden_layers=-1), (3,), (CONFIG, "num_hidden_layers")),
    Row("intermediate_size missing", config(intermediate_size=None), (3,), (CONFIG, "intermediate_size")),
    Row("untied without lm_head", config(tie_word_embeddings=False), (3,), ("lm_head.weight",)),
    Row("bias wanted, none stored", config(attention_bias=True, mlp_bias=True), (3,), (".bias",)),
    Row("rope type unknown", config(rope_scaling=llama3(rope_type="banana")), (3,), (CONFIG, "rope_type")),
    Row("rope type not supported yet", config(rope_scaling={"rope_type": "yarn", "factor": 4.0}), (3,), (CONFIG,
        "yarn")),
    Row("rope without type", config(rope_scaling={"factor": 4.0}), (3,), (CONFIG, "rope_type")),
    Row("llama3 without factor", config(rope_scaling=llama3(factor=None)), (3,), (CONFIG, "factor")),
    Row("llama3 factors equal", config(rope_scaling=llama3(high_freq_factor=1.0)), (3,), (CONFIG, "freq_factor")),
    Row("llama3 factor infinite", config_text(json.dumps({**json.loads((BASE / CONFIG).read_text()),
        "rope_scaling": llama3(
        factor=7777)}).replace("7777", "1e999")), (3,), (CONFIG,)),
    Row("rope_theta zero", config(rope_theta=0.0), (3,), (CONFIG, "rope_theta")),
    Row("architecture not supported", config(architectures=["GPT2LMHeadModel"], model_type="gpt2"), (3,),
        (CONFIG, ("architectures", "model_type"))),
    Row("activation not supported", config(hidden_act="gelu"), (3,), (CONFIG, "hidden_act")),
    Row("epsilon negative", config(rms_norm_eps=-1e-5), (3,), (CONFIG, "rms_norm_eps")),
    Row("quantised by another library", config(quantization_config={"quant_method": "gptq", "bits": 4}), (3,),
        (CONFIG, "quant")),
    Row("eos_token_id beyond the vocabulary", config(eos_token_id=257), (0,), ("end id 257",), GREEDY_FLAGS,
        stdout=greedy),
    Row("longest position 2^27", config(max_position_embeddings=2**27), (0, 3, 4)),
    Row("generation config cut", file_bytes("generation_config.json", lambda raw: raw[:20]), (3,),
        ("generation_config.json",)),
]

PLACES = [
    Row("nothing there", lambda folder: folder / "absent", (4,), ("absent",)),
    Row("empty folder", lambda folder: folder, (3, 4), (CONFIG,)),
    Row("config without weights", without(WEIGHTS), (3, 4), (WEIGHTS,)),
    Row("a plain file", plain_file, (3,), ("notes.txt",)),
    Row("config is a named pipe", fifo_config, (3, 4), (CONFIG,)),
    Row("a file of safetensors as the model", lambda folder: copied(folder) / WEIGHTS, (3,), (WEIGHTS, "config.json")),
    Row("a GGUF file under a hash", gguf_named("sha256-9f2c"), (0,), flags=GREEDY_FLAGS, stdout=greedy),
    Row("a GGUF file named .bin", gguf_named("model.bin"), (0,), flags=GREEDY_FLAGS, stdout=greedy),
    Row("a folder with one .GGUF", lambda folder: gguf_named("m.GGUF")(folder).parent, (0,), flags=GREEDY_FLAGS,
        stdout=greedy),
    Row("a folder named .gguf", folder_named("tiny.gguf"), (0,), flags=GREEDY_FLAGS, stdout=greedy),
    Row("a .gguf that is HTML", alone("m.gguf", b"<html>404</html>"), (3,), ("m.gguf", "HTML")),
    Row("a model that is a Git LFS pointer", alone("model", LFS), (3,), ("model", "Git LFS pointer")),
    Row("a model that is a zip archive", alone("model.pth", b"PK\3\4" + bytes(40)), (3,), ("model.pth", "zip")),
    Row("a LoRA adapter", lora, (3,), ("adapter_config.json", "LoRA", "org/base")),
    Row("pickled weights only", pickled, (3,), ("pytorch_model.bin",)),
    Row("weights elsewhere, nothing there", sound, (3, 4), ("absent.safetensors",), (*IDS, "--weight-path",
        "absent.safetensors")),
    Row("tokenizer elsewhere, nothing there", sound, (3, 4), ("absent_tokenizer.json",),
        (*IDS, "--tokenizer-path", "absent_tokenizer.json")),
    Row("tokenizer cut", lambda folder: (with_tokenizer()(folder),
        (folder / "tokenizer.json").write_text('{"model": {'))[0], (3,),
        ("tokenizer.json",)),
    Row("tokenizer is a Git LFS pointer", lambda folder: (sound(folder),
        (folder / "tokenizer.json").write_bytes(LFS))[0], (3,), ("tokenizer.json", "Git LFS pointer"),
        ("--prompt", "a")),
    Row("tokenizer is a dead link", lambda folder: (with_tokenizer()(folder), (folder / "tokenizer.json").unlink(),
        (folder / "tokenizer.json").symlink_to("../blobs/0123abcd"))[0], (3, 4), ("tokenizer.json",
        "../blobs/0123abcd"), ("--prompt", "a")),
    Row("tokenizer without a model", with_tokenizer(lambda fields: fields.pop("model")), (3,), ("tokenizer.json",
        "model"), ("--prompt", "a")),
    Row("tokenizer without a model nobody asks for", with_tokenizer(lambda fields: fields.pop("model")), (0,),
        flags=GREEDY_FLAGS, stdout=greedy),
    Row("tokenizer with a merge of unknown parts",
        with_tokenizer(lambda fields: fields["model"].update(merges=["zzz yyy"])), (3,),
        ("tokenizer.json",), ("--prompt", "a")),
    Row("added token beyond the vocabulary", with_tokenizer(
        lambda fields: fields["added_tokens"].append({**fields["added_tokens"][0], "id": 257,
            "content": "<|more|>"})), (0,), ("tokenizer", "257"), GREEDY_FLAGS, stdout=greedy),
    Row("prompt that spells it", with_tokenizer(
        lambda fields: fields["added_tokens"].append({**fields["added_tokens"][0], "id": 257,
            "content": "<|more|>"})), (2,), ("<|more|>", "257"), ("--prompt", "a<|more|>")),
    Row("tokenizer of a larger model", with_tokenizer(
        lambda fields: fields["model"]["vocab"].update({"\u0100\u0100": 300})), (3,), ("tokenizer", "301", "257"),
        ("--prompt", "a")),
    Row("text prompt without a tokenizer", sound, (3,), ("tokenizer",), ("--prompt", "hello")),
]

GGUFS = [
    Row("GGUF empty", gguf(lambda model: b""), (3,), ("model.gguf",)),
    Row("GGUF of other magic", gguf(lambda model: setattr(model, "magic", b"GGML")), (3,), ("model.gguf",)),
    Row("GGUF version 1", gguf(lambda model: setattr(model, "version", 1)), (3,), ("model.gguf", "version")),
    Row("GGUF version 9", gguf(lambda model: setattr(model, "version", 9)), (3,), ("model.gguf", "version")),
    Row("GGUF big-endian", gguf(lambda model: setattr(model, "version", 3 << 24)), (3,), ("model.gguf", "endian")),
    Row("GGUF ends in the header", gguf_cut(0, 0.6), (3,), ("model.gguf",)),
    Row("GGUF ends in the metadata", gguf_cut(1, 0.5), (3,), ("model.gguf",)),
    Row("GGUF ends in the tensor list", gguf_cut(2, 0.5), (3,), ("model.gguf",)),
    Row("GGUF ends behind the tensor list", gguf_cut(3, 0.0), (3,), ("model.gguf",)),
    Row("GGUF ends in the data", gguf_cut(3, 0.5), (3,), ("model.gguf",)),
    Row("GGUF with 2^63 tensors", gguf(lambda model: setattr(model, "tensor_count", 2**63)), (3,), ("model.gguf",)),
    Row("GGUF with 2^64 - 1 keys", gguf(lambda model: setattr(model, "metadata_count", 2**64 - 1)), (3,),
        ("model.gguf",)),
    Row("GGUF with a billion tensors", gguf(lambda model: setattr(model, "tensor_count", 10**9)), (3,),
        ("model.gguf",)),
    Row("GGUF string of 2^63 bytes", gguf_entry("general.name", STRING, struct.pack("<Q", 2**63) + b"x"), (3,),
        ("model.gguf", "general.name")),
    Row("GGUF array of 2^62 numbers", gguf_entry("general.list", ARRAY, struct.pack("<IQ", U32, 2**62)), (3,),
        ("model.gguf", "general.list")),
    Row("GGUF array of arrays", gguf_entry("general.list", ARRAY, struct.pack("<IQ", ARRAY, 1) + struct.pack("<IQ",
        ARRAY, 1) * 40),
        (3,), ("model.gguf", "general.list")),
    Row("GGUF value of unknown type", gguf_entry("general.odd", 77, b"\0" * 8), (3,), ("model.gguf", "general.odd")),
    Row("GGUF key twice", gguf(lambda model: model.metadata.append(("llama.block_count", U32, 2))), (3,),
        ("model.gguf", "llama.block_count")),
    Row("GGUF tensor twice", gguf(lambda model: model.tensors.append(model.tensors[-1])), (3,),
        ("model.gguf", "blk.1.")),
    Row("GGUF tensor of 5 dimensions", gguf_tensor("output_norm.weight", dims=[64, 1, 1, 1, 1]), (3,),
        ("model.gguf", "output_norm.weight")),
    Row("GGUF tensor of 2^32 - 1 dimensions", gguf(lambda model: b"".join(model.sections()).replace(
        gguf_string("output_norm.weight") + b"\1\0\0\0", gguf_string("output_norm.weight") + b"\xff" * 4)), (3,),
        ("model.gguf", "output_norm.weight")),
    Row("GGUF dimensions overflow", gguf_tensor("output_norm.weight", dims=[2**40, 2**40]), (3,),
        ("model.gguf", "output_norm.weight")),
    Row("GGUF dimension zero", gguf_tensor("output_norm.weight", dims=[0]), (3,), ("model.gguf", "output_norm.weight")),
    Row("GGUF offset beyond the file", gguf_tensor("output_norm.weight", offset=2**40), (3,),
        ("model.gguf", "output_norm.weight")),
    Row("GGUF offset near 2^64", gguf_tensor("output_norm.weight", offset=2**64 - 32), (3,),
        ("model.gguf", "output_norm.weight")),
    Row("GGUF offset not aligned", gguf_tensor("output_norm.weight", offset=7), (3,),
        ("model.gguf", "output_norm.weight")),
    Row("GGUF tensors overlap", gguf_tensor("output_norm.weight", offset=0), (3,), ("model.gguf", "overlap")),
    Row("GGUF tensor of unknown type", gguf_tensor("output_norm.weight", kind=99), (3,),
        ("model.gguf", ("output_norm.weight", NORM))),
    Row("GGUF row is no whole block", gguf_tensor("blk.0.ffn_down.weight", kind=GGML_Q4_0), (3,),
        ("model.gguf", "blk.0.ffn_down")),
    Row("GGUF alignment zero", gguf_entry("general.alignment", U32, 0), (3,), ("model.gguf", "general.alignment")),
    Row("GGUF alignment 24", gguf_entry("general.alignment", U32, 24), (3,), ("model.gguf", "general.alignment")),
    Row("GGUF of another architecture", gguf_entry("general.architecture", STRING, "gpt2"), (3,),
        ("model.gguf", "general.architecture")),
    Row("GGUF without architecture", gguf(lambda model: model.remove("general.architecture")), (3,),
        ("model.gguf", "general.architecture")),
    Row("GGUF without block_count", gguf(lambda model: model.remove("llama.block_count")), (3,),
        ("model.gguf", "llama.block_count")),
    Row("GGUF block_count a string", gguf_entry("llama.block_count", STRING, "2"), (3,),
        ("model.gguf", "llama.block_count")),
    Row("GGUF head count zero", gguf_entry("llama.attention.head_count", U32, 0), (3,), ("model.gguf", "head")),
    Row("GGUF epsilon infinite", gguf_entry("llama.attention.layer_norm_rms_epsilon", F32, float("inf")), (3,),
        ("model.gguf", "eps")),
    Row("GGUF feed-forward contradicts", gguf_entry("llama.feed_forward_length", U32, 64), (3,),
        ("model.gguf", "shape")),
    Row("GGUF tensor missing", gguf(lambda model: model.tensors.remove(model.tensor("blk.1.attn_q.weight"))), (3,),
        ("model.gguf", ("blk.1.attn_q.weight", Q))),
    Row("GGUF of bidirectional attention", gguf_entry("llama.attention.causal", BOOL, False), (3,), ("model.gguf",
        "llama.attention.causal")),
    Row("GGUF with the embedding under the head's name", gguf(lambda model: setattr(model.tensor("token_embd.weight"),
        "name", "output.weight")), (0,), flags=GREEDY_FLAGS, stdout=greedy),
    Row("GGUF in parts", gguf_entry("split.count", U32, 3), (3,), ("model.gguf", "split.count")),
    Row("GGUF vocabulary larger than the model", gguf_entry("tokenizer.ggml.tokens", ARRAY, (STRING,
        [f"t{i}" for i in range(400)])),
        (3,), ("token",), ("--prompt", "a")),
]


def usage(name, *flags, codes=(2,), named=(), build=sound, command=("generate",), ids=IDS):
    return Row(name, build, codes, named, (*ids, *flags), command)


USAGE = [
    usage("unknown flag", "--frobnicate", named=("--frobnicate",)),
    usage("unknown subcommand", command=("frobnicate",)),
    usage("no subcommand", command=(), ids=()),
    usage("token id beyond the vocabulary", ids=("--prompt-token-ids", "1,257"), named=("257",)),
    usage("token id negative", ids=("--prompt-token-ids", "1,-2"), named=("-2",)),
    usage("token id beyond 32 bits", ids=("--prompt-token-ids", "4294967297"), named=("--prompt-token-ids",)),
    usage("token ids empty", ids=("--prompt-token-ids", ""), named=("--prompt-token-ids",)),
    usage("token ids with a hole", ids=("--prompt-token-ids", "1,,2"), named=("--prompt-token-ids",)),
    usage("token ids with a word", ids=("--prompt-token-ids", "1,two"), named=("--prompt-token-ids",)),
    usage("prompt past the context", ids=("--prompt-token-ids", ",".join(["5"] * 17)),
        build=config(max_position_embeddings=16),
          codes=(2, 3), named=("17", "16")),
    usage("context longer than the model's", "--max-model-len", "4096", named=("--max-model-len", "2048")),
    usage("encoding not possible for this file", "--quantization-encoding", "q5_k", named=("q5_k",)),
    usage("encoding unknown", "--quantization-encoding", "banana", named=("banana",)),
    usage("no GPU in this build", "--devices", "gpu", codes=(4,), named=("gpu",)),
    usage("no GPU in this build, by number", "--devices", "gpu-0,gpu-1", codes=(4,), named=("gpu",)),
    usage("no GPU in this build, old flag", "--use-gpu", codes=(4,), named=("gpu",)),
    usage("device unknown", "--devices", "tpu", named=("tpu",)),
    usage("max-new-tokens zero", "--max-new-tokens", "0", named=("--max-new-tokens",)),
    usage("max-new-tokens a word", "--max-new-tokens", "many", named=("--max-new-tokens",)),
    usage("temperature negative", "--temperature", "-0.5", named=("temperature",)),
    usage("temperature not a number", "--temperature", "nan", named=("temperature",)),
    usage("top-p above 1", "--top-p", "1.5", named=(("top_p", "top-p"),)),
    usage("top-k negative", "--top-k", "-5", named=(("top_k", "top-k"),)),
    usage("threads negative", "--threads", "-1", named=("--threads",)),
    usage("tensor parallel degree 3", "-tp", "3", named=(("tensor-parallel", "tensor_parallel"),)),
    usage("tensor parallel degree zero", "-tp", "0", named=(("tensor-parallel", "tensor_parallel"),)),
    usage("more ranks than heads", "-tp", "8", codes=(2, 3), named=("head",)),
    usage("block size 7", "--block-size", "7", named=("--block-size",)),
    usage("KV memory without a unit that exists", "--kv-cache-memory", "12potatoes", named=("--kv-cache-memory",)),
    usage("KV memory of 1 byte", "--kv-cache-memory", "1", codes=(2, 4), named=("KV",)),
    usage("ISA unknown", "--cpu-isa", "z80", named=("z80",)),
    usage("more layers than the model has", "--layers", "9", named=("9",)),
    usage("output format unknown", "--output", "xml", named=("--output",)),
    usage("logit bias of no token", "--logit-bias", "junk", named=("--logit-bias",)),
    usage("prompt file not there", "--input-prompts", "absent.json", codes=(4,), named=("absent.json",)),
    usage("score: no ids", command=("score",), ids=(), named=("prompt-token-ids",)),
    usage("score: selector unknown", "--return-logits", "some", command=("score",), named=("--return-logits",)),
    usage("score: hidden states without a file", "--return-hidden-states", "all", command=("score",),
          named=("--hidden-states-output",)),
    usage("score: output folder not there", "--output", "npy:absent/logits.npy", command=("score",), codes=(3, 4),
          named=("absent/logits.npy",)),
]

ROWS = SOUND + SAFETENSORS + SHARDS + CONFIGS + PLACES + GGUFS + USAGE
