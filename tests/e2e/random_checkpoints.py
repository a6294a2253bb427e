"""Tiny random Llama checkpoints, each with one to three deviations from the plain form that transformers accepts. The
same seed gives the same bytes on every machine: all randomness is Python's own generator. Needs numpy.

    checkpoint = RandomCheckpoint(seed); folder = checkpoint.write(Path); checkpoint.deviations, checkpoint.prompt
"""
import json
import os
import random
import struct
from pathlib import Path

import numpy as np

PROMPT = 40  # tokens: past the window where a llama3 scaling begins to show
SHARD = "model-{:05d}-of-{:05d}.safetensors"


def as_dtype(values, dtype):
    """Bytes of float32 values, rounded to nearest even."""
    if dtype == "BF16":
        bits = values.view(np.uint32)
        return ((bits + 0x7fff + (bits >> 16 & 1)) >> 16).astype("<u2").tobytes()
    return values.astype({"F32": "<f4", "F16": "<f2", "F64": "<f8"}[dtype]).tobytes()


class RandomCheckpoint:
    def __init__(self, seed):
        self.random = random.Random(f"checkpoint {seed}")
        self.tensors = {}       # name -> float32 values
        self.dtypes = {}        # name -> dtype, where it is not self.dtype
        self.extras = []        # (name, dtype, shape, bytes): nothing that the model needs
        self.dtype = self.random.choice(["F32", "F32", "F32", "F16", "BF16"])
        self.config = self.plain_config()
        self.fill()
        self.generation = {"bos_token_id": 1, "eos_token_id": 2}
        self.files = {}         # name -> bytes, beside the model
        self.shards = 0         # 0: one file
        self.index_edits, self.shard_edits, self.header_edits, self.text_edits, self.renames = [], [], [], [], []
        self.linked, self.folder = False, "model"
        self.deviations = []
        wanted = self.random.choices([1, 2, 3], [3, 4, 3])[0]
        names, weights = zip(*[(name, weight) for name, (weight, _) in GROUPS.items()])
        chosen = set()
        while len(chosen) < wanted:
            chosen.add(self.random.choices(names, weights)[0])
        for name, (_, deviations) in GROUPS.items():  # in their order, so that each finds what it changes
            if name in chosen:
                deviation = self.random.choice(deviations)
                deviation(self, self.random)
                self.deviations.append(deviation.__name__)
        self.prompt = [self.random.randrange(self.config["vocab_size"]) for _ in range(PROMPT)]

    def plain_config(self):
        r = self.random
        heads = r.choice([1, 2, 4])
        config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama",
                  "hidden_size": heads * r.choice([8, 12, 16]), "intermediate_size": r.choice([24, 37, 64, 97]),
                  "num_hidden_layers": r.choice([1, 2, 3]), "num_attention_heads": heads,
                  "num_key_value_heads": r.choice([n for n in (1, 2, 4) if heads % n == 0]),
                  "vocab_size": r.choice([64, 97, 131]), "max_position_embeddings": r.choice([64, 128, 256]),
                  "rms_norm_eps": r.choice([1e-5, 1e-6, 0.01]), "rope_theta": r.choice([10000.0, 500.0, 500000.0]),
                  "hidden_act": "silu", "attention_bias": False, "mlp_bias": False, "bos_token_id": 1,
                  "eos_token_id": 2, "tie_word_embeddings": r.choice([True, False]), "torch_dtype": "float32"}
        return config

    def values(self, shape, scale, centre=0.0):
        """Uniform in centre ± scale, on a grid of 2^16."""
        count = int(np.prod(shape))
        grid = np.frombuffer(self.random.randbytes(2 * count), "<i2").astype(np.float32) / np.float32(32768)
        return (np.float32(centre) + np.float32(scale) * grid).reshape(shape)

    def head_dim(self):
        return self.config.get("head_dim") or self.config["hidden_size"] // self.config["num_attention_heads"]

    def fill(self):
        """The tensors that the config asks for."""
        c, dim = self.config, self.head_dim()
        hidden, ffn, query = c["hidden_size"], c["intermediate_size"], c["num_attention_heads"] * dim
        kv = (c.get("num_key_value_heads") or c["num_attention_heads"]) * dim
        self.tensors = {"model.embed_tokens.weight": self.values((c["vocab_size"], hidden), 1.0),
                        "model.norm.weight": self.values((hidden,), 0.3, 1.0)}
        if not c["tie_word_embeddings"]:
            self.tensors["lm_head.weight"] = self.head()
        for layer in range(c["num_hidden_layers"]):
            prefix = f"model.layers.{layer}."
            for part, rows, cols in (("self_attn.q_proj", query, hidden), ("self_attn.k_proj", kv, hidden),
                                     ("self_attn.v_proj", kv, hidden), ("self_attn.o_proj", hidden, query),
                                     ("mlp.gate_proj", ffn, hidden), ("mlp.up_proj", ffn, hidden),
                                     ("mlp.down_proj", hidden, ffn)):
                self.tensors[f"{prefix}{part}.weight"] = self.values((rows, cols), 2.5 / cols ** 0.5)
                if c.get("attention_bias") and "attn" in part or c.get("mlp_bias") and "mlp" in part:
                    self.tensors[f"{prefix}{part}.bias"] = self.values((rows,), 0.5)
            for norm in ("input_layernorm", "post_attention_layernorm"):
                self.tensors[f"{prefix}{norm}.weight"] = self.values((hidden,), 0.3, 1.0)

    def head(self):
        return self.values((self.config["vocab_size"], self.config["hidden_size"]), 2.0)

    def tie(self, tied):
        self.config["tie_word_embeddings"] = tied
        self.tensors.pop("lm_head.weight", None)
        if not tied:
            self.tensors["lm_head.weight"] = self.head()

    def extra(self, name, dtype, shape, data):
        self.extras.append((name, dtype, list(shape), data))

    def write(self, parent):
        """The folder, in `parent`."""
        folder = Path(parent) / self.folder
        folder.mkdir()
        place = folder
        if self.linked:  # as a download cache: names are links to blobs
            place = Path(parent) / "blobs"
            place.mkdir()
        files = {"config.json": self.json_text(self.config).encode(), **self.files, **self.weights()}
        if self.generation is not None:
            files["generation_config.json"] = json.dumps(self.generation).encode()
        for number, (name, content) in enumerate(files.items()):
            path = place / (f"{number:064x}" if self.linked else name)
            path.write_bytes(content)
            if self.linked:
                (folder / name).symlink_to(os.path.relpath(path, folder))
        return folder

    def json_text(self, fields):
        text = json.dumps(fields, indent=2)
        for edit in self.text_edits:
            text = edit(text)
        return text

    def stored(self):
        """[(name, dtype, shape, bytes)] under the names of the file."""
        result = [(name, self.dtypes.get(name, self.dtype), list(values.shape),
                   as_dtype(values, self.dtypes.get(name, self.dtype))) for name, values in self.tensors.items()]
        result += self.extras
        for rename in self.renames:
            result = [(rename(name), *rest) for name, *rest in result]
        return result

    def weights(self):
        tensors = self.stored()
        if not self.shards:
            return {"model.safetensors": self.safetensors(tensors)}
        parts = [tensors[n::self.shards] for n in range(self.shards)]
        names = [SHARD.format(n + 1, self.shards) for n in range(self.shards)]
        index = {"metadata": {"total_size": sum(len(data) for *_, data in tensors)},
                 "weight_map": {name: file for file, part in zip(names, parts) for name, *_ in part}}
        for edit in self.shard_edits:
            edit(parts)
        for edit in self.index_edits:
            edit(index, names)
        files = {name: self.safetensors(part) for name, part in zip(names, parts)}
        files["model.safetensors.index.json"] = json.dumps(index).encode()
        return files

    def safetensors(self, tensors):
        header, data = {"__metadata__": {"format": "pt"}}, b""
        for name, dtype, shape, content in tensors:
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
            data += content
        for edit in self.header_edits:
            header = edit(header)
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        return struct.pack("<Q", len(text)) + text + data


