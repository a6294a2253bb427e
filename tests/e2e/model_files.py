"""Model files written by hand, bit by bit, so that each can be broken at one chosen place. Standard library only.

    Safetensors   header (a dict), data (bytes); write() puts them together as they are, consistent or not
    Gguf          metadata, tensors; the counts and offsets written can be overridden
"""
import json
import struct
from pathlib import Path

U8, U32, F32, BOOL, STRING, ARRAY, U64 = 0, 4, 6, 7, 8, 9, 10  # GGUF value types
GGML_F32, GGML_Q4_0 = 0, 2


class Safetensors:
    def __init__(self, path):
        raw = Path(path).read_bytes()
        (length,) = struct.unpack_from("<Q", raw)
        self.header = json.loads(raw[8:8 + length])
        self.data = raw[8 + length:]

    def tensor(self, name):
        begin, end = self.header[name]["data_offsets"]
        return self.data[begin:end]

    def replace_tensor(self, name, data):
        begin, end = self.header[name]["data_offsets"]
        assert len(data) == end - begin
        self.data = self.data[:begin] + data + self.data[end:]

    def remove_tensor(self, name):
        """Takes its bytes out too, so that what is left is a sound file."""
        begin, end = self.header.pop(name)["data_offsets"]
        self.data = self.data[:begin] + self.data[end:]
        for entry in self.header.values():
            if "data_offsets" in entry and entry["data_offsets"][0] >= end:
                entry["data_offsets"] = [offset - (end - begin) for offset in entry["data_offsets"]]

    def write(self, path, header_text=None, header_length=None):
        text = header_text if header_text is not None else json.dumps(self.header).encode()
        length = len(text) if header_length is None else header_length
        Path(path).write_bytes(struct.pack("<Q", length) + text + self.data)


def gguf_string(text):
    data = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(data)) + data


def gguf_value(kind, value):
    """Type number and value. A list is (element type, elements); bytes stand for themselves."""
    if isinstance(value, bytes):
        return struct.pack("<I", kind) + value
    if kind == ARRAY:
        element, items = value
        packed = b"".join(gguf_value(element, item)[4:] for item in items)
        return struct.pack("<IIQ", ARRAY, element, len(items)) + packed
    if kind == STRING:
        return struct.pack("<I", kind) + gguf_string(value)
    return struct.pack("<I", kind) + struct.pack({U8: "<B", U32: "<I", F32: "<f", BOOL: "<?", U64: "<Q"}[kind], value)


class GgufTensor:
    def __init__(self, name, dims, data, kind=GGML_F32):
        self.name, self.dims, self.data, self.kind = name, dims, data, kind
        self.offset = None  # where it lies, unless overridden


class Gguf:
    """metadata: list of (key, type, value); tensors: list of GgufTensor."""

    def __init__(self, metadata, tensors):
        self.metadata, self.tensors = metadata, tensors
        self.magic, self.version = b"GGUF", 3
        self.tensor_count = self.metadata_count = None

    def set(self, key, kind, value):
        self.metadata = [entry for entry in self.metadata if entry[0] != key] + [(key, kind, value)]

    def remove(self, key):
        self.metadata = [entry for entry in self.metadata if entry[0] != key]

    def tensor(self, name):
        return next(tensor for tensor in self.tensors if tensor.name == name)

    def sections(self):
        """(header, metadata, tensor infos, data), to cut between or inside."""
        counts = (len(self.tensors) if self.tensor_count is None else self.tensor_count,
                  len(self.metadata) if self.metadata_count is None else self.metadata_count)
        header = self.magic + struct.pack("<IQQ", self.version, *counts)
        metadata = b"".join(gguf_string(key) + gguf_value(kind, value) for key, kind, value in self.metadata)
        infos, data = b"", b""
        for tensor in self.tensors:
            offset = len(data) if tensor.offset is None else tensor.offset
            infos += gguf_string(tensor.name) + struct.pack(f"<I{len(tensor.dims)}Q", len(tensor.dims), *tensor.dims)
            infos += struct.pack("<IQ", tensor.kind, offset)
            data += tensor.data + bytes(-len(tensor.data) % 32)
        infos += bytes(-len(header + metadata + infos) % 32)
        return header, metadata, infos, data

    def write(self, path):
        Path(path).write_bytes(b"".join(self.sections()))


