"""The table of serve_edge_test.py: bodies and bytes that are refused, with the status and the field that is named.

The demo model is served: 4096 token ids, contexts of 2048 tokens, bodies of at most 2 MiB.
"""
import json
from dataclasses import dataclass

CHAT, COMPLETION, TOKENIZE, DETOKENIZE = "/v1/chat/completions", "/v1/completions", "/tokenize", "/detokenize"
HELLO = [{"role": "user", "content": "Hello"}]
BASE = {CHAT: {"messages": HELLO, "max_tokens": 2}, COMPLETION: {"prompt": "Hello", "max_tokens": 2},
        TOKENIZE: {"prompt": "Hello"}, DETOKENIZE: {"tokens": [1, 2]}}
ANY = object()  # whatever `param` says


@dataclass
class Row:
    name: str
    path: str
    body: object  # bytes, or a JSON object
    param: object = ANY  # of the error; None: null
    status: int = 400
    code: object = None  # of the error; None: the status
    content_type: str = "application/json"


# Values a field refuses, whatever the endpoint; numbers in here have a range, flags have a type.
STRING, FLAG, LIST, TABLE = "x", True, [1], {"a": 1}
COMMON = {
    "model": (5, FLAG, LIST, TABLE, "no\0name"),
    "max_tokens": (STRING, FLAG, LIST, TABLE, -1, 1.5, 1 << 40, 1e300),
    "max_completion_tokens": (STRING, FLAG, LIST, TABLE, -1, 0.5),
    "min_tokens": (STRING, FLAG, LIST, TABLE, -1, 3),
    "n": (STRING, FLAG, LIST, TABLE, 0, -1, 9, 1.5, 1 << 70),
    "best_of": (STRING, FLAG, LIST, TABLE, 0, 2),
    "temperature": (STRING, FLAG, LIST, TABLE, -0.1, 1e300, 101),
    "top_p": (STRING, FLAG, LIST, TABLE, -1, 1.1),
    "min_p": (STRING, FLAG, LIST, TABLE, -0.1, 1.1),
    "repetition_penalty": (STRING, FLAG, LIST, TABLE, 0, -1),
    "top_k": (STRING, FLAG, LIST, TABLE, -2, 1.5, 1 << 40),
    "presence_penalty": (STRING, FLAG, LIST, TABLE, -2.1, 2.1),
    "frequency_penalty": (STRING, FLAG, LIST, TABLE, -2.1, 2.1),
    "seed": (STRING, FLAG, LIST, TABLE, 1.5, 1 << 63, 1 << 64, -(1 << 64)),
    "logit_bias": (STRING, FLAG, 5, LIST, {"x": 1}, {"-1": 1}, {"4096": 1}, {"01": 1}),
    "stop": (5, FLAG, TABLE, "", "x" * 257, ["a"] * 17),
    "stop_token_ids": (5, STRING, FLAG, TABLE),
    "include_stop_str_in_output": (5, STRING, LIST, TABLE),
    "skip_special_tokens": (5, STRING, LIST, TABLE),
    "ignore_eos": (5, STRING, LIST, TABLE),
    "stream": (5, STRING, LIST, TABLE),
    "stream_options": (5, STRING, FLAG, LIST, {"include_usage": True}),  # the last: without stream
    "priority": (STRING, FLAG, LIST, TABLE, 1, 1.5),
    "return_token_ids": (5, STRING, LIST, TABLE),
    # What herd does not do, asked for.
    "allowed_token_ids": (LIST,), "bad_words": (["x"],), "cache_salt": ("x",), "guided_json": (TABLE,),
    "guided_regex": ("a*",), "guided_choice": (["a"],), "guided_grammar": ("x",), "length_penalty": (2,),
    "logits_processors": (["x"],), "metadata": (5, {"a": 5}), "prompt_logprobs": (1,), "request_id": (5,),
    "response_format": ({"type": "json_object"}, "text"), "return_tokens_as_token_ids": (True,),
    "service_tier": ("flex", 5), "structured_outputs": ({"choice": ["a"]},), "truncate_prompt_tokens": (5,),
    "use_beam_search": (True,), "user": (5, LIST), "store": (True,), "watermarking": (True,), "stream_interval": (2,),
    "logprob_token_ids": (LIST,), "thinking_token_budget": (5,), "repetition_detection": (TABLE,),
}
OWN = {
    CHAT: {
        "messages": (5, STRING, FLAG, TABLE, []),
        "logprobs": (5, STRING, LIST, TABLE),
        "top_logprobs": (STRING, FLAG, LIST, TABLE, -1, 21, 1),  # the last: without logprobs
        "add_generation_prompt": (5, STRING, LIST, TABLE),
        "tools": ([{"type": "function"}],), "tool_choice": ("required", TABLE), "functions": ([TABLE],),
        "chat_template": ("{{ x }}",), "continue_final_message": (5, STRING), "documents": (5, TABLE),
        "chat_template_kwargs": (5, LIST), "echo": (True,),
        "modalities": (["audio"],), "prediction": (TABLE,), "audio": (TABLE,), "reasoning_effort": ("high",),
        "web_search_options": (TABLE,), "verbosity": ("low",), "moderation": (TABLE,), "return_prompt_text": (True,),
    },
    COMPLETION: {
        "prompt": (5, FLAG, TABLE, "", []),
        "logprobs": (STRING, FLAG, LIST, TABLE, -1, 21, 1.5),
        "echo": (5, STRING, LIST, TABLE),
        "add_special_tokens": (5, STRING, LIST, TABLE),
        "parse_special": (5, STRING), "suffix": ("x", 5), "prompt_embeds": ("x",),
    },
    TOKENIZE: {
        "prompt": (5, FLAG, LIST, TABLE), "model": (5, LIST), "add_special_tokens": (5, STRING),
        "return_token_strs": (5, STRING), "add_generation_prompt": (5, STRING), "messages": (5, STRING, []), "parse_special": (5, STRING),
        "tools": (5, [TABLE]), "continue_final_message": (5, True), "chat_template_kwargs": ({"a": 1},),
    },
    DETOKENIZE: {"tokens": (5, STRING, TABLE), "model": (5, LIST)},
}


