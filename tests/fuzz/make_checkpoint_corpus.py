"""Writes the seeds of the checkpoint fuzz targets: corpus/{safetensors,gguf,config_json}."""

import json
import pathlib
import struct

CORPUS = pathlib.Path(__file__).parent / "corpus"
HIDDEN, HEADS, HEAD_DIM, FFN, VOCAB = 4, 2, 2, 4, 3


def save(folder: str, name: str, data: bytes) -> None:
    (CORPUS / folder).mkdir(parents=True, exist_ok=True)
    (CORPUS / folder / name).write_bytes(data)


def safetensors(tensors: dict, metadata: dict | None = None) -> bytes:
    header, data = {}, b""
    if metadata is not None:
        header["__metadata__"] = metadata
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def string(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def gguf(entries: list, tensors: list, version: int = 3) -> bytes:
    out = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(entries))
    for key, kind, value in entries:
        out += string(key) + struct.pack("<I", kind) + value
    data = b""
    for name, dims, kind, content in tensors:
        data += b"\0" * (-len(data) % 32)
        out += string(name) + struct.pack("<I", len(dims)) + struct.pack(f"<{len(dims)}Q", *dims)
        out += struct.pack("<IQ", kind, len(data))
        data += content
    return out + b"\0" * (-len(out) % 32) + data


def u32(key: str, value: int):
    return (key, 4, struct.pack("<I", value))


def llama_entries() -> list:
    texts = ["a", "b", "ab"]
    return [
        ("general.architecture", 8, string("llama")),
        u32("llama.embedding_length", HIDDEN),
        u32("llama.block_count", 1),
        u32("llama.attention.head_count", HEADS),
        u32("llama.feed_forward_length", FFN),
        u32("llama.context_length", 64),
        ("llama.attention.layer_norm_rms_epsilon", 6, struct.pack("<f", 1e-5)),
        ("tokenizer.ggml.model", 8, string("gpt2")),
        ("tokenizer.ggml.tokens", 9, struct.pack("<IQ", 8, 3) + b"".join(map(string, texts))),
        ("tokenizer.ggml.token_type", 9, struct.pack("<IQ3i", 5, 3, 1, 1, 3)),
        ("tokenizer.ggml.merges", 9, struct.pack("<IQ", 8, 1) + string("a b")),
        u32("tokenizer.ggml.eos_token_id", 2),
        ("tokenizer.ggml.add_bos_token", 7, b"\1"),
    ]


