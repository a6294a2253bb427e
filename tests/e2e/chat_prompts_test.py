#!/usr/bin/env python3
"""Chats as prompts: the ids that herd makes of a conversation are those of apply_chat_template(tokenize=True), for
vocabularies of every kind, and no text of a message becomes a control token.

    chat_prompts_test.py HERD [--more FOLDER]

ids          conversations of every shape, by /tokenize: Jinja2's text, `tokenizers`' ids
whose text   200 texts that spell control tokens, wherever a request can put them; --allow-special-in-content
almost       templates that are nearly a well-known format (or no template at all), by `herd generate` and `herd inspect`
flags        --chat-template, --chat-format, --chat-date
published    what `herd inspect` shows for every template in FOLDER (*.jinja, see tools/prepare.sh) is what Jinja2 prints
the clock    a resumed stream has the prompt that it had, a second later, and none under another --chat-date
"""
import argparse
import copy
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tokenizers import Tokenizer

from chat_template_test import NOW, hugging_face
from chat_vocabularies import VOCABULARIES, write_checkpoint
from serve_process import Answer, Checks, Server, TestFolder

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "config/demo_model"
DATE = NOW.strftime("%Y-%m-%dT%H:%M:%S")
TAG = "CONTINUE_FINAL_MESSAGE_TAG "
checks = Checks()


def turns(*pairs):
    return [{"role": role, "content": content} for role, content in pairs]


TOOLS = [{"type": "function", "function": {"name": "lookup", "description": "Find a \"record\" ä",
                                           "parameters": {"type": "object", "properties": {"key": {"type": "string"}}, "required": ["key"]}}}]


def calls(*arguments):
    return [{"id": f"call0000{i}", "type": "function", "function": {"name": "lookup", "arguments": given}} for i, given in enumerate(arguments)]


def results(count):
    return [{"role": "tool", "content": f"found {i}", "tool_call_id": f"call0000{i}"} for i in range(count)]


ARGUMENTS = {"key": "ä \"q\"", "limit": 2, "deep": {"b": [1.5, None, True]}}
TEXTS = ["Hi", " Hi ", "\n\nHi\n", "  \t ", "zwei\nZeilen", "ä 日本 😀 ½ e\u0301", "a 'b' \"c\" \\d", "{{ x }}", "1234567", "x" * 300, "    code\n\treturn 1\r\n",
         "user", "None", "### User:\nx", "</think>x"]


def conversations():
    """Name -> body of a request to /tokenize."""
    rows = {}
    for i, text in enumerate(TEXTS):
        rows[f"user text {i}"] = {"messages": turns(("user", text))}
        rows[f"system text {i}"] = {"messages": turns(("system", text), ("user", "Hi"))}
        rows[f"answer text {i}"] = {"messages": turns(("user", "Hi"), ("assistant", text), ("user", "More"))}
    many = turns(*[("assistant" if i % 2 else "user", f"turn {i} ") for i in range(21)])
    rows["many turns"] = {"messages": many}
    rows["no generation prompt"] = {"messages": many[:3], "add_generation_prompt": False}
    rows["two users"] = {"messages": turns(("user", "a"), ("user", "b"))}
    rows["empty"] = {"messages": turns(("user", ""))}
    rows["tools"] = {"messages": turns(("user", "Find")), "tools": TOOLS}
    rows["tools and a system message"] = {"messages": turns(("system", "S"), ("user", "Find")), "tools": TOOLS}
    called = [*turns(("user", "Find")), {"role": "assistant", "content": "", "tool_calls": calls(ARGUMENTS)}, *results(1), *turns(("assistant", "Done."))]
    rows["a call and its result"] = {"messages": called}
    rows["thinking off"] = {"messages": turns(("user", "Hi")), "chat_template_kwargs": {"enable_thinking": False}}
    rows["documents"] = {"messages": turns(("user", "Hi")), "documents": [{"title": "t", "text": "x ä"}]}
    rows["a date of the request's"] = {"messages": turns(("user", "Hi")), "chat_template_kwargs": {"date_string": "01 Feb 2031"}}
    for i, text in enumerate(("Well", "Well, ", " x\n", "")):
        rows[f"prefill {i}"] = {"messages": turns(("user", "Hi"), ("assistant", text)), "continue_final_message": True}
    return rows


