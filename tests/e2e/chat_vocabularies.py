"""Small checkpoints without weights for chat_prompts_test.py, each with a vocabulary of another kind and a chat template in
its family's manner. `herd serve --load-format random` serves them; `tokenizers` is their oracle."""
import json
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")

CORPUS = ["The capital of France is Paris. It's not the largest city in the world, but they'll say it is.",
          "def f(x):\n    return x ** 2\n\n\nclass A:\n\tpass\n", "zwei\nZeilen und ein Übergröße-Wort, naïve café",
          "日本語のテキスト 안녕하세요 привет мир 😀", '{"name": "lookup", "parameters": {"key": "value", "limit": 3}}',
          "user assistant system tool 1234567890 12.5% <think>\n\n</think>\n\n<<SYS>>\n<</SYS>>"] * 20

LLAMA3_TURNS = (
    "{{ bos_token }}{% for m in messages %}{% if m.tool_calls %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
    "{% for c in m.tool_calls %}{{ c.function | tojson }}{% endfor %}{{ '<|eot_id|>' }}{% else %}"
    "{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + (m['content'] | trim) + '<|eot_id|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}")
LLAMA31_TURNS = (
    "{{- bos_token }}{%- set date_string = date_string if date_string is defined else strftime_now('%d %b %Y') %}"
    "{%- if messages[0]['role'] == 'system' %}{%- set system = messages[0]['content'] | trim %}{%- set messages = messages[1:] %}"
    "{%- else %}{%- set system = '' %}{%- endif %}"
    "{{- '<|start_header_id|>system<|end_header_id|>\n\nToday Date: ' + date_string + '\n\n' }}"
    "{%- if tools is not none %}{{- 'Tools:\n' }}{%- for t in tools %}{{- t | tojson(indent=4) }}{{- '\n\n' }}{%- endfor %}{%- endif %}"
    "{{- system + '<|eot_id|>' }}"
    "{%- for m in messages %}{%- if 'tool_calls' in m %}{%- if not m.tool_calls | length == 1 %}"
    "{{- raise_exception('only single tool-calls at once!') }}{%- endif %}{%- set c = m.tool_calls[0].function %}"
    "{{- '<|start_header_id|>assistant<|end_header_id|>\n\n{\"name\": \"' + c.name + '\", \"parameters\": ' + (c.arguments | tojson) + '}<|eot_id|>' }}"
    "{%- elif m.role == 'tool' or m.role == 'ipython' %}{{- '<|start_header_id|>ipython<|end_header_id|>\n\n' + (m.content | tojson) + '<|eot_id|>' }}"
    "{%- else %}{{- '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + m['content'] | trim + '<|eot_id|>' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}")
CHATML = (
    "{% if tools %}<|im_start|>system\n{% for t in tools %}{{ t | tojson }}\n{% endfor %}<|im_end|>\n{% endif %}"
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] }}"
    "{% for c in m.tool_calls or [] %}<tool_call>\n{{ c | tojson }}\n</tool_call>{% endfor %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if documents %}{{ documents | tojson }}{% endif %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% if enable_thinking is defined and not enable_thinking %}"
    "{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}")
LLAMA2 = (
    "{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}{% set system = messages[0]['content'] %}"
    "{% else %}{% set rest = messages %}{% set system = false %}{% endif %}{% for m in rest %}"
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate user/assistant/...') }}{% endif %}"
    "{% if loop.index0 == 0 and system %}{% set content = '<<SYS>>\n' + system + '\n<</SYS>>\n\n' + m['content'] %}"
    "{% else %}{% set content = m['content'] %}{% endif %}"
    "{% if m['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}")
ZEPHYR = (
    "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + eos_token + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}")
PHI3 = (
    "{{ bos_token }}{% for m in messages %}{{ '<|' + m.role + '|>' + '\n' + m.content + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}")


def special(text, **flags):
    return AddedToken(text, special=True, normalized=False, **flags)