def llama_tensors() -> list:
    def f32(name, *dims):
        count = 1
        for dim in dims:
            count *= dim
        return (name, list(dims), 0, struct.pack(f"<{count}f", *[i / 8 for i in range(count)]))

    block = "blk.0."
    return [
        f32("token_embd.weight", HIDDEN, VOCAB),
        f32("output_norm.weight", HIDDEN),
        f32("rope_freqs.weight", HEAD_DIM // 2)[:3] + (struct.pack("<f", 8.0),),
        f32(block + "attn_norm.weight", HIDDEN),
        f32(block + "ffn_norm.weight", HIDDEN),
        *[f32(block + part, HIDDEN, HEADS * HEAD_DIM) for part in ("attn_q.weight", "attn_k.weight", "attn_v.weight")],
        f32(block + "attn_output.weight", HEADS * HEAD_DIM, HIDDEN),
        f32(block + "ffn_gate.weight", HIDDEN, FFN),
        f32(block + "ffn_up.weight", HIDDEN, FFN),
        f32(block + "ffn_down.weight", FFN, HIDDEN),
    ]


save("safetensors", "empty", safetensors({}))
save("safetensors", "plain", safetensors({
    "a": ("F32", [2, 2], bytes(range(16))), "b": ("BF16", [3], b"123456"), "c": ("F16", [], b"xy"),
    "d": ("F8_E4M3", [1, 1], b"z"), "e": ("I64", [0, 7], b"")}, {"format": "pt"}))
later = {"a": {"more": [{"b": [None, -1.5, True]}], "dtype": "F32", "shape": [1], "data_offsets": [0, 4], "new": {}},
         "__metadata__": None}
later_text = json.dumps(later).encode()
save("safetensors", "later_fields", struct.pack("<Q", len(later_text)) + later_text + b"1234")
save("safetensors", "gap", safetensors({"a": ("F32", [1], b"1234")}) + b"x")

save("gguf", "llama", gguf(llama_entries(), llama_tensors()))
save("gguf", "blocks", gguf([u32("general.alignment", 32)], [
    ("q8", [32], 8, b"q" * 34), ("q4_0", [32, 2], 2, b"q" * 36), ("q4_1", [64], 3, b"q" * 40),
    ("q5_0", [32], 6, b"q" * 22), ("q5_1", [32, 2], 7, b"q" * 48), ("q6_k", [256], 14, b"q" * 210),
    ("q4_k", [256], 12, b"k" * 144), ("q5_k", [256], 13, b"k" * 176), ("q3_k", [256], 11, b"k" * 110),
    ("bf16", [3], 30, b"123456")], version=2))
save("gguf", "types", gguf([
    ("u8", 0, b"\1"), ("i16", 3, b"\1\0"), ("f64", 12, struct.pack("<d", 0.5)), ("u64", 10, b"\xff" * 8),
    ("floats", 9, struct.pack("<IQ2f", 6, 2, 1.0, 2.0)), ("split.count", 2, b"\1\0")], []))
save("gguf", "nested", gguf([
    ("nested", 9, struct.pack("<IQ", 9, 2) + struct.pack("<IQ2B", 0, 2, 1, 2) + struct.pack("<IQ", 8, 1) + string("a")),
    ("tokenizer.chat_template.tool_use", 8, string("tools")), ("tokenizer.chat_template", 8, string("usual"))], []))
save("gguf", "scaled_part", gguf(llama_entries() + [
    ("split.no", 2, b"\0\0"), ("split.count", 2, b"\2\0"), ("split.tensors.count", 5, struct.pack("<i", 12)),
    ("llama.rope.scaling.type", 8, string("linear")), ("llama.rope.scaling.factor", 6, struct.pack("<f", 4.0)),
    u32("llama.attention.sliding_window", 64), u32("llama.later_idea", 1)], llama_tensors()))

LLAMA = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 2048, "num_hidden_layers": 16,
    "num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 8192, "vocab_size": 128256,
    "rms_norm_eps": 1e-5, "max_position_embeddings": 131072, "hidden_act": "silu", "torch_dtype": "bfloat16",
    "bos_token_id": 128000, "eos_token_id": [128001, 128009], "tie_word_embeddings": True,
}
LLAMA3 = {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 8192}
save("config_json", "llama3", json.dumps(LLAMA | {"rope_theta": 500000.0, "rope_scaling": LLAMA3}).encode())
save("config_json", "rope_parameters", json.dumps(
    LLAMA | {"dtype": "float32", "rope_parameters": LLAMA3 | {"rope_theta": 500000}, "head_dim": None}).encode())
save("config_json", "yarn", json.dumps(
    LLAMA | {"rope_scaling": {"type": "yarn"}, "sliding_window": 4, "quantization_config": {"quant_method": "x"}}).encode())
save("config_json", "python", (json.dumps(
    LLAMA | {"a": [float("nan"), float("inf"), -float("inf")], "b": "\ud800 \ud83d\ude00", "c": 10**40}
)[:-1] + ', "c": 1, "rope_scaling": {}, "original_max_position_embeddings": NaN }').encode())
save("config_json", "index", json.dumps({"metadata": {"total_size": 1}, "weight_map": {
    "a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}).encode())
save("config_json", "generation", json.dumps(
    {"eos_token_id": [1, 2], "temperature": 0.6, "top_p": 0.9, "top_k": 50, "do_sample": True,
     "repetition_penalty": 1.1, "min_p": 0.05, "max_length": 20, "pad_token_id": -1}).encode())
save("config_json", "tokens", json.dumps({
    "bos_token": "<s>", "eos_token": {"__type": "AddedToken", "content": "</s>", "lstrip": True}, "image_token": "<image>",
    "additional_special_tokens": ["<a>", "<s>"], "extra_special_tokens": {"audio_token": "<audio>"},
    "added_tokens_decoder": {"3": {"content": "<b>", "special": True}, "2": {"content": "b", "normalized": False}}}).encode())
save("config_json", "added_tokens", json.dumps({"<new>": 300, "<other>": 299}).encode())