# The deviations, by what they touch. A checkpoint has at most one of a group.

def head_dim_null(c, r):
    c.config["head_dim"] = None


def head_dim_stated(c, r):
    c.config["head_dim"] = c.head_dim()


def head_dim_of_its_own(c, r):
    c.config["head_dim"] = r.choice([8, 12, 16, 32])
    c.fill()


def key_value_heads_left_open(c, r):
    c.config["num_key_value_heads"] = c.config["num_attention_heads"]
    c.fill()
    if r.random() < 0.5:
        c.config["num_key_value_heads"] = None
    else:
        del c.config["num_key_value_heads"]


def attention_biases(c, r):
    c.config["attention_bias"] = True
    c.fill()


def mlp_biases(c, r):
    c.config["mlp_bias"] = True
    c.fill()


def all_biases(c, r):
    c.config.update(attention_bias=True, mlp_bias=True)
    c.fill()


def bias_flags_absent(c, r):
    del c.config["attention_bias"], c.config["mlp_bias"]


LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 16}


def rope_llama3(c, r):
    c.config["rope_scaling"] = {"rope_type": "llama3", **LLAMA3}


def rope_llama3_old_key(c, r):
    c.config["rope_scaling"] = {"type": "llama3", **LLAMA3}


def rope_llama3_whole_numbers(c, r):
    c.config["rope_scaling"] = {"rope_type": "llama3", **{key: int(value) for key, value in LLAMA3.items()}}