def byte_level(pattern, tokens, normalizer=None, digits=False):
    """Bytes, cut by a pattern, as Llama 3, Qwen2 and SmolLM2 have it."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=pattern == LLAMA3))
    stages = [pre_tokenizers.Digits(individual_digits=True)] if digits else []
    if pattern:
        stages.append(pre_tokenizers.Split(Regex(pattern), "isolated"))
    stages.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not pattern))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(stages)
    tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=800, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                                              show_progress=False))
    tokenizer.add_special_tokens(tokens)
    if pattern == LLAMA3:
        bos = tokenizer.token_to_id("<|begin_of_text|>")
        tokenizer.post_processor = processors.TemplateProcessing(single="<|begin_of_text|> $A", pair="<|begin_of_text|> $A $B",
                                                                 special_tokens=[("<|begin_of_text|>", bos)])
    return tokenizer


def characters(metaspace, tokens):
    """Characters with byte tokens beside them, as SentencePiece's vocabularies are converted: Llama 2's way or Metaspace."""
    first = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    trained = Tokenizer(models.BPE(unk_token="<unk>"))
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trained.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=900, special_tokens=first, limit_alphabet=90, show_progress=False))
    definition = json.loads(tokenizer.to_str())
    definition["model"]["vocab"] = json.loads(trained.to_str())["model"]["vocab"]
    definition["model"]["merges"] = json.loads(trained.to_str())["model"]["merges"]
    tokenizer = Tokenizer.from_str(json.dumps(definition))
    if metaspace:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
        tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    else:
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens([special(token) for token in first[:3]] + tokens)
    bos = tokenizer.token_to_id("<s>")
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", bos)])
    return tokenizer


LLAMA3_TOKENS = [special(f"<|{name}|>") for name in ("begin_of_text", "end_of_text", "start_header_id", "end_header_id", "eom_id", "eot_id",
                                                     "python_tag")]
CHATML_TOKENS = [special(text) for text in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")]
PHI3_TOKENS = [special(f"<|{name}|>", rstrip=True) for name in ("system", "user", "assistant", "end")]
LLAMA3_NAMES = {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"}
SENTENCEPIECE_NAMES = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}

# name: how the tokenizer is made, the template, what the template finds as special tokens
VOCABULARIES = {
    "Llama 3": (lambda: byte_level(LLAMA3, LLAMA3_TOKENS), LLAMA3_TURNS, LLAMA3_NAMES),
    "Llama 3.1, tools and a date": (lambda: byte_level(LLAMA3, LLAMA3_TOKENS), LLAMA31_TURNS, LLAMA3_NAMES),
    "Qwen2, ChatML": (lambda: byte_level(QWEN2, CHATML_TOKENS, normalizers.NFC()), CHATML, {"eos_token": "<|im_end|>"}),
    "SmolLM2, ChatML": (lambda: byte_level(None, CHATML_TOKENS, digits=True), CHATML, {"eos_token": "<|im_end|>"}),
    "Llama 2": (lambda: characters(False, []), LLAMA2, SENTENCEPIECE_NAMES),
    "TinyLlama, Zephyr": (lambda: characters(False, []), ZEPHYR, SENTENCEPIECE_NAMES),
    "Mistral, Metaspace": (lambda: characters(True, [special("[INST]"), special("[/INST]")]), LLAMA2, SENTENCEPIECE_NAMES),
    "Phi 3, tokens that take white space": (lambda: characters(False, PHI3_TOKENS), PHI3, SENTENCEPIECE_NAMES),
}


def write_checkpoint(folder, name):
    """The folder of a checkpoint, its tokenizer, its template and its special tokens."""
    make, template, names = VOCABULARIES[name]
    tokenizer = make()
    folder = Path(folder)
    folder.mkdir()
    rows = tokenizer.get_vocab_size()
    config = {"architectures": ["LlamaForCausalLM"], "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
              "num_key_value_heads": 1, "head_dim": 16, "intermediate_size": 32, "rms_norm_eps": 1e-5, "vocab_size": rows,
              "max_position_embeddings": 8192, "eos_token_id": tokenizer.token_to_id(names["eos_token"])}
    (folder / "config.json").write_text(json.dumps(config))
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": template, **names}))
    return folder, tokenizer, template, names
