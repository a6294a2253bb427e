#!/usr/bin/env python3
"""Fields and shapes of the endpoint against the two APIs it speaks.

    api_fields_test.py HERD

fields    every field that the `openai` package's typed dicts and vLLM's protocol name is known: null and the API's own
          default pass, any other value passes or is a 400 that names the field; none is ignored. A field that is new in
          the package shows up here
messages  every role and part of OpenAI's schema: what is text is read, the rest is refused by name
unknown   fields that no API knows pass, named in x-herd-ignored-fields and once in the log; --strict-fields refuses them
stops     a stop string that is a special token ends the answer by its id; min_tokens holds stop strings back
answers   whole and streamed, against the package's own models, with the keys that OpenAI's schema requires
"""
import argparse
import re
import sys
import typing
from pathlib import Path

import openai
from openai.types import Completion, Model, completion_create_params
from openai.types import chat as chat_types
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat import completion_create_params as chat_create_params

from serve_process import Checks, Server, TestFolder

CHAT, COMPLETION, TOKENIZE, DETOKENIZE = "/v1/chat/completions", "/v1/completions", "/tokenize", "/detokenize"
HELLO = [{"role": "user", "content": "Hello"}]
BASE = {CHAT: {"messages": HELLO, "max_tokens": 1}, COMPLETION: {"prompt": "Hello", "max_tokens": 1},
        TOKENIZE: {"prompt": "Hello"}, DETOKENIZE: {"tokens": [1, 2]}}
HEADER = "x-herd-ignored-fields"
ODD_VALUES = ("?", 7, 1.5, True, False, [], ["?"], [7], {}, {"?": "?"}, {"?": 7})

# Fields of vLLM's requests beside OpenAI's, read from its protocol files of this version.
VLLM_VERSION = "0.33.0"
VLLM_BOTH = """add_special_tokens allowed_token_ids bad_words cache_salt ec_transfer_params echo ignore_eos
    include_stop_str_in_output kv_transfer_params length_penalty logprob_token_ids logprobs min_p min_tokens mm_payload
    priority prompt_logprobs repetition_detection repetition_penalty request_id response_format return_mm_kwargs
    return_token_ids return_token_offsets return_tokens_as_token_ids return_weight_versions routed_experts_prompt_start
    session_id skip_special_tokens spaces_between_special_tokens stop_token_ids stream_interval structured_outputs
    thinking_token_budget top_k truncate_prompt_tokens truncation_side use_beam_search vllm_xargs watermarking""".split()
VLLM_OWN = {
    CHAT: """add_generation_prompt chat_template chat_template_kwargs continue_final_message documents include_reasoning
        media_io_kwargs mm_processor_kwargs reasoning_effort return_prompt_text top_logprobs""".split(),
    COMPLETION: ["prompt_embeds"],
    TOKENIZE: """add_generation_prompt add_special_tokens chat_template chat_template_kwargs continue_final_message
        media_io_kwargs messages mm_processor_kwargs return_token_strs tools""".split(),
    DETOKENIZE: [],
}
# What the two APIs take a field to be when it is absent, and hints that change no answer.
DEFAULTS = {"frequency_penalty": 0, "presence_penalty": 0, "logit_bias": {}, "n": 1, "stop": [], "stream": False,
            "temperature": 1, "top_p": 1, "user": "me", "use_beam_search": False, "top_k": 0, "min_p": 0,
            "repetition_penalty": 1.0, "length_penalty": 1.0, "stop_token_ids": [], "include_stop_str_in_output": False,
            "ignore_eos": False, "min_tokens": 0, "skip_special_tokens": True, "spaces_between_special_tokens": True,
            "bad_words": [], "priority": 0, "request_id": "r", "session_id": "s", "return_tokens_as_token_ids": False,
            "return_token_ids": False, "return_weight_versions": False, "routed_experts_prompt_start": 0,
            "return_token_offsets": False, "mm_payload": "tensors", "return_mm_kwargs": True, "stream_interval": 1,
            "truncation_side": "left", "logprob_token_ids": [], "watermarking": False, "kv_transfer_params": {},
            "response_format": {"type": "text"}, "prompt_cache_key": "k", "prompt_cache_retention": "24h",
            "prompt_cache_options": {"mode": "explicit", "ttl": "30m"}, "safety_identifier": "me", "metadata": {"a": "b"},
            "service_tier": "auto", "store": False, "best_of": 1}