def rope_llama3_length_absent(c, r):
    c.config["rope_scaling"] = {"rope_type": "llama3", **LLAMA3}
    del c.config["rope_scaling"]["original_max_position_embeddings"]


def rope_llama3_length_beside(c, r):
    c.config["rope_scaling"] = {"rope_type": "llama3", **LLAMA3}
    c.config["original_max_position_embeddings"] = 24
    if r.random() < 0.5:
        del c.config["rope_scaling"]["original_max_position_embeddings"]


def rope_llama3_length_with_a_point(c, r):
    c.config["rope_scaling"] = {"rope_type": "llama3", **LLAMA3, "original_max_position_embeddings": 16.0}


def rope_parameters(c, r):
    c.config["rope_parameters"] = {"rope_type": "default", "rope_theta": c.config.pop("rope_theta")}


def rope_parameters_llama3(c, r):
    c.config["rope_parameters"] = {"rope_type": "llama3", **LLAMA3, "rope_theta": c.config.pop("rope_theta")}


def rope_theta_inside_and_beside(c, r):
    c.config["rope_parameters"] = {"rope_type": "default", "rope_theta": 777.0}


def rope_theta_beside_the_object(c, r):
    c.config["rope_parameters"] = {"rope_type": r.choice(["default", "llama3"]), **LLAMA3}


def rope_objects_that_contradict(c, r):
    c.config["rope_scaling"] = {"rope_type": "llama3", **LLAMA3}
    c.config["rope_parameters"] = {"rope_type": "default", "rope_theta": 777.0}


def rope_default_beside_parameters(c, r):
    c.config["rope_scaling"] = {"type": "default"}
    c.config["rope_parameters"] = {"rope_type": "llama3", **LLAMA3, "rope_theta": 777.0}


def rope_objects_empty(c, r):
    c.config[r.choice(["rope_scaling", "rope_parameters"])] = {}


def rope_default_with_a_factor(c, r):
    c.config["rope_scaling"] = {"rope_type": "default", "factor": 4.0}


def rope_without_a_type(c, r):
    c.config["rope_parameters"] = {"rope_theta": 777.0}


def rope_both_type_keys(c, r):
    c.config["rope_scaling"] = {"rope_type": "llama3", "type": r.choice(["llama3", "default", "linear"]), **LLAMA3}


def rope_theta_whole(c, r):
    c.config["rope_theta"] = int(c.config["rope_theta"])


def rope_theta_absent(c, r):
    del c.config["rope_theta"]


def activation_swish(c, r):
    c.config["hidden_act"] = "swish"


def activation_absent(c, r):
    del c.config["hidden_act"]


def architecture_old(c, r):
    c.config["architectures"] = ["LLaMAForCausalLM"]


def architecture_bare(c, r):
    c.config["architectures"] = ["LlamaModel"]


def architecture_null_or_absent(c, r):
    if r.random() < 0.5:
        c.config["architectures"] = None
    else:
        del c.config["architectures"]


def architecture_list_of_two(c, r):
    c.config["architectures"] = r.sample(["LlamaForCausalLM", "LlamaModel"], 2)


def nulls(c, r):
    for key in r.sample(["pretraining_tp", "rope_scaling", "quantization_config", "sliding_window", "bos_token_id",
                         "eos_token_id", "pad_token_id", "task_specific_params", "rope_parameters"], 4):
        c.config[key] = None