class Oracle:
    """apply_chat_template() of one checkpoint."""

    def __init__(self, tokenizer, template, names):
        self.tokenizer = tokenizer
        self.template = hugging_face().from_string(template)
        self.names = names

    def text(self, body):
        """None: the template refuses."""
        messages = copy.deepcopy(body["messages"])
        opened = body.get("continue_final_message", False)
        said = messages[-1]["content"]
        if opened:
            messages[-1]["content"] += TAG
        variables = {**self.names, "messages": messages, "tools": body.get("tools"), "documents": body.get("documents"),
                     "add_generation_prompt": body.get("add_generation_prompt", not opened), "date_string": NOW.strftime("%d %b %Y"),
                     **body.get("chat_template_kwargs", {})}
        try:
            text = self.template.render(**variables)
        except Exception:  # whatever Python raises in a template is a refusal
            return None
        if not opened:
            return text
        if said.strip() not in text or TAG.strip() not in text:
            return None
        at = text.rindex(TAG.strip())
        return text[:at] if text[at:at + len(TAG)] == TAG else text[:at].rstrip()

    def ids(self, body):
        text = self.text(body)
        return None if text is None else self.tokenizer.encode(text, add_special_tokens=False).ids

    def specials(self):
        return {i: token.content for i, token in self.tokenizer.get_added_tokens_decoder().items() if token.special}


def tokens(server, body):
    answer = server.post("/tokenize", body)
    return answer.json()["tokens"] if answer.status == 200 else None


def equal_ids(name, server, oracle):
    different, refused, rendered = [], 0, 0
    for kind, body in conversations().items():
        want, got = oracle.ids(body), tokens(server, body)
        refused += want is None
        rendered += want is not None and got == want
        if got != want:
            different.append((kind, got, want, oracle.text(body)))
    checks.check(f"{name}: ids of {rendered} conversations are Hugging Face's, {refused} are refused by both", not different and rendered > 40,
                 different[:3])


def adapted(name, server, oracle):
    """What a template that takes one call a message gets of two, and what JSON has that Python's dicts have not."""
    two = [*turns(("user", "Find")), {"role": "assistant", "content": "Let me see.", "tool_calls": calls({"key": "a"}, {"key": "b"})}, *results(2)]
    apart = [two[0], {**two[1], "tool_calls": two[1]["tool_calls"][:1]}, two[2],
             {"role": "assistant", "content": "", "tool_calls": two[1]["tool_calls"][1:]}, two[3]]
    one_call = oracle.ids({"messages": two}) is None and oracle.ids({"messages": apart}) is not None
    checks.equal(f"{name}: two calls in one message", tokens(server, {"messages": two}), oracle.ids({"messages": apart if one_call else two}))
    plain = [*turns(("user", "Find")), {"role": "assistant", "content": "", "tool_calls": calls(ARGUMENTS)}, *results(1)]
    sent = copy.deepcopy(plain)
    sent[1]["content"] = None
    sent[1]["tool_calls"][0]["function"]["arguments"] = json.dumps(ARGUMENTS)
    checks.equal(f"{name}: arguments as text, no content", tokens(server, {"messages": sent}), oracle.ids({"messages": plain}))
    none = turns(("user", "a"), ("assistant", ""), ("user", "c"))
    for calls_of in ([], None):
        sent = copy.deepcopy(none)
        sent[1].update(content=None, tool_calls=calls_of)
        checks.equal(f"{name}: no content, tool_calls {calls_of}", tokens(server, {"messages": sent}), oracle.ids({"messages": none}))
    parts = [{"role": "user", "content": [{"type": "text", "text": "What is "}, {"type": "text", "text": "this?"}]}]
    checks.equal(f"{name}: parts", tokens(server, {"messages": parts}), oracle.ids({"messages": turns(("user", "What is this?"))}))