OWN_DEFAULTS = {
    CHAT: {"verbosity": "medium", "reasoning_effort": "medium", "modalities": ["text"], "parallel_tool_calls": True,
           "tool_choice": "none", "tools": [], "function_call": "none", "functions": [], "logprobs": False,
           "top_logprobs": 0, "include_reasoning": True, "echo": False, "add_generation_prompt": True,
           "continue_final_message": False, "add_special_tokens": False, "documents": [], "chat_template_kwargs": {},
           "media_io_kwargs": {}, "mm_processor_kwargs": {}, "return_prompt_text": False},
    COMPLETION: {"echo": False, "suffix": "", "add_special_tokens": True},
}


def annotations(*classes):
    return sorted({name for one in classes for name in one.__annotations__})


def openai_fields(path):
    module = chat_create_params if path == CHAT else completion_create_params
    return annotations(module.CompletionCreateParamsBase, module.CompletionCreateParamsNonStreaming,
                       module.CompletionCreateParamsStreaming)


def ignored(answer):
    return [name for name in answer.headers.get(HEADER, "").split(",") if name]


def judge(answer, name):
    """What is wrong with the answer to a known field of some value; "" when nothing is."""
    if answer.status == 200:
        return f"{name} is ignored" if ignored(answer) else ""
    param = answer.error().get("param") or ""
    if answer.status == 404 and name == "model":
        return ""
    named = param == name or param.startswith((name + "[", name + "."))
    return "" if answer.status == 400 and named else f"{answer.status}, {param!r}"


def fields(checks, server):
    for path in (CHAT, COMPLETION, TOKENIZE, DETOKENIZE):
        names = set(VLLM_OWN[path])
        if path in (CHAT, COMPLETION):
            names |= set(openai_fields(path)) | set(VLLM_BOTH)
            checks.check(f"{path}: the package names its fields", len(names) > 50, sorted(names))
        wrong = []
        for name in sorted(names - {"messages", "prompt", "tokens"}):
            answer = server.post(path, {**BASE[path], name: None})
            if answer.status != 200 or ignored(answer):
                wrong.append(f"{name} = null: {answer.status} {answer.headers.get(HEADER)}")
            for value in ODD_VALUES:
                body = {**BASE[path], name: value}
                if name == "max_completion_tokens":
                    del body["max_tokens"]
                # stream_options has no meaning of its own; a field inside it is judged by its own row below
                if problem := judge(server.post(path, body), name):
                    if not (name == "stream_options" and "is ignored" in problem):
                        wrong.append(f"{name} = {value!r}: {problem}")
        checks.check(f"{path}: {len(names)} fields of openai {openai.__version__} and vLLM {VLLM_VERSION} are known",
                     not wrong, wrong[:20])
    for path in (CHAT, COMPLETION):
        given = {**DEFAULTS, **OWN_DEFAULTS[path]}
        wrong = [f"{name} = {value!r}: {answer.status} {answer.error().get('message')} {ignored(answer)}"
                 for name, value in given.items()
                 for answer in [server.post(path, {**BASE[path], name: value})] if answer.status != 200 or ignored(answer)]
        checks.check(f"{path}: {len(given)} defaults and hints pass", not wrong, wrong)
        options = annotations(chat_types.ChatCompletionStreamOptionsParam) + ["continuous_usage_stats"]
        wrong = [name for name in options for answer in
                 [server.post(path, {**BASE[path], "stream": True, "stream_options": {name: True}})]
                 if answer.status != 200 or ignored(answer)]
        checks.check(f"{path}: stream_options {options}", not wrong, wrong)


# Values of the members that the schema gives messages and parts; what is not listed must not be in the package.
MEMBERS = {"name": "n", "tool_call_id": "c", "audio": None, "function_call": None, "refusal": None, "tool_calls": []}
REFUSED_MEMBERS = {"audio": {"id": "a"}, "function_call": {"name": "f", "arguments": "{}"}}
TOOL_CALLS = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
PARTS = {"text": {"text": "a"}, "refusal": {"refusal": "a"}, "image_url": {"image_url": {"url": "data:"}},
         "input_audio": {"input_audio": {"data": "", "format": "wav"}}, "file": {"file": {"file_id": "f"}}}