def defaults_absent(c, r):
    values = {"rms_norm_eps": 1e-6, "max_position_embeddings": 2048, "hidden_act": "silu", "rope_theta": 10000.0,
              "tie_word_embeddings": False, "attention_bias": False, "mlp_bias": False}
    for key in r.sample(sorted(values), 3):
        if key == "tie_word_embeddings":
            c.tie(False)
        if c.config.get(key) is not True:  # a bias that is stored without its flag herd uses and transformers drops
            c.config.pop(key, None)


def ids_absent(c, r):
    del c.config["bos_token_id"], c.config["eos_token_id"]
    c.generation = {}


def ids_listed(c, r):
    c.config["eos_token_id"] = [2, 3]
    c.config["pad_token_id"] = r.choice([0, 3, None])


def dtype_spellings(c, r):
    del c.config["torch_dtype"]
    key, value = r.choice([("dtype", "float32"), ("dtype", "bfloat16"), ("torch_dtype", "float16"),
                           ("torch_dtype", "float64"), ("dtype", None), ("torch_dtype", "bfloat16")])
    c.config[key] = value


def fields_of_other_programs(c, r):
    c.config.update(r.sample([("transformers_version", "4.31.0"), ("use_cache", False), ("pretraining_tp", 4),
                              ("_name_or_path", "/home/someone/model"), ("initializer_range", 0.02),
                              ("attention_dropout", 0.0), ("id2label", {"0": "LABEL_0"}), ("unsloth_fixed", True),
                              ("max_sequence_length", 4096), ("rope_ratio", 1), ("torchscript", False),
                              ("sep_token_id", 99999), ("num_experts", 8), ("layer_norm_eps", "unread")], 5))


def window_nobody_reads(c, r):
    c.config["sliding_window"] = r.choice([8, 4096])


def not_a_number(c, r):
    c.config["time_step_limit"] = r.choice([[0.0, float("inf")], float("nan"), -float("inf"), {"a": [float("nan")]}])


def numbers_beyond_64_bits(c, r):
    c.config["seed_of_the_run"] = r.choice([10**40, -10**25, 2**64])


def half_a_surrogate_pair(c, r):
    c.config["note"] = r.choice(["\ud83d", "a\ude00b", "\ud83d\ude00 \ud83d"])


def nested_deep(c, r):
    value = 1
    for _ in range(60):
        value = r.choice([{"a": value}, [value]])
    c.config["tree"] = value


def key_twice(c, r):
    c.text_edits.append(lambda text: '{"vocab_size": 7, "num_hidden_layers": 9, ' + text[1:])


def key_twice_nobody_reads(c, r):
    c.text_edits.append(lambda text: '{"a": 1, "a": {"b": 1, "b": 2}, ' + text[1:])


def text_in_one_line(c, r):
    c.text_edits.append(lambda text: json.dumps(json.loads(text), separators=(",", ":")))


def text_with_carriage_returns(c, r):
    c.text_edits.append(lambda text: text.replace("\n", "\r\n") + "\r\n\r\n")


def text_beyond_ascii(c, r):
    c.config["note"] = "naïve 模型 🙂"
    c.text_edits.append(lambda text: json.dumps(json.loads(text), ensure_ascii=False))


def tied_head_equal(c, r):
    c.tie(True)
    c.tensors["lm_head.weight"] = c.tensors["model.embed_tokens.weight"].copy()


def tied_head_another(c, r):
    c.tie(True)
    c.tensors["lm_head.weight"] = c.head()


def tied_head_one_value_apart(c, r):
    c.tie(True)
    head = c.tensors["model.embed_tokens.weight"].copy()
    head[-1, -1] += 3
    c.tensors["lm_head.weight"] = head


def tied_under_the_heads_name(c, r):
    c.tie(True)
    c.tensors["lm_head.weight"] = c.tensors.pop("model.embed_tokens.weight")


def untied_with_an_equal_head(c, r):
    c.tie(False)
    c.tensors["lm_head.weight"] = c.tensors["model.embed_tokens.weight"].copy()


def dtypes_mixed(c, r):
    for name in c.tensors:
        c.dtypes[name] = r.choice(["F32", "F16", "BF16"])


def norms_in_float32(c, r):
    c.dtype = r.choice(["BF16", "F16"])
    for name in c.tensors:
        if "norm" in name or "embed" in name:
            c.dtypes[name] = "F32"


def dtype_other_than_said(c, r):
    c.dtype = r.choice(["BF16", "F16"])
    c.config["torch_dtype"] = "float32"