def interleaved(data, heads, row_bytes):
    """Rows of a q or k matrix from half-split to interleaved order, as converters write the llama architecture."""
    rows = [data[i:i + row_bytes] for i in range(0, len(data), row_bytes)]
    head_dim = len(rows) // heads
    order = [head * head_dim + pair + half for head in range(heads) for pair in range(head_dim // 2)
             for half in (0, head_dim // 2)]
    return b"".join(rows[i] for i in order)


def byte_alphabet():
    """The 256 one-character tokens of byte-level BPE, in byte order."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def byte_tokenizer_json(special=("<|end|>",)):
    """tokenizer.json of one token a byte, and the special ones from 256 on."""
    vocabulary = {token: byte for byte, token in enumerate(byte_alphabet())}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    added = [{"id": 256 + i, "content": name, "single_word": False, "lstrip": False, "rstrip": False,
              "normalized": False, "special": True} for i, name in enumerate(special)]
    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
             "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
             "vocab": vocabulary, "merges": []}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
            "pre_tokenizer": level, "post_processor": None, "decoder": level, "model": model}


def gguf_byte_tokenizer(special=("<|end|>",)):
    """Metadata of one token a byte, and the special ones from 256 on; the first of them ends a text."""
    return [("tokenizer.ggml.model", STRING, "gpt2"),
            ("tokenizer.ggml.pre", STRING, "llama-bpe"),
            ("tokenizer.ggml.tokens", ARRAY, (STRING, [*byte_alphabet(), *special])),
            ("tokenizer.ggml.token_type", ARRAY, (U32, [1] * 256 + [3] * len(special))),
            ("tokenizer.ggml.merges", ARRAY, (STRING, [])),
            ("tokenizer.ggml.eos_token_id", U32, 256),
            ("tokenizer.ggml.add_bos_token", BOOL, False)]


def write_script(folder, vocabulary, following):
    """A checkpoint whose every token decides the next one alone: following[i] comes after i, itself where none is given.

    Embedding i is the unit vector of dimension i and the layer adds nothing, so that the head's row of what follows
    alone sees it. Writes config.json and model.safetensors, returns the config.
    """
    hidden, ffn = -(-vocabulary // 64) * 64, 32
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": hidden,
              "intermediate_size": ffn, "num_hidden_layers": 1, "num_attention_heads": hidden // 64,
              "num_key_value_heads": hidden // 64, "vocab_size": vocabulary, "max_position_embeddings": 256,
              "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": False,
              "torch_dtype": "float32"}
    square, layer = (hidden, hidden), "model.layers.0."
    shapes = {"model.embed_tokens.weight": (vocabulary, hidden), "model.norm.weight": (hidden,),
              "lm_head.weight": (vocabulary, hidden),
              layer + "input_layernorm.weight": (hidden,), layer + "post_attention_layernorm.weight": (hidden,),
              layer + "mlp.gate_proj.weight": (ffn, hidden), layer + "mlp.up_proj.weight": (ffn, hidden),
              layer + "mlp.down_proj.weight": (hidden, ffn),
              **{f"{layer}self_attn.{part}_proj.weight": square for part in "qkvo"}}
    header, data = {}, b""
    for name, shape in shapes.items():
        count = shape[0] * (shape[1] if len(shape) == 2 else 1)
        values = bytearray(struct.pack("<f", 1.0) * count if len(shape) == 1 else bytes(4 * count))
        for token in range(vocabulary):
            row = {"model.embed_tokens.weight": token, "lm_head.weight": following.get(token, token)}.get(name)
            if row is not None:
                struct.pack_into("<f", values, 4 * (row * hidden + token), 1.0)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header).encode()
    Path(folder, "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    Path(folder, "config.json").write_text(json.dumps(config))
    return config


def gguf_of(directory):
    """A sound GGUF with the float32 weights of a Hugging Face directory (default RoPE, no biases)."""
    config = json.loads((Path(directory) / "config.json").read_text())
    weights = Safetensors(Path(directory) / "model.safetensors")
    heads = config["num_attention_heads"]
    metadata = [
        ("general.architecture", STRING, "llama"),
        ("general.file_type", U32, 0),
        ("llama.context_length", U32, config["max_position_embeddings"]),
        ("llama.embedding_length", U32, config["hidden_size"]),
        ("llama.block_count", U32, config["num_hidden_layers"]),
        ("llama.feed_forward_length", U32, config["intermediate_size"]),
        ("llama.attention.head_count", U32, heads),
        ("llama.attention.head_count_kv", U32, config.get("num_key_value_heads", heads)),
        ("llama.attention.layer_norm_rms_epsilon", F32, config["rms_norm_eps"]),
        ("llama.rope.freq_base", F32, config["rope_theta"]),
        ("llama.vocab_size", U32, config["vocab_size"]),
        *gguf_byte_tokenizer(),
    ]
    parts = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
             "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm",
             "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
    names = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
    if "lm_head.weight" in weights.header:
        names["lm_head.weight"] = "output.weight"
    for layer in range(config["num_hidden_layers"]):
        for part, short in parts.items():
            names[f"model.layers.{layer}.{part}.weight"] = f"blk.{layer}.{short}.weight"
    tensors = []
    for name, short in names.items():
        shape, data = weights.header[name]["shape"], weights.tensor(name)
        if "attn_q" in short or "attn_k" in short:
            data = interleaved(data, heads if "attn_q" in short else config.get("num_key_value_heads", heads),
                4 * shape[1])
        tensors.append(GgufTensor(short, shape[::-1], data))
    return Gguf(metadata, tensors)