def short(value):
    text = json.dumps(value)
    return text if len(text) < 30 else text[:27] + "…"


def field_rows():
    """Every field of every endpoint with values it cannot have."""
    for path, own in OWN.items():
        fields = {**(COMMON if path in (CHAT, COMPLETION) else {}), **own}
        for name, values in fields.items():
            for value in values:
                base = dict(BASE[path])
                if name == "max_completion_tokens":
                    del base["max_tokens"]
                if path == TOKENIZE and name == "messages":
                    del base["prompt"]
                yield Row(f"{path} {name} = {short(value)}", path, {**base, name: value}, name)


def chat(messages, param, name):
    return Row(f"messages: {name}", CHAT, {"messages": messages}, param)


def user(content):
    return [{"role": "user", "content": content}]


NESTED = (
    chat([5], "messages[0]", "no object"),
    chat([{"content": "x"}], "messages[0].role", "no role"),
    chat([{"role": 5, "content": "x"}], "messages[0].role", "role is a number"),
    chat([{"role": "king", "content": "x"}], "messages[0].role", "unknown role"),
    chat([{"role": "user"}], "messages[0].content", "no content"),
    chat([{"role": "user", "content": None}], "messages[0].content", "content is null"),
    chat(user(5), "messages[0].content", "content is a number"),
    chat(user([]), "messages[0].content", "no parts"),
    chat(user([5]), "messages[0].content[0]", "a part is a number"),
    chat(user([{"type": "text"}]), "messages[0].content[0].text", "a part without text"),
    chat(user([{"text": "x"}]), "messages[0].content[0].type", "a part without type"),
    chat(user([{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": "x"}}]),
         "messages[0].content[1].type", "a picture"),
    chat(user([{"type": "refusal", "refusal": "x"}]), "messages[0].content[0].type", "a refusal of the user"),
    chat(user([{"type": "text", "text": "x"}] * 65), "messages[0].content", "too many parts"),
    chat([{"role": "user", "content": "x", "refusal": "y"}], "messages[0].refusal", "the user refuses"),
    chat([{"role": "assistant", "content": [{"type": "refusal"}]}], "messages[0].content[0].refusal", "no refusal"),
    chat([*HELLO, {"role": "assistant", "content": "x", "tool_calls": [{}]}], "messages[1].tool_calls[0].function", "a call of nothing"),
    chat([{"role": "user", "content": "x", "tool_calls": [TABLE]}], "messages[0].tool_calls", "the user calls"),
    chat([{"role": "user", "content": "x", "reasoning": "y"}], "messages[0].reasoning", "the user thinks"),
    chat(HELLO * 2049, "messages", "too many"),
    Row("documents[0] is a number", CHAT, {**BASE[CHAT], "documents": [5]}, "documents[0]"),
    Row("a variable that is a field", CHAT, {**BASE[CHAT], "chat_template_kwargs": {"messages": []}}, "chat_template_kwargs.messages"),
    Row("two ends", CHAT, {**BASE[CHAT], "continue_final_message": True, "add_generation_prompt": True}, "continue_final_message"),
    Row("stop[1] is a number", CHAT, {**BASE[CHAT], "stop": ["a", 5]}, "stop[1]"),
    Row("stop[1] is empty", COMPLETION, {**BASE[COMPLETION], "stop": ["a", ""]}, "stop[1]"),
    Row("stop_token_ids[0] is text", CHAT, {**BASE[CHAT], "stop_token_ids": ["a"]}, "stop_token_ids[0]"),
    Row("stop_token_ids[1] is outside", CHAT, {**BASE[CHAT], "stop_token_ids": [1, 4096]}, "stop_token_ids[1]"),
    Row("logit_bias.5 is text", CHAT, {**BASE[CHAT], "logit_bias": {"5": "x"}}, "logit_bias.5"),
    Row("logit_bias.5 is 101", COMPLETION, {**BASE[COMPLETION], "logit_bias": {"5": 101}}, "logit_bias.5"),
    Row("stream_options.include_usage is a number", CHAT,
        {**BASE[CHAT], "stream": True, "stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
    Row("prompt[1] is a number among texts", COMPLETION, {"prompt": ["a", 5]}, "prompt[1]"),
    Row("prompt[1] is text among ids", COMPLETION, {"prompt": [1, "a"]}, "prompt[1]"),
    Row("prompt[0] is -1", COMPLETION, {"prompt": [-1]}, "prompt[0]"),
    Row("prompt[2] is outside the vocabulary", COMPLETION, {"prompt": [1, 2, 4096]}, "prompt[2]"),
    Row("prompt[1] is an empty list", COMPLETION, {"prompt": [[1], []]}, "prompt[1]"),
    Row("prompt[1][0] is text", COMPLETION, {"prompt": [[1], ["a"]]}, "prompt[1][0]"),
    Row("prompt[0] is an object", COMPLETION, {"prompt": [{}]}, "prompt[0]"),
    Row("prompt[0] is empty text", COMPLETION, {"prompt": [""]}, "prompt[0]"),
    Row("too many prompts", COMPLETION, {"prompt": ["a"] * 257}, "prompt"),
    Row("no prompt", COMPLETION, {"max_tokens": 2}, "prompt"),
    Row("no messages", CHAT, {"max_tokens": 2}, "messages"),
    Row("two limits that differ", CHAT, {**BASE[CHAT], "max_completion_tokens": 3}, "max_completion_tokens"),
    Row("max_tokens 0 without echo", COMPLETION, {"prompt": "x", "max_tokens": 0}, "max_tokens"),
    Row("an unknown model", CHAT, {**BASE[CHAT], "model": "gpt-9"}, ANY, 404, "model_not_found"),
    Row("an unknown model", COMPLETION, {**BASE[COMPLETION], "model": "gpt-9"}, ANY, 404, "model_not_found"),
    Row("more tokens than the context", COMPLETION, {"prompt": "x", "max_tokens": 2048}, ANY, 400,
        "context_length_exceeded"),
    Row("ids beyond the context", COMPLETION, {"prompt": [5] * 2049}, ANY, 400, "context_length_exceeded"),
    Row("text beyond the context", COMPLETION, {"prompt": "word " * 4000}, ANY, 400, "context_length_exceeded"),
    Row("text far beyond the context", CHAT, {"messages": user("word " * 100_000)}, ANY, 400,
        "context_length_exceeded"),
    Row("tokenize: both prompt and messages", TOKENIZE, {"prompt": "x", "messages": HELLO}, "prompt"),
    Row("tokenize: nothing", TOKENIZE, {}, "prompt"),
    Row("detokenize: nothing", DETOKENIZE, {}, "tokens"),
    Row("detokenize: outside the vocabulary", DETOKENIZE, {"tokens": [4096]}, "tokens[0]"),
)


def prompt(inside):
    return b'{"prompt":"' + inside + b'","max_tokens":2}'


def bytes_row(name, body, param=ANY, status=400, path=COMPLETION, **more):
    return Row(f"bytes: {name}", path, body, param, status, **more)


BYTES = (
    bytes_row("nothing", b"", None),
    bytes_row("a blank", b" ", None),
    bytes_row("half an object", b'{"prompt":"x"'),
    bytes_row("an array", b"[]", None),
    bytes_row("a string", b'"prompt"', None),
    bytes_row("null", b"null", None),
    bytes_row("two objects", b'{"prompt":"x"}{}'),
    bytes_row("a comment", b'{"prompt":"x"/**/}'),
    bytes_row("a trailing comma", b'{"prompt":"x",}'),
    bytes_row("single quotes", b"{'prompt':'x'}"),
    bytes_row("a key twice", b'{"prompt":"x","max_tokens":1,"max_tokens":1}', "max_tokens"),
    bytes_row("a message's key twice", b'{"messages":[{"role":"user","content":"x","role":"user"}]}', "role",
              path=CHAT),
    bytes_row("broken UTF-8: ff", prompt(b"\xff"), "prompt"),
    bytes_row("broken UTF-8: a start without its rest", prompt(b"\xe2\x82"), "prompt"),
    bytes_row("broken UTF-8: a rest without its start", prompt(b"\x80"), "prompt"),
    bytes_row("broken UTF-8: an overlong slash", prompt(b"\xc0\xaf"), "prompt"),
    bytes_row("broken UTF-8: a surrogate", prompt(b"\xed\xa0\x80"), "prompt"),
    bytes_row("broken UTF-8: beyond U+10FFFF", prompt(b"\xf4\x90\x80\x80"), "prompt"),
    bytes_row("broken UTF-8 in a key", b'{"pro\xffmpt":"x"}'),
    bytes_row("UTF-16", '{"prompt":"x"}'.encode("utf-16")),
    bytes_row("a lone high surrogate", prompt(b"\\ud800"), "prompt"),
    bytes_row("a lone low surrogate", prompt(b"\\udc00"), "prompt"),
    bytes_row("two high surrogates", prompt(b"\\ud800\\ud800"), "prompt"),
    bytes_row("an unknown escape", prompt(b"\\x41"), "prompt"),
    bytes_row("half an escape", prompt(b"\\u12"), "prompt"),
    bytes_row("NUL in a string", prompt(b"a\0b"), "prompt"),
    bytes_row("a newline in a string", prompt(b"a\nb"), "prompt"),
    bytes_row("NUL before the body", b"\0" + prompt(b"x")),
    bytes_row("NUL behind the body", prompt(b"x") + b"\0"),
    bytes_row("NaN", b'{"prompt":"x","temperature":NaN}', "temperature"),
    bytes_row("Infinity", b'{"prompt":"x","temperature":Infinity}', "temperature"),
    bytes_row("1e999", b'{"prompt":"x","temperature":1e999}', "temperature"),
    bytes_row("-1e999", b'{"prompt":"x","temperature":-1e999}', "temperature"),
    bytes_row("max_tokens 1e999", b'{"prompt":"x","max_tokens":1e999}', "max_tokens"),
    bytes_row("400 digits", b'{"prompt":"x","max_tokens":' + b"9" * 400 + b"}", "max_tokens"),
    bytes_row("a hexadecimal number", b'{"prompt":"x","max_tokens":0x10}', "max_tokens"),
    bytes_row("a leading zero", b'{"prompt":"x","max_tokens":010}', "max_tokens"),
    bytes_row("a plus sign", b'{"prompt":"x","max_tokens":+1}', "max_tokens"),
    bytes_row("seed 2^63", b'{"prompt":"x","seed":9223372036854775808}', "seed"),
    bytes_row("33 levels", b'{"metadata":' + b"[" * 33 + b"]" * 33 + b"}"),
    bytes_row("100,000 arrays", b'{"prompt":' + b"[" * 100_000, "prompt"),
    bytes_row("100,000 objects", b'{"a":' * 100_000),
    bytes_row("4,097 fields", b"{" + b",".join(b'"f%d":1' % i for i in range(4_096)) + b',"prompt":"x"}', None),
    bytes_row("4,097 fields in one", b'{"prompt":"x","metadata":{' + b",".join(b'"f%d":1' % i for i in range(4_097)) + b"}}", "metadata"),
    bytes_row("half a million values", b'{"prompt":[' + b"1," * 500_000 + b"1]}", "prompt"),
    bytes_row("200,001 fields", b"{" + b",".join(b'"%x":1' % i for i in range(200_001)) + b',"prompt":"x"}'),
    bytes_row("3 MiB", prompt(b"x" * (3 << 20)), None, 413),
    bytes_row("3 MiB of blanks", b" " * (3 << 20), None, 413),
    bytes_row("no Content-Type", prompt(b"x"), None, 415, content_type=""),
    bytes_row("text/plain", prompt(b"x"), None, 415, content_type="text/plain"),
    bytes_row("a form", b"prompt=x", None, 415, content_type="application/x-www-form-urlencoded"),
    bytes_row("application/jsonx", prompt(b"x"), None, 415, content_type="application/jsonx"),
    bytes_row("multipart", b"--x--", None, 415, content_type="multipart/form-data; boundary=x", path=CHAT),
)

# Raw bytes of a connection, and the statuses that are right. The big table is the HTTP parser's own test.
RAW = (
    ("not HTTP", b"hello\r\n\r\n", (400,)),
    ("TLS on a plain port", bytes.fromhex("16030100f4010000f00303") + b"\0" * 300, (400,)),
    ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 505)),
    ("HTTP/3.0", b"GET /health HTTP/3.0\r\nHost: localhost\r\n\r\n", (505,)),
    ("no Host", b"GET /health HTTP/1.1\r\n\r\n", (400,)),
    ("two Hosts", b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", (400,)),
    ("a folded header", b"GET /health HTTP/1.1\r\nHost: localhost\r\nA: b\r\n c\r\n\r\n", (400,)),
    ("a blank before the colon", b"GET /health HTTP/1.1\r\nHost : x\r\n\r\n", (400,)),
    ("NUL in a header", b"GET /health HTTP/1.1\r\nHost: localhost\r\nA: b\0c\r\n\r\n", (400,)),
    ("bare line feeds", b"GET /health HTTP/1.1\nHost: x\n\n", (400,)),
    ("length and chunks", b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
                          b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", (400,)),
    ("two lengths", b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
     (400,)),
    ("a negative length", b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n", (400,)),
    ("a huge length", b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                      b"Content-Length: 9999999999999\r\n\r\n", (413,)),
    # 501 is for a coding in front of chunked; without chunked at the end nobody knows where the body ends.
    ("an unknown coding", b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
     (501,)),
    ("no chunked at the end", b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
                              b"Transfer-Encoding: identity\r\n\r\n{}", (400,)),
    ("a broken chunk size", b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                            b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", (400,)),
    ("a header of 10 KB", b"GET /health HTTP/1.1\r\nHost: localhost\r\nA: " + b"a" * 10_000 + b"\r\n\r\n", (431,)),
    ("200 headers", b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * 200 + b"\r\n", (431,)),
    ("a target of 10 KB", b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", (414,)),
    ("an absolute target with a user", b"GET http://me@localhost/health HTTP/1.1\r\nHost: localhost\r\n\r\n", (400,)),
    ("an absolute target of another scheme", b"GET ftp://localhost/health HTTP/1.1\r\nHost: localhost\r\n\r\n", (400,)),
    ("another host's name", b"GET /health HTTP/1.1\r\nHost: rebound.example.com\r\n\r\n", (421,)),
)

ROWS = (*field_rows(), *NESTED, *BYTES)