def asked(server, *messages):
    return server.post(CHAT, {"messages": [*HELLO, *messages, *HELLO], "max_tokens": 1})


def messages(checks, server):
    roles = {schema.__name__.removeprefix("ChatCompletion").removesuffix("MessageParam").lower(): schema
             for schema in typing.get_args(chat_types.ChatCompletionMessageParam)}
    checks.equal("the roles of the schema", sorted(roles),
                 ["assistant", "developer", "function", "system", "tool", "user"])
    for role, schema in roles.items():
        members = set(schema.__annotations__) - {"role", "content"}
        checks.check(f"{role}: members that are known", members <= set(MEMBERS), members - set(MEMBERS))
        message = {"role": role, "content": "a", **{name: MEMBERS[name] for name in members}}
        answer = asked(server, message)
        checks.check(f"{role} with all its members", answer.status == 200 and not ignored(answer), answer)
        for name in members & set(REFUSED_MEMBERS):
            answer = asked(server, {**message, name: REFUSED_MEMBERS[name]})
            checks.equal(f"{role}: {name} is refused by name", (answer.status, answer.error().get("param")),
                         (400, f"messages[1].{name}"))
        for kind in ["text"] + (["refusal"] if role == "assistant" else []):
            if role != "function":
                parts = [{"type": kind, **PARTS[kind]}, {"type": "text", "text": "b"}]
                checks.equal(f"{role} with a part of {kind}", asked(server, {**message, "content": parts}).status, 200)
    parts = (*typing.get_args(chat_types.ChatCompletionContentPartParam), chat_types.ChatCompletionContentPartRefusalParam)
    checks.equal("the parts of the schema are the ones tried", sorted(set().union(*(one.__annotations__ for one in parts))),
                 ["file", "image_url", "input_audio", "prompt_cache_breakpoint", "refusal", "text", "type"])
    for kind, members in PARTS.items():
        if kind not in ("text", "refusal"):
            answer = asked(server, {"role": "user", "content": [{"type": kind, **members}]})
            checks.equal(f"a part of {kind} is refused", (answer.status, answer.error().get("param")),
                         (400, "messages[1].content[0].type"))

    answer = asked(server, {"role": "assistant", "content": None, "tool_calls": TOOL_CALLS},
                   {"role": "tool", "content": "5", "tool_call_id": "c"})
    checks.check("an assistant's tool calls and their results", answer.status == 200 and not ignored(answer), answer)

    def ids(message):
        return server.post(TOKENIZE, {"messages": [*HELLO, message]}).json().get("tokens")
    said = ids({"role": "assistant", "content": "I cannot."})
    for name, message in (("as a part", {"content": [{"type": "refusal", "refusal": "I cannot."}]}),
                          ("beside null", {"content": None, "refusal": "I cannot."}),
                          ("alone", {"refusal": "I cannot."})):
        checks.equal(f"a refusal {name} is what the assistant said", ids({"role": "assistant", **message}), said)
    checks.check("a function's result may be null",
                 asked(server, {"role": "function", "name": "f", "content": None}).status == 200)
    tools = [{"type": "function", "function": {"name": "f"}}]
    for choice, status in (("none", 200), ("auto", 400), (None, 400)):
        answer = server.post(CHAT, {**BASE[CHAT], "tools": tools, "tool_choice": choice})
        checks.equal(f"tools with tool_choice {choice}", answer.status, status)


def notices(server):
    return [line for line in server.stderr().splitlines() if "unknown fields" in line]


