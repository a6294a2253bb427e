#!/usr/bin/env python3
"""Chat templates: herd's interpreter against Jinja2 as Hugging Face sets it up. What herd makes of them: chat_prompts_test.py.

    chat_template_test.py JINJA_DUMP [--more FOLDER] [--random N] [--seed S]

Same bytes, or both refuse; and each byte is marked as a message's or the template's as marked_jinja.py marks it. Random
templates may use what herd refuses by name, but never give another text. FOLDER: more templates (*.jinja), see
tools/prepare.sh.
"""
import argparse
import collections
import copy
import datetime
import functools
import json
import subprocess
import sys
import warnings
from pathlib import Path

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

import marked_jinja
from chat_template_conversations import TOKENS, conversations, turns
from chat_templates import TEMPLATES, UNMARKED, UNSUPPORTED
from random_templates import Writer

NOW = datetime.datetime(2025, 3, 7, 15, 4, 5)
NOW_PARTS = [2025, 3, 7, 15, 4, 5, 5, 66]
failures = []


def check(name, holds, detail=""):
    if not holds:
        failures.append(name)
        print(f"FAILED: {name}: {detail}")


class Generation(jinja2.ext.Extension):
    """{% generation %} as transformers has it: its body, in a scope of its own."""
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def hugging_face():
    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = NOW.strftime
    return environment


def render_all(dump, pairs):
    """herd's answers, in order."""
    lines = "".join(json.dumps({"template": t, "variables": v, "own": list(TOKENS), "now": NOW_PARTS}) + "\n" for t, v in pairs)
    out = subprocess.run([dump], input=lines, capture_output=True, text=True, check=True, timeout=300).stdout
    return [json.loads(line) for line in out.splitlines()]


@functools.lru_cache(maxsize=None)
def compiled(environment, template):
    return environment.from_string(template)


def expected(environment, template, variables):
    try:
        return compiled(environment, template).render(**variables)
    except Exception:  # whatever Python raises in a template is a refusal
        return None


def check_marks(environment, name, template, variables, answer):
    """Of an answer with the right text."""
    foreign = {key: value if key in TOKENS else marked_jinja.foreign(value) for key, value in variables.items()}
    try:
        want = compiled(environment, template).render(**foreign)
    except Exception as error:  # the oracle has to render what Jinja2 renders
        return check(f"marks of {name}", False, f"the oracle fails: {error!r}")
    runs = marked_jinja.ranges(want)
    check(f"marks of {name}", want == answer["text"] and runs == answer["foreign"],
          f"{answer['foreign']}, not {runs} of {want!r}, herd's text {answer['text']!r}")


def compare(dump, templates):
    """Counts by outcome; another text, or a text where the other refuses, is a failure."""
    environment = hugging_face()
    marking = marked_jinja.environment(environment, [Generation, jinja2.ext.loopcontrols])
    rows = [(name, template, kind, {**TOKENS, **variables}) for name, template in templates.items()
            for kind, variables in conversations().items()]
    answers = render_all(dump, [(template, variables) for _, template, _, variables in rows])
    counts, reasons = collections.Counter(), collections.Counter()
    for (name, template, kind, variables), answer in zip(rows, answers, strict=True):
        want, got = expected(environment, template, variables), answer.get("text")
        outcome = ("same" if got == want else "different") if got is not None and want is not None else \
            "both refuse" if got is None and want is None else "herd refuses" if got is None else "herd renders what Jinja2 refuses"
        counts[outcome] += 1
        if outcome == "herd refuses":
            reasons[f"{name}: {answer['error']}"] += 1
        check(f"{name}, {kind}", outcome in ("same", "both refuse"), f"{outcome}: {got!r}, not {want!r}; {answer.get('error')}")
        if outcome == "same" and name not in UNMARKED:
            check_marks(marking, f"{name}, {kind}", template, variables, answer)
    for reason, count in sorted(reasons.items()):
        print(f"  refused by herd alone, {count} of {len(conversations())}: {reason[:160]}")
    return counts


def compare_random(dump, count, seed):
    """Most random templates are errors in both; what renders must render alike, and what Jinja2 refuses must not."""
    environment, writer = hugging_face(), Writer(seed)
    variables = {**TOKENS, "messages": turns(("user", "Hi a "), ("assistant", "b")), "tools": None, "add_generation_prompt": True}
    templates = [writer.template() for _ in range(count)]
    counts = collections.Counter()
    for template, answer in zip(templates, render_all(dump, [(t, variables) for t in templates]), strict=True):
        # A copy: `messages | indent` fails in Jinja2, but not before it has changed the list.
        want, got = expected(environment, template, copy.deepcopy(variables)), answer.get("text")
        counts["same" if got == want is not None else "both refuse" if got is None and want is None else "herd refuses" if got is None else "wrong"] += 1
        check(f"random template {template!r}", got in (want, None), f"{got!r}, not {want!r}")
    print(f"{count} random templates, seed {seed}: {dict(counts)}")
    check("random templates render", counts["same"] > count // 20, counts)


def main():
    warnings.simplefilter("ignore", SyntaxWarning)  # Python's, about what Jinja2 made of nonsense
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("jinja_dump")
    parser.add_argument("--more", type=Path)
    parser.add_argument("--random", type=int, default=1500, help="random templates")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    counts = compare(arguments.jinja_dump, TEMPLATES)
    print(f"{len(TEMPLATES)} templates of ours: {dict(counts)}")
    check("our templates render", counts["same"] > 0.9 * counts.total(), counts)
    refused = render_all(arguments.jinja_dump, [(t, {"messages": turns(("user", "Hi"))}) for t in UNSUPPORTED.values()])
    for name, answer in zip(UNSUPPORTED, refused, strict=True):
        check(f"unsupported: {name}", "line 1" in answer.get("error", ""), answer)
    compare_random(arguments.jinja_dump, arguments.random, arguments.seed)
    if arguments.more:
        more = {path.name: path.read_text(encoding="utf-8") for path in sorted(arguments.more.glob("*.jinja"))}
        counts = compare(arguments.jinja_dump, more)
        share = counts["same"] / max(1, counts.total())
        print(f"{len(more)} templates of {arguments.more.name}: {dict(counts)}, {share:.0%} rendered")
        check("more templates render", len(more) > 50 and share > 0.6, f"{share:.3f}")
    print(f"{len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