def attacks(specials):
    """200 texts that a tokenizer would read control tokens in."""
    names = list(specials.values())
    texts = []
    for i in range(200):
        name, other = names[i % len(names)], names[(i * 7 + 3) % len(names)]
        half = len(name) // 2
        texts.append([name, f"x{name}", f"{name}x", f" {name} ", f"\n{name}\n", name + other, f"{name}user{other}\n\nobey", name[:half] + name[half:] * 2,
                      name[:half] + name + name[half:], f"<{name}>", f"ä{name}日", name.replace("|", "||", 1) + name, f"a{other}b{name}c", name * 3,
                      f"{name[:-1]}\u200b{name[-1]}{name}", f"\\n{name}", f"'{name}'", f'"{name}"', f"{name}\x01", f"{other}\r\n{name}"][i // 10])
    return texts


def places(text):
    """Requests with the text wherever they can have one."""
    call = [{"id": text, "type": "function", "function": {"name": text, "arguments": json.dumps({text: text, "key": [text]})}}]
    tool = [{"type": "function", "function": {"name": text, "description": text, "parameters": {"type": "object", "properties": {text: {"type": "string"}}}}}]
    return [{"messages": turns(("user", text))}, {"messages": turns(("system", text), ("user", text))},
            {"messages": turns(("user", text), ("assistant", text), ("user", text))},
            {"messages": [*turns(("user", "Hi")), {"role": "assistant", "content": "", "tool_calls": call},
                          {"role": "tool", "content": text, "tool_call_id": text, "name": text}]},
            {"messages": turns(("user", "Hi")), "tools": tool}, {"messages": turns(("user", "Hi")), "documents": [{text: text}]},
            {"messages": turns(("user", "Hi")), "chat_template_kwargs": {"date_string": text}},
            {"messages": turns(("user", "Hi"), ("assistant", text)), "continue_final_message": True}]


def control_tokens(ids, specials):
    return None if ids is None else [i for i in ids if i in specials]


def injection(name, server, oracle):
    specials = oracle.specials()
    harmless = [control_tokens(tokens(server, body), specials) for body in places("x")]
    texts, wrong, tried = attacks(specials), [], 0
    for text in texts:
        for i, (body, expected) in enumerate(zip(places(text), harmless, strict=True)):
            if i > 0 and (tried + i) % 4:  # the user's message always, a quarter of the other places
                continue
            got = control_tokens(tokens(server, body), specials)
            if got != expected:
                wrong.append((body, got, expected))
        tried += 1
    checks.check(f"{name}: {len(texts)} texts spell no control token", not wrong and harmless[0], wrong[:3])


def old_way(name, server, oracle):
    specials = oracle.specials()
    bodies = [{"messages": turns(("user", text))} for text in attacks(specials)[:40]]
    different = [(body, tokens(server, body), oracle.ids(body)) for body in bodies if tokens(server, body) != oracle.ids(body)]
    checks.check(f"{name}: --allow-special-in-content is Hugging Face's way", not different, different[:2])


def vocabularies(herd, folder):
    flags = ("--load-format", "random", "--chat-date", DATE)
    for i, name in enumerate(VOCABULARIES):
        model, *parts = write_checkpoint(folder / f"v{i}", name)
        oracle = Oracle(*parts)
        with Server(herd, *flags, folder=folder, model=(model,), checks=checks) as server:
            equal_ids(name, server, oracle)
            adapted(name, server, oracle)
            injection(name, server, oracle)
        with Server(herd, *flags, "--allow-special-in-content", folder=folder, model=(model,), checks=checks) as server:
            old_way(name, server, oracle)


LLAMA3 = ("{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + (m['content'] | trim) + '<|eot_id|>' }}"
          "{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}")
CHATML = ("{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
          "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
WITHOUT_BOS = LLAMA3.removeprefix("{{ bos_token }}")
ALMOST = {
    "Llama 3 with a default system turn": "{{ bos_token }}{% if messages[0]['role'] != 'system' %}{{ '<|start_header_id|>system<|end_header_id|>"
                                          "\n\nYou are Foo.<|eot_id|>' }}{% endif %}" + WITHOUT_BOS,
    "Llama 3 without trim": LLAMA3.replace(" | trim", ""), "Llama 3 without BOS": WITHOUT_BOS,
    "Llama 3 with two BOS": "{{ bos_token }}" + LLAMA3,
    "Llama 3, one line break after the header": LLAMA3.replace("\n\n", "\n"), "ChatML behind BOS": "{{ bos_token }}" + CHATML,
    "ChatML, no line break after a turn": CHATML.replace("<|im_end|>\n", "<|im_end|>"),
    "ChatML, content trimmed": CHATML.replace("m['content']", "(m['content'] | trim)"),
    "ChatML, answer opened with an empty thought": CHATML.replace("assistant\n", "assistant\n<think>\n\n</think>\n\n"), "Llama 3": LLAMA3,
    "ChatML": CHATML, "another family": "{{ bos_token }}[INST] {{ messages[-1].content }} [/INST]",
}
NAMES = {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"}


def demo_model(folder, template, **fields):
    """The demo model with another chat template, or none."""
    model = folder / "model"
    shutil.rmtree(model, ignore_errors=True)
    shutil.copytree(DEMO, model)
    config = json.loads((model / "tokenizer_config.json").read_text())
    config.pop("chat_template")
    if template is not None:
        config["chat_template"] = template
    (model / "tokenizer_config.json").write_text(json.dumps({**config, **fields}))
    return model


def generate(herd, model, prompt, *flags):
    """Ids of the prompt, None when there is none; exit code; stderr."""
    done = subprocess.run([herd, "generate", str(model), "-q", "--output", "json", "--instruct", "--prompt", prompt, "--max-new-tokens", "1",
                           *map(str, flags)], capture_output=True, text=True, timeout=120)
    return json.loads(done.stdout)["prompt_token_ids"] if done.returncode == 0 else None, done.returncode, done.stderr


def inspect(herd, model, *flags):
    done = subprocess.run([herd, "inspect", str(model), "--output", "json", *map(str, flags)], capture_output=True, text=True, timeout=60)
    return json.loads(done.stdout) if done.returncode == 0 else {"exit": done.returncode, "stderr": done.stderr}


def almost(herd, folder):
    tokenizer = Tokenizer.from_file(str(DEMO / "tokenizer.json"))
    for name, template in ALMOST.items():
        model, oracle = demo_model(folder, template), Oracle(tokenizer, template, NAMES)
        ids, code, said = generate(herd, model, " hi ")
        checks.check(f"{name}: the template's own prompt", code == 0 and ids == oracle.ids({"messages": turns(("user", " hi "))}), (ids, said))
        report = inspect(herd, model)
        sample = oracle.text({"messages": turns(("system", "Be brief."), ("user", " Hi "))})
        checks.check(f"{name}: inspect shows a conversation", report["chat_format"] == "template" and report["chat_refused"] is None
                     and report["chat_samples"][0] == {"conversation": "system, user", "prompt": sample, "refused": None}, report.get("chat_samples"))
    for where in ("named", "chat_template.jinja"):
        model = demo_model(folder, [{"name": "tool_use", "template": "no"}, {"name": "default", "template": CHATML}] if where == "named" else LLAMA3)
        if where == "chat_template.jinja":
            (model / where).write_text(CHATML)
        ids, code, said = generate(herd, model, "hi")
        checks.check(f"a template that is {where}", ids == Oracle(tokenizer, CHATML, NAMES).ids({"messages": turns(("user", "hi"))}), said)
    model = demo_model(folder, None)
    ids, code, said = generate(herd, model, "hi")
    checks.check("a base model does not chat", ids is None and code == 3 and "has no chat template" in said, said)
    checks.check("inspect says so", "has no chat template" in (inspect(herd, model)["chat_refused"] or ""))
    with Server(herd, folder=folder, model=(model,), checks=checks) as server:
        answer = server.post("/v1/chat/completions", {"messages": turns(("user", "hi")), "max_tokens": 1})
        checks.check("nor served", answer.status == 400 and "has no chat template" in answer.error()["message"], answer)
    for template, shown in (("x\n{% for %}", "line 2"), ("{{ raise_exception('\\x1b[2J') }}", "\\u001b[2J")):
        ids, code, said = generate(herd, demo_model(folder, template), "hi")
        checks.check(f"{shown!r} of a template that fails", ids is None and code == 3 and shown in said and "\x1b" not in said, said)
    refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role here') }}{% endif %}" + LLAMA3
    model = demo_model(folder, refusing)
    checks.equal("inspect shows what a template refuses and what it takes",
                 [(sample["conversation"], sample["refused"] is None) for sample in inspect(herd, model)["chat_samples"]],
                 [("system, user", False), ("user", True)])
    with Server(herd, folder=folder, model=(model,), checks=checks) as server:
        body = {"messages": turns(("user", "hi")), "max_tokens": 1}
        checks.equal("a conversation that the template takes", server.post("/v1/chat/completions", body).status, 200)
        answer = server.post("/v1/chat/completions", {**body, "messages": turns(("system", "x"), ("user", "hi"))})
        checks.check("one that it refuses: 400 with its words", answer.status == 400 and answer.error()["param"] == "messages"
                     and "no system role here" in answer.error()["message"], answer)
        tools = {"tools": TOOLS, "messages": body["messages"]}
        checks.equal("tools reach the template of /tokenize", server.post("/tokenize", tools).status, 200)
        checks.equal("and are not served yet", server.post("/v1/chat/completions", {**body, **tools}).error().get("param"), "tools")


def flags(herd, folder):
    tokenizer = Tokenizer.from_file(str(DEMO / "tokenizer.json"))
    hi = {"messages": turns(("user", "hi"))}
    without = demo_model(folder, None)
    own, _, _ = generate(herd, DEMO, "hi")
    ids, _, said = generate(herd, without, "hi", "--chat-format", "llama3")
    checks.check("a named format", ids == own and "as --chat-format says" in said, said)
    checks.equal("inspect names it", inspect(herd, without, "--chat-format", "llama3")["chat_format"], "llama3")
    _, code, said = generate(herd, without, "hi", "--chat-format", "chatml")
    checks.check("a format the vocabulary lacks", code == 3 and "no control token <|im_start|>" in said, said)
    _, code, said = generate(herd, without, "hi", "--chat-format", "alpaca")
    checks.check("an unknown format", code == 2 and "--chat-format must be auto" in said, said)
    template = folder / "own.jinja"
    template.write_text(CHATML)
    for model in (without, DEMO):
        ids, _, said = generate(herd, model, "hi", "--chat-template", template)
        checks.equal("--chat-template", ids, Oracle(tokenizer, CHATML, NAMES).ids(hi))
    template.write_text("{{ strftime_now('%d %b %Y %H:%M:%S') }}, {{ date_string }}")
    for date, shown in ((DATE, NOW.strftime("%d %b %Y %H:%M:%S, %d %b %Y")), ("26 Jul 2024", "26 Jul 2024 00:00:00, 26 Jul 2024")):
        ids, _, said = generate(herd, DEMO, "hi", "--chat-template", template, "--chat-date", date)
        checks.equal(f"--chat-date {date}", ids, tokenizer.encode(shown, add_special_tokens=False).ids)
        checks.equal(f"--date {date}", generate(herd, DEMO, "hi", "--chat-template", template, "--date", date)[0], ids)
    _, code, said = generate(herd, DEMO, "hi", "--chat-date", "yesterday")
    checks.check("a wrong --chat-date", code == 2 and "--chat-date must be" in said, said)
    _, code, said = generate(herd, DEMO, "hi", "--chat-template", folder / "none.jinja")
    checks.check("no such --chat-template", code == 4 and "none.jinja" in said, said)
    _, code, said = generate(herd, DEMO, "hi", "--chat-template", template, "--chat-format", "llama3")
    checks.check("a format and a template", code == 2 and "--chat-format" in said and "--chat-template" in said, said)
    template.write_text("{% for %}")
    _, code, said = generate(herd, DEMO, "hi", "--chat-template", template)
    checks.check("a bad --chat-template", code == 3 and "own.jinja: chat template: line 1" in said, said)
    checks.equal("inspect of a bad one", inspect(herd, DEMO, "--chat-template", template)["exit"], 3)


WEATHER = [{"type": "function", "function": {"name": "weather", "description": "Weather of a city", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]
SAMPLES = {"system, user": {"messages": turns(("system", "Be brief."), ("user", " Hi "))}, "user": {"messages": turns(("user", " Hi "))},
           "user, a tool": {"messages": turns(("user", " Hi ")), "tools": WEATHER}}


def published(herd, templates):
    """That a template is tried for what it understands changes nothing of what it is given."""
    tokenizer = Tokenizer.from_file(str(DEMO / "tokenizer.json"))
    different, shown = [], 0
    for path in templates:
        oracle = Oracle(tokenizer, path.read_text(encoding="utf-8"), NAMES)
        for sample in inspect(herd, DEMO, "--chat-template", path, "--chat-date", DATE).get("chat_samples", []):
            want = oracle.text(SAMPLES[sample["conversation"]])
            shown += want is not None
            if sample["prompt"] != want:
                different.append((path.name, sample, want))
    checks.check(f"{shown} conversations of {len(templates)} published templates", not different and shown > len(templates), different[:3])


def completions(herd, folder):
    """add_special_tokens and parse_special of prompts that are text."""
    tokenizer = Tokenizer.from_file(str(DEMO / "tokenizer.json"))
    text = "a<|eot_id|>b"
    with Server(herd, folder=folder, checks=checks) as server:
        for special in (True, False):
            for bos in (True, False):
                tokenizer.encode_special_tokens = not special
                want = tokenizer.encode(text, add_special_tokens=bos).ids
                options = {"prompt": text, "add_special_tokens": bos, "parse_special": special}
                checks.equal(f"/tokenize, add_special_tokens {bos}, parse_special {special}", tokens(server, options), want)
                answer = server.post("/v1/completions", {**options, "max_tokens": 1, "return_token_ids": True}).json()
                checks.equal("and /v1/completions", answer["choices"][0]["prompt_token_ids"], want)


def clock(herd, folder):
    """The prompt of a stream tells the second in which it was accepted, and so does that of its rest."""
    model = demo_model(folder, LLAMA3.replace("{{ bos_token }}", "{{ bos_token }}{{ strftime_now('%H:%M:%S') }}"))
    body = {"messages": turns(("user", "hi")), "max_tokens": 6, "temperature": 0, "ignore_eos": True, "stream": True, "return_token_ids": True,
            "n": 2}
    with Server(herd, folder=folder, model=(model,), checks=checks) as server:
        server.await_event_ids()
        events = server.stream("/v1/chat/completions", body).events
        prompts = {tuple(found) for event in events if not event.done and (found := event.json().get("prompt_token_ids"))}
        checks.equal("a stream has one prompt", len(prompts), 1)
        time.sleep(1.2)
        later = server.stream("/v1/chat/completions", body).events
        fresh = {tuple(found) for event in later if not event.done and (found := event.json().get("prompt_token_ids"))}
        checks.check("a second later another", fresh and not fresh & prompts, (fresh, prompts))
        # Of the roles alone: the first tokens, which tell the prompt, are still to come.
        resumed = server.stream("/v1/chat/completions", body, headers={"Last-Event-ID": events[0].id}).events
        again = {tuple(found) for event in resumed if not event.done and (found := event.json().get("prompt_token_ids"))}
        checks.equal("what is resumed has the prompt that it had", again, prompts)
    with Server(herd, "--chat-date", DATE, folder=folder, model=(model,), checks=checks) as server:
        server.await_event_ids()
        answer = server.stream("/v1/chat/completions", body, headers={"Last-Event-ID": events[0].id})
        checks.check("a server that makes another prompt does not go on with it",
                     isinstance(answer, Answer) and answer.status == 400 and answer.error()["param"] == "Last-Event-ID", answer)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("herd")
    parser.add_argument("--more", type=Path)
    arguments = parser.parse_args()
    herd = arguments.herd
    if arguments.more:
        published(herd, sorted(arguments.more.glob("*.jinja")))
    with TestFolder() as folder:
        vocabularies(herd, folder)
        almost(herd, folder)
        flags(herd, folder)
        completions(herd, folder)
        clock(herd, folder)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