def unknown(checks, server, folder, herd):
    before = len(notices(server))
    for path, base in BASE.items():
        answer = server.post(path, {**base, "no_such_field": {"a": 1}})
        checks.equal(f"{path}: an unknown field passes", (answer.status, ignored(answer)), (200, ["no_such_field"]))
    checks.equal("the log names it once", [line.endswith("fields=no_such_field") for line in notices(server)[before:]],
                 [True])
    nested = {"messages": [{"role": "user", "x": 1, "content": [{"type": "text", "text": "a", "cache_control": {}}]}],
              "max_tokens": 1, "stream": True, "stream_options": {"y": 1}, "response_format": {"type": "text", "z": 1}}
    expected = ["messages[].content[].cache_control", "messages[].x", "stream_options.y", "response_format.z"]
    checks.equal("inside of others", sorted(ignored(server.post(CHAT, nested))), sorted(expected))
    answer = server.post(COMPLETION, {**BASE[COMPLETION], "é\r\nX-Evil: 1": 1, "": 1, "x" * 500: 1, "a,b": 1})
    names = ignored(answer)
    checks.check("names that a header cannot hold", answer.status == 200 and "x-evil" not in answer.headers
                 and len(names) == 4 and all(re.fullmatch(r"[A-Za-z0-9_.\[\]-]{1,64}", name) for name in names), names)
    checks.check("nor a line of the log", not any("X-Evil: 1" in line for line in server.stderr().splitlines()))
    answer = server.post(COMPLETION, {**BASE[COMPLETION], **{f"f{i}": i for i in range(50)}})
    checks.equal("16 are named", (answer.status, ignored(answer)), (200, [f"f{i}" for i in range(16)]))
    answer = server.post(COMPLETION, {**BASE[COMPLETION], "no_such_field": None})
    checks.equal("null says nothing", (answer.status, ignored(answer)), (200, []))
    answer = server.request("POST", CHAT, {**BASE[CHAT], "x": 1}, {"Origin": "http://ui.example.com"})
    checks.check("a browser's script may read it",
                 HEADER in answer.headers.get("access-control-expose-headers", ""), answer.headers)
    with Server(herd, "--strict-fields", folder=folder, checks=checks) as strict:
        for path, base in BASE.items():
            answer = strict.post(path, {**base, "no_such_field": 1})
            checks.equal(f"--strict-fields, {path}: refused by name", (answer.status, answer.error().get("param")),
                         (400, "no_such_field"))
            checks.equal(f"--strict-fields, {path}: null passes", strict.post(path, {**base, "x": None}).status, 200)
        checks.equal("--strict-fields: inside of a part", strict.post(CHAT, {**nested, "stream_options": None})
                     .error().get("param"), "messages[0].content[0].cache_control")
        checks.equal("--strict-fields: hints pass",
                     strict.post(CHAT, {**BASE[CHAT], "prompt_cache_key": "a", "session_id": "b"}).status, 200)


def stops(checks, server):
    """The demo model answers greedily; a bias forces the special token out at once."""
    special = "<|reserved_special_token_0|>"
    ids = server.post(TOKENIZE, {"prompt": special, "add_special_tokens": False}).json()["tokens"]
    checks.equal("the special token is one", len(ids), 1)
    forced = {"max_tokens": 6, "temperature": 0, "logit_bias": {str(ids[0]): 100}, "stop": ["never", special]}

    def outcome(path, stream=False, **more):
        body = {**BASE[path], **forced, **more, "stream": stream}
        if not stream:
            answer = server.post(path, body).json()
            choice = answer["choices"][0]
            text = choice["text"] if path == COMPLETION else choice["message"]["content"]
            return text, choice["finish_reason"], choice["stop_reason"], answer["usage"]["completion_tokens"]
        chunks = [event.json()["choices"][0] for event in server.stream(path, body).events if not event.done]
        text = "".join(chunk["text"] if path == COMPLETION else chunk["delta"]["content"] for chunk in chunks)
        return text, chunks[-1]["finish_reason"], chunks[-1]["stop_reason"], len(chunks) - (path == CHAT)
    for path in (COMPLETION, CHAT):
        for stream in (False, True):
            for skip in (True, False):
                for include in (False, True):
                    checks.equal(f"{path} ends at a special stop string, stream {stream}, skip {skip}, include {include}",
                                 outcome(path, stream, skip_special_tokens=skip, include_stop_str_in_output=include),
                                 (special if include else "", "stop", special, 1))
            checks.equal(f"{path}, stream {stream}: min_tokens holds it back",
                         outcome(path, stream, min_tokens=3)[1:], ("stop", special, 4))
            # What the model says without a stop; a stop string that is complete within the minimum never fires.
            free = outcome(path, stream, logit_bias={}, stop=[], ignore_eos=True)[0]
            early = outcome(path, stream, logit_bias={}, stop=[free[:3]], ignore_eos=True)
            late = outcome(path, stream, logit_bias={}, stop=[free[:3]], ignore_eos=True, min_tokens=4)
            checks.check(f"{path}, stream {stream}: a stop string fires", early[:2] == ("", "stop"), early)
            checks.check(f"{path}, stream {stream}: within the minimum it does not",
                         late[3] > 4 and late[0].startswith(free[:3]), late)
    # The likeliest token, whatever the seed.
    likeliest = outcome(COMPLETION, logit_bias={}, stop=[])[0]
    drawn = {outcome(COMPLETION, logit_bias={}, stop=[], temperature=1.5, seed=seed, top_p=top_p)[0]
             for seed in range(4) for top_p in (0, 1e-31)}
    checks.equal("top_p 0 takes the likeliest tokens", drawn, {likeliest})