def rotary_buffers(c, r):
    for layer in range(c.config["num_hidden_layers"]):
        values = c.values((c.head_dim() // 2,), 1.0)
        c.extra(f"model.layers.{layer}.self_attn.rotary_emb.inv_freq", "F32", values.shape, as_dtype(values, "F32"))


def layers_beyond_the_config(c, r):
    layer = c.config["num_hidden_layers"]
    hidden = c.config["hidden_size"]
    for part in ("input_layernorm.weight", "self_attn.q_proj.weight", "enorm.weight"):
        c.extra(f"model.layers.{layer}.{part}", "F32", [hidden], as_dtype(c.values((hidden,), 1.0), "F32"))


def tensors_nobody_needs(c, r):
    for name, dtype, shape, size in r.sample([
            ("model.position_ids", "I64", [1, 4], 32), ("score.weight", "F32", [2, 3], 24), ("scale", "F32", [], 4),
            ("empty", "F16", [0, 4], 0), ("mask", "BOOL", [2, 2], 4), ("quantized", "I8", [5], 5),
            ("mtp.fc.weight", "BF16", [3, 3], 18), ("eighth", "F8_E4M3", [4], 4), ("vision.conv", "F32", [1, 2, 2], 16)],
            3):
        c.extra(name, dtype, shape, bytes(size))


def header_in_another_order(c, r):
    order = r.random()
    c.header_edits.append(lambda header: dict(random.Random(order).sample(list(header.items()), len(header))))


def header_entry_with_more_fields(c, r):
    def edit(header):
        for name in header:
            if name != "__metadata__":
                header[name]["quantization"] = {"bits": [8, None], "x": -1.5}
        return header
    c.header_edits.append(edit)


def header_metadata_absent_or_null(c, r):
    absent = r.random() < 0.5
    c.header_edits.append(lambda header: {**({} if absent else {"__metadata__": None}), **{
        name: entry for name, entry in header.items() if name != "__metadata__"}})


def header_metadata_more(c, r):
    c.header_edits.append(lambda header: {**header, "__metadata__": {"format": "pt", "lm_head.weight": "x", "": ""}})


def header_padded(c, r):
    c.header_edits.append(lambda header: {**header, "__metadata__": {"format": "pt", "pad": " " * 5000}})


def shards(c, r):
    c.shards = r.choice([2, 3, 5])


def index_names_what_no_shard_has(c, r):
    shards(c, r)
    c.index_edits.append(lambda index, names: index["weight_map"].update({"mtp.fc.weight": names[-1]}))


def index_leaves_out_the_unneeded(c, r):
    shards(c, r)
    c.extra("extra", "F32", [3], bytes(12))
    c.index_edits.append(lambda index, names: index["weight_map"].pop("extra", None))


def index_leaves_out_the_needed(c, r):
    shards(c, r)
    gone = r.random()
    c.index_edits.append(lambda index, names: index["weight_map"].pop(
        random.Random(gone).choice(sorted(index["weight_map"]))))


def index_names_another_shard(c, r):
    shards(c, r)
    moved = r.random()
    c.index_edits.append(lambda index, names: index["weight_map"].update(
        {random.Random(moved).choice(sorted(index["weight_map"])): names[0]}))


def index_without_metadata(c, r):
    shards(c, r)
    c.index_edits.append(lambda index, names: index.update(metadata={}))


def index_with_nan(c, r):
    shards(c, r)
    c.index_edits.append(lambda index, names: index["metadata"].update(total_size=float("nan"), x={"y": None}))


def tensor_in_two_shards(c, r):
    shards(c, r)
    c.shard_edits.append(lambda parts: parts[-1].append(parts[0][0]))


def stray_safetensors(c, r):
    shards(c, r)
    c.files["other.safetensors"] = c.safetensors([("model.norm.weight", "F32", [1], bytes(4))])


def index_beside_one_file(c, r):
    c.files["model.safetensors.index.json"] = json.dumps({"weight_map": {"x": "gone.safetensors"}}).encode()


def names_without_prefix(c, r):
    c.renames.append(lambda name: name.removeprefix("model."))


def generation_absent(c, r):
    c.generation = None


def generation_sampling(c, r):
    c.generation.update(do_sample=True, temperature=0.6, top_p=0.9, top_k=50, repetition_penalty=1.1, max_length=64)


def generation_nulls(c, r):
    c.generation = {key: None for key in ("eos_token_id", "bos_token_id", "temperature", "top_p", "max_new_tokens")}


def generation_unread(c, r):
    c.generation.update(r.choice([{"length_penalty": float("-inf")}, {"transformers_version": "4.40.0.dev0"},
                                  {"cache_config": {"a": [1]}}, {"x": float("nan")}, {"note": "\ud800"}]))


def generation_ids_listed(c, r):
    c.generation["eos_token_id"] = [2, 3, 2]


def linked_blobs(c, r):
    c.linked = True


def folder_named_as_a_file(c, r):
    c.folder = r.choice(["tiny.gguf", "model.safetensors", "config.json", "a b.bin"])


def other_files_beside(c, r):
    c.files.update(r.sample([("README.md", b"# model\n"), ("training_args.bin", b"PK\3\4"), ("optimizer.pt", b"PK\3\4"),
                             (".gitattributes", b"*.bin filter=lfs\n"), ("consolidated.safetensors", b"not one"),
                             ("pytorch_model.bin", b"PK\3\4"), ("tokenizer_config.json", b'{"x": NaN}'),
                             ("special_tokens_map.json", b"{}"), ("original", b"")], 4))


# What README lists as not supported: herd refuses these by name.

def lacks_rope_type(c, r):
    c.config["rope_scaling"] = {"rope_type": r.choice(["linear", "dynamic", "yarn"]), "factor": 2.0,
                                "original_max_position_embeddings": 16}


def lacks_partial_rotary(c, r):
    c.config["partial_rotary_factor"] = 0.5


def lacks_activation(c, r):
    c.config["hidden_act"] = r.choice(["gelu", "relu", "gelu_pytorch_tanh"])


def lacks_float64(c, r):
    c.dtypes[r.choice(sorted(c.tensors))] = "F64"


def lacks_bidirectional_attention(c, r):
    c.config["is_causal"] = False


GROUPS = {
    "sizes": (1, [head_dim_null, head_dim_stated, head_dim_of_its_own, key_value_heads_left_open]),
    "biases": (1, [attention_biases, mlp_biases, all_biases, bias_flags_absent]),
    "ties": (1.5, [tied_head_equal, tied_head_another, tied_head_one_value_apart, tied_under_the_heads_name,
                   untied_with_an_equal_head]),
    "rope": (2, [rope_llama3, rope_llama3_old_key, rope_llama3_whole_numbers, rope_llama3_length_absent,
                 rope_llama3_length_beside, rope_llama3_length_with_a_point, rope_parameters, rope_parameters_llama3,
                 rope_theta_inside_and_beside, rope_theta_beside_the_object, rope_objects_that_contradict,
                 rope_default_beside_parameters, rope_objects_empty, rope_default_with_a_factor, rope_without_a_type,
                 rope_both_type_keys, rope_theta_whole, rope_theta_absent]),
    "spelling": (1, [activation_swish, activation_absent, architecture_old, architecture_bare,
                     architecture_null_or_absent, architecture_list_of_two]),
    "absent": (1, [nulls, defaults_absent, ids_absent, ids_listed]),
    "unread": (1.5, [dtype_spellings, fields_of_other_programs, window_nobody_reads, not_a_number,
                     numbers_beyond_64_bits, half_a_surrogate_pair, nested_deep]),
    "text": (1, [key_twice, key_twice_nobody_reads, text_in_one_line, text_with_carriage_returns, text_beyond_ascii]),
    "dtypes": (1, [dtypes_mixed, norms_in_float32, dtype_other_than_said]),
    "extras": (1, [rotary_buffers, layers_beyond_the_config, tensors_nobody_needs]),
    "header": (1, [header_in_another_order, header_entry_with_more_fields, header_metadata_absent_or_null,
                   header_metadata_more, header_padded]),
    "shards": (1.5, [shards, index_names_what_no_shard_has, index_leaves_out_the_unneeded, index_leaves_out_the_needed,
                     index_names_another_shard, index_without_metadata, index_with_nan, tensor_in_two_shards,
                     stray_safetensors, index_beside_one_file]),
    "names": (0.7, [names_without_prefix]),
    "generation": (1, [generation_absent, generation_sampling, generation_nulls, generation_unread,
                       generation_ids_listed]),
    "places": (1, [linked_blobs, folder_named_as_a_file, other_files_beside]),
    "lacking": (0.2, [lacks_rope_type, lacks_partial_rotary, lacks_activation, lacks_float64,
                      lacks_bidirectional_attention]),
}
