"""Random small templates for chat_template_test.py: statements and expressions put together by a grammar, most of them
nonsense. What matters is that herd and Jinja2 never print different texts."""
import random

ATOMS = ["'%s'", "'%s-%5s'", "'{}|{0}'", "'{:>4}'", "('<' | safe)", "g(1, *[2], **{'k': x})", "1e2", "1", "0", "-3", "2.5", "'a'", "'Hi b'", "''", "none", "true", "false", "messages", "messages[0]", "messages[0].role", "m", "m.role",
         "m.content", "missing", "x", "[1, 2, 'c']", "[]", "{'a': 1, 'b': [2]}", "(1, 'z')", "ns.a", "loop.index", "loop.last", "range(3)",
         "'a,b,,c'", "' s '", "'ä日'", "x[0]", "x[-1:]", "'abc'[1:]", "'abc'[::-1]", "messages | length", "f(1)", "f(x, q=3)"]
FILTERS = ["trim", "length", "upper", "lower", "title", "capitalize", "first", "last", "list", "join", "join(',')", "default('d')",
           "default('d', true)", "string", "int", "float", "abs", "reverse", "sort", "unique", "tojson", "tojson(indent=2)", "items", "dictsort",
           "sum", "min", "max", "replace('a', 'b')", "indent", "indent(2, true)", "map('string')", "map(attribute='role')", "select",
           "reject('none')", "e", "safe", "batch(2) | list", "round", "wordcount", "center(9)", "format('x')", "unique(attribute='role') | list", "max(attribute='a')", "dictsort(by='value')",
           "forceescape", "attr('role')", "list | batch(2, 'f') | list", "selectattr('role')", "selectattr('role', 'equalto', 'user')", "map('upper')", "reverse | list", "map('length') | list"]
TESTS = ["defined", "none", "string", "number", "mapping", "sequence", "iterable", "boolean", "integer", "float", "true", "false", "odd", "even",
         "undefined", "divisibleby(2)", "eq(1)", "in([1, 'a'])", "equalto('user')", "lt(2)", "ne 1", "ge(1)", "callable", "upper", "lower", "escaped", "sameas(true)", "filter"]
MEMBERS = ["strip()", "upper()", "split()", "split(',')", "split('a', 1)", "startswith('a')", "endswith('b')", "get('a')", "get('z', 1)", "items()",
           "keys()", "values()", "replace('a', '')", "lstrip()", "rstrip('b')", "title()", "join(['a', 'b'])", "capitalize()", "count('a')",
           "find('b')", "rsplit(',', 1)", "rsplit(none, 1)", "partition('a')", "rpartition(',')", "removeprefix('a')", "removesuffix('b')", "splitlines()", "rfind('b')",
           "index('a')", "center(5, '*')", "ljust(4)", "rjust(4, 'a')", "zfill(5)", "format(1, x)", "copy()", "role", "content", "a", "items", "index0"]
ARITHMETIC = ["+", "-", "*", "/", "//", "%", "~", "**"]
RELATIONS = ["==", "!=", "<", ">", "<=", ">=", "in", "not in", "and", "or"]
HEAD = "{% set ns = namespace(a=1) %}{% macro f(p, q=2) %}<{{ p }}{{ q }}>{% endmacro %}{% macro g(p) %}({{ p }}{{ varargs }}{{ kwargs }}{{ caller('c') if caller }}){% endmacro %}{% set x = 'X' %}"


class Writer:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def template(self):
        return HEAD + self.body(0, False)

    def body(self, depth, in_loop):
        count = self.random.randrange(1, 4)
        return self.space() + "".join(self.statement(depth, in_loop) + self.space() for _ in range(count))

    def space(self):
        return self.random.choice(["", " ", "\n", "  \n  ", "x", "\n "])

    def tag(self, words):
        sign = self.random.choice
        return f"{{%{sign(['', '', '-', '+'])} {words} {sign(['', '', '-', '+'])}%}}"

    def statement(self, depth, in_loop):
        kind = "output" if depth > 2 else self.random.choice(["output"] * 6 + ["call", "macro", "set", "set", "attribute", "if", "if", "for", "for", "block", "with"] +
                                                              (["break"] if in_loop else []))
        inner = lambda loop: self.body(depth + 1, loop)  # noqa: E731
        if kind == "set":
            return self.tag(f"set x = {self.expression()}")
        if kind == "attribute":
            return self.tag(f"set ns.a = {self.expression()}")
        if kind == "if":
            other = self.random.choice(["", self.tag(f"elif {self.expression()}") + inner(in_loop), self.tag("else") + inner(in_loop)])
            return self.tag(f"if {self.expression()}") + inner(in_loop) + other + self.tag("endif")
        if kind == "for":
            names = self.random.choice(["m", "x", "m, x"])
            kept = self.random.choice(["", f" if {self.expression()}"])
            other = self.random.choice(["", self.tag("else") + inner(in_loop)])
            return self.tag(f"for {names} in {self.expression()}{kept}") + inner(True) + other + self.tag("endfor")
        if kind == "block":
            begin, end = self.random.choice([("set x", "endset"), ("filter trim", "endfilter"), ("filter upper", "endfilter")])
            return self.tag(begin) + inner(False) + self.tag(end)
        if kind == "call":
            return self.tag(self.random.choice(["call(x) g(1)", "call f(x)", "call(q, x=1) g(x, 2)"])) + inner(False) + self.tag("endcall")
        if kind == "macro":
            return self.tag("macro h(m, x=x)") + inner(False) + self.tag("endmacro") + "{{ h(" + self.expression() + ") }}"
        if kind == "with":
            return self.tag(f"with x = {self.expression()}, y = x") + inner(in_loop) + self.tag("endwith")
        if kind == "break":
            return self.tag(self.random.choice(["break", "continue"]))
        return "{{" + self.random.choice(["", "-"]) + f" {self.expression()} " + self.random.choice(["", "-"]) + "}}"

    def expression(self, depth=0):
        pick, inner = self.random.choice, lambda: self.expression(depth + 1)
        kind = "atom" if depth > 1 else pick(["atom", "atom", "filter", "filter", "member", "test", "arithmetic", "relation", "not", "if", "list", "dict", "item"])
        if kind == "filter":
            return f"{inner()} | {pick(FILTERS)}"
        if kind == "member":
            return f"({inner()}).{pick(MEMBERS)}"
        if kind == "test":
            return f"{inner()} is {pick(['', 'not '])}{pick(TESTS)}"
        if kind == "arithmetic":
            return f"({inner()} {pick(ARITHMETIC)} {inner()})"
        if kind == "relation":
            return f"({inner()} {pick(RELATIONS)} {inner()})"
        if kind == "not":
            return f"(not {inner()})"
        if kind == "if":
            return f"({inner()} if {inner()}{pick(['', ' else ' + inner()])})"
        if kind == "list":
            return f"[{inner()}, {inner()}]"
        if kind == "dict":
            return "{'k': " + inner() + ", 'a': " + inner() + "}"
        if kind == "item":
            return f"({inner()})[{pick(['0', '-1', '1:', ':2', '9'])}]"
        return pick(ATOMS)