# Keys that OpenAI's schema requires though they may be null: the package's models let them be absent.
NULLABLE = {"chat choice": ("logprobs", "finish_reason"), "message": ("content", "refusal"),
            "chat logprobs": ("content", "refusal"), "token": ("bytes",), "completion choice": ("logprobs",)}


def missing(kind, value):
    return [f"{kind} without {key}" for key in NULLABLE[kind] if key not in value]


def shape_problems(answer, model, first_is_null=False):
    """Of a body or chunk; first_is_null: an echo's first token has no probability, a chunk of a completion no reason."""
    problems = []
    checked = {**answer, "choices": [dict(choice) for choice in answer["choices"]]}
    for choice in checked["choices"]:
        chat = model is not Completion
        problems += missing("chat choice" if chat else "completion choice", choice)
        if "message" in choice:
            problems += missing("message", choice["message"])
        logprobs = choice.get("logprobs")
        if chat and logprobs:
            problems += missing("chat logprobs", logprobs)
            for token in logprobs["content"]:
                for one in (token, *token["top_logprobs"]):
                    problems += missing("token", one)
        if not chat:
            if first_is_null and choice["finish_reason"] is None:
                choice["finish_reason"] = "stop"  # null in OpenAI's streams too, whatever the model says
            if logprobs and first_is_null and logprobs["token_logprobs"][:1] == [None]:
                choice["logprobs"] = {**logprobs, "token_logprobs": [0.0, *logprobs["token_logprobs"][1:]],
                                      "top_logprobs": [{}, *logprobs["top_logprobs"][1:]]}
    try:
        model.model_validate(checked)
    except ValueError as error:
        problems.append(str(error))
    return problems


def answers(checks, server):
    for path in (CHAT, COMPLETION):
        asks = [{}, {"n": 2}, {"stop": ["e"]}, {"logprobs": True if path == CHAT else 0}, {"return_token_ids": True},
                {"logprobs": True, "top_logprobs": 2} if path == CHAT else {"logprobs": 2, "echo": True}]
        for ask in asks:
            body = {**BASE[path], "max_tokens": 4, **ask}
            answer = server.post(path, body).json()
            problems = shape_problems(answer, ChatCompletion if path == CHAT else Completion, "echo" in ask)
            checks.check(f"{path} {ask}: OpenAI's shape", not problems, problems)
            for usage in (False, True):
                options = {"stream_options": {"include_usage": True}} if usage else {}
                end = server.stream(path, {**body, "stream": True, **options})
                chunks = [event.json() for event in end.events if not event.done]
                problems = [problem for chunk in chunks for problem in
                            shape_problems(chunk, ChatCompletionChunk if path == CHAT else Completion, True)]
                checks.check(f"{path} {ask} streamed: OpenAI's shape", not problems and chunks, problems[:5])
                if usage:
                    checks.check(f"{path} {ask} streamed: usage is null in all chunks but the last",
                                 all("usage" in chunk for chunk in chunks)
                                 and [chunk["usage"] is None for chunk in chunks] == [True] * (len(chunks) - 1) + [False]
                                 and chunks[-1]["choices"] == [], [chunk.get("usage", "absent") for chunk in chunks])
                else:
                    checks.check(f"{path} {ask} streamed: no usage unasked", not any("usage" in chunk for chunk in chunks))
    for model in server.get("/v1/models").json()["data"]:
        checks.check("a model has OpenAI's shape", Model.model_validate(model).id == model["id"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("herd", type=Path)
    herd = parser.parse_args().herd
    checks = Checks()
    with TestFolder() as folder:
        with Server(herd, "--allowed-origins", "http://ui.example.com", folder=folder, checks=checks) as server:
            fields(checks, server)
            messages(checks, server)
            unknown(checks, server, folder, herd)
            stops(checks, server)
            answers(checks, server)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
