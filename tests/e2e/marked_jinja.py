"""Jinja2 with texts that know who wrote each of their characters: the oracle for herd's marks. A Marked is a str and
prints as one; beside it stands a byte a character, 1 for what came with a message. What stands for a character has the
character's mark; quotes, brackets, digits and padding have none."""
import json
import re

import jinja2.runtime
import jinja2.sandbox


class Marked(str):
    def __new__(cls, text, marks=None):
        self = super().__new__(cls, text)
        self.marks = bytes(len(text)) if marks is None else marks
        assert len(self.marks) == len(text), (text, self.marks)
        return self

    def __str__(self):
        return self

    __hash__ = str.__hash__

    def _mapped(self, change):
        """`change` turns texts into texts, beginnings into beginnings."""
        whole = change(str.__str__(self))
        if len(set(self.marks)) < 2:
            return Marked(whole, bytes(self.marks[:1]) * len(whole))
        marks, plain = b"", "".join(str.__iter__(self))
        for i, mark in enumerate(self.marks):
            marks += bytes([mark]) * (len(change(plain[:i + 1])) - len(marks))
        return Marked(whole, marks)

    def _part(self, text, begin):
        return Marked(text, self.marks[begin:begin + len(text)])

    def __getitem__(self, key):
        if isinstance(key, slice):
            return Marked(str.__getitem__(self, key), self.marks[key])
        return Marked(str.__getitem__(self, key), bytes([self.marks[key]]))

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __add__(self, other):
        return concat([self, other]) if isinstance(other, str) else NotImplemented

    def __radd__(self, other):
        return concat([other, self]) if isinstance(other, str) else NotImplemented

    def __mul__(self, times):
        return Marked(str.__mul__(self, times), self.marks * times)

    __rmul__ = __mul__

    def __mod__(self, values):
        return percent(self, values)

    def __rmod__(self, template):
        return percent(marked(template), self)

    def lstrip(self, characters=None):
        text = str.lstrip(self, characters)
        return self._part(text, len(self) - len(text))

    def rstrip(self, characters=None):
        return self._part(str.rstrip(self, characters), 0)

    def strip(self, characters=None):
        return self.lstrip(characters).rstrip(characters)

    def _cut(self, texts, between):
        """The parts, found in order."""
        at, parts = 0, []
        for text in texts:
            at = str.find(self, text, at)
            parts.append(self._part(text, at))
            at += len(text) + between
        return parts

    def split(self, sep=None, maxsplit=-1):
        return self._cut(str.split(self, sep, maxsplit), 0 if sep is None else len(sep))

    def rsplit(self, sep=None, maxsplit=-1):
        return self._cut(str.rsplit(self, sep, maxsplit), 0 if sep is None else len(sep))

    def splitlines(self, keepends=False):
        at, parts = 0, []
        for line, whole in zip(str.splitlines(self, keepends), str.splitlines(self, True)):
            parts.append(self._part(line, at))
            at += len(whole)
        return parts

    def partition(self, sep):
        a, b, _ = str.partition(self, sep)
        return self[:len(a)], self[len(a):len(a) + len(b)], self[len(a) + len(b):]

    def rpartition(self, sep):
        a, b, _ = str.rpartition(self, sep)
        return self[:len(a)], self[len(a):len(a) + len(b)], self[len(a) + len(b):]

    def removeprefix(self, prefix):
        return self[len(prefix):] if self.startswith(prefix) else self

    def removesuffix(self, suffix):
        return self[:-len(suffix)] if suffix and self.endswith(suffix) else self

    def replace(self, old, new, count=-1):
        if old:
            return marked(new).join(self.split(old, count))
        out, done = [], 0
        for i in range(len(self) + 1):
            if count < 0 or done < count:
                out.append(new)
                done += 1
            out.append(self[i:i + 1])
        return concat(out)

    def join(self, parts):
        out = []
        for i, part in enumerate(parts):
            out += [self, part] if i else [part]
            if not isinstance(part, str):
                raise TypeError("not a str")
        return concat(out)

    def upper(self):
        return self._mapped(str.upper)

    def lower(self):
        return self._mapped(str.lower)

    def title(self):
        return self._mapped(str.title)

    def capitalize(self):
        return self._mapped(str.capitalize)

    def swapcase(self):
        return self._mapped(str.swapcase)

    def casefold(self):
        return self._mapped(str.casefold)

    def _padded(self, text):
        begin = str.rindex(text, str.__str__(self)) if text.endswith(self) else str.index(text, str.__str__(self))
        return Marked(text, bytes(begin) + self.marks + bytes(len(text) - begin - len(self)))

    def center(self, width, fill=" "):
        return self._padded(str.center(self, width, fill))

    def ljust(self, width, fill=" "):
        return self._padded(str.ljust(self, width, fill))

    def rjust(self, width, fill=" "):
        return self._padded(str.rjust(self, width, fill))


def marked(value):
    return value if isinstance(value, Marked) else Marked(value)


def concat(parts):
    parts = list(parts)
    return Marked("".join(parts), b"".join(p.marks if isinstance(p, Marked) else bytes(len(p)) for p in parts))


def foreign(value):
    """A variable as it comes with a message: every text in it is somebody else's."""
    if isinstance(value, str):
        return Marked(value, b"\1" * len(value))
    if isinstance(value, list):
        return [foreign(item) for item in value]
    if isinstance(value, dict):
        return {foreign(key): foreign(item) for key, item in value.items()}
    return value


def representation(value):
    """repr()"""
    if isinstance(value, Marked):
        quote = repr(str.__str__(value))[0]
        inner = [escaped(character, mark, quote) for character, mark in zip(str.__iter__(value), value.marks)]
        return concat([quote, *inner, quote])
    if isinstance(value, (list, tuple)):
        parts = [representation(item) for item in value]
        begin, end = ("[", "]") if isinstance(value, list) else ("(", ",)" if len(value) == 1 else ")")
        return concat([begin, Marked(", ").join(parts), end])
    if isinstance(value, dict):
        return concat(["{", Marked(", ").join(concat([representation(k), ": ", representation(v)]) for k, v in value.items()), "}"])
    return marked(repr(value))


def escaped(character, mark, quote):
    text = "\\" + character if character in (quote, "\\") else character if character in "'\"" else repr(character)[1:-1]
    return Marked(text, bytes([mark]) * len(text))


def printed(value):
    """str()"""
    if isinstance(value, str):
        return marked(value)
    if isinstance(value, (list, tuple, dict)):
        return representation(value)
    return marked(str(value))


def to_json(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    plain = json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
    item, key = separators or (", " if indent is None else ",", ": ")
    level = indent if indent is None or isinstance(indent, str) else " " * indent

    def text(value):
        return concat(['"', *(Marked(c := json.dumps(character, ensure_ascii=ensure_ascii)[1:-1], bytes([mark]) * len(c))
                              for character, mark in zip(str.__iter__(value), value.marks)), '"'])

    def line(depth):
        return "" if level is None else concat(["\n", *[level] * depth])

    def group(begin, end, parts, depth):
        inner = concat([item, line(depth + 1)]).join(parts)
        return concat([begin, line(depth + 1), inner, line(depth), end]) if parts else begin + end

    def write(value, depth):
        if isinstance(value, str):
            return text(marked(value))
        if isinstance(value, (list, tuple)):
            return group("[", "]", [write(part, depth + 1) for part in value], depth)
        if isinstance(value, dict):
            entries = sorted(value.items()) if sort_keys else value.items()
            return group("{", "}", [concat([text(marked(name)) if isinstance(name, str) else json.dumps({name: 0})[1:-4], key,
                                            write(part, depth + 1)]) for name, part in entries], depth)
        return marked(json.dumps(value))

    out = write(x, 0)
    assert out == plain, (out, plain)
    return out


CONVERSION = re.compile(r"%(?:\((\w+)\))?([-+ #0]*)(\d*)(?:\.(\d+))?([a-zA-Z%])")


def percent(template, values):
    """template % values"""
    plain = str.__str__(template)
    rest = list(values) if isinstance(values, tuple) else [values]
    out, at = [], 0
    for found in CONVERSION.finditer(plain):
        out.append(template[at:found.start()])
        at = found.end()
        name, flags, width, precision, kind = found.groups()
        if kind == "%":
            out.append("%")
            continue
        value = values[name] if name else rest.pop(0)
        if kind in "sr":
            text = (printed if kind == "s" else representation)(value)[:int(precision) if precision else None]
            out.append((text.ljust if "-" in flags else text.rjust)(int(width or 0)))
        else:
            out.append(found.group().replace(f"({name})", "") % value)
    result = concat([*out, template[at:]])
    assert result == plain % values, (result, plain % values)
    return result


def indented(s, width=4, first=False, blank=False):
    indention = width if isinstance(width, str) else " " * width
    lines = (marked(s) + "\n").splitlines()
    out = lines[:1]
    for line in lines[1:]:
        out += ["\n", indention, line] if blank or line else ["\n", line]
    return concat([indention, *out] if first else out)


class Formatter(jinja2.sandbox.SandboxedFormatter):
    def vformat(self, format_string, args, kwargs):
        return concat(self._pieces(format_string, args, kwargs))

    def _pieces(self, format_string, args, kwargs):
        number, at = 0, 0
        for literal, name, spec, conversion in self.parse("".join(str.__iter__(format_string))):
            for character in literal:
                at = str.index(format_string, character, at)
                yield format_string[at]
                at += 2 if character in "{}" else 1
            if name is None:
                continue
            at = str.index(format_string, "}", at) + 1
            if name == "":
                name, number = str(number), number + 1
            value, _ = self.get_field(name, args, kwargs)
            if conversion is not None:
                value = self.convert_field(value, conversion)
            yield self._padded(value, spec) if isinstance(value, str) else printed(self.format_field(value, spec) if spec else value)

    def _padded(self, value, spec):
        fill, align, width, precision = re.fullmatch(r"(?:(.)?([<>^]))?(\d+)?(?:\.(\d+))?s?", spec).groups()
        kept = printed(value)[:int(precision) if precision else None]
        missing = max(0, int(width or 0) - len(kept))
        before = {">": missing, "^": missing // 2}.get(align, 0)
        return concat([(fill or " ") * before, kept, (fill or " ") * (missing - before)])


class MarkedMarkup(Marked):
    """What the filter "safe" gives: what is added to it is escaped."""

    def __html__(self):
        return self

    def __add__(self, other):
        return MarkedMarkup.of([self, html(other)]) if isinstance(other, str) else NotImplemented

    def __radd__(self, other):
        return MarkedMarkup.of([html(other), self]) if isinstance(other, str) else NotImplemented

    @staticmethod
    def of(parts):
        whole = concat(parts)
        return MarkedMarkup(whole, whole.marks)


def html(value):
    if isinstance(value, MarkedMarkup):
        return value
    names = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;"}
    text = printed(value)
    return MarkedMarkup.of([Marked(names.get(c, c), bytes([m]) * len(names.get(c, c))) for c, m in zip(str.__iter__(text), text.marks)])


class MarkedEnvironment(jinja2.sandbox.ImmutableSandboxedEnvironment):
    concat = staticmethod(concat)
    intercepted_binops = frozenset(["%"])

    def call_binop(self, context, operator, left, right):
        return percent(marked(left), right) if isinstance(left, str) else super().call_binop(context, operator, left, right)

    def getattr(self, obj, attribute):
        return super().getattr(marked(obj) if isinstance(obj, str) else obj, attribute)

    def getitem(self, obj, argument):
        return super().getitem(marked(obj) if isinstance(obj, str) else obj, argument)

    def wrap_str_format(self, value):
        if getattr(value, "__name__", "") != "format" or not isinstance(getattr(value, "__self__", None), str):
            return super().wrap_str_format(value)
        return lambda *args, **kwargs: Formatter(self).vformat(value.__self__, args, kwargs)


def environment(plain, extensions):
    """Like `plain`, with marks."""
    jinja2.runtime.str_join = lambda parts: concat(map(printed, parts))
    made = MarkedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=extensions, finalize=lambda value: printed(value) if isinstance(value, (str, list, tuple, dict)) else value)
    made.globals.update(plain.globals)
    title = plain.filters["title"]
    made.filters.update({
        "tojson": to_json, "string": printed, "indent": indented, "safe": lambda s: MarkedMarkup.of([printed(s)]), "e": html, "escape": html,
        "upper": lambda s: printed(s).upper(), "lower": lambda s: printed(s).lower(), "capitalize": lambda s: printed(s).capitalize(),
        "title": lambda s: printed(s)._mapped(title), "trim": lambda s, chars=None: printed(s).strip(chars),
        "replace": lambda s, old, new, count=None: printed(s).replace(printed(old), printed(new), -1 if count is None else count),
        "format": lambda s, *args, **kwargs: percent(printed(s), kwargs or args), "center": lambda s, width=80: printed(s).center(width)})

    @jinja2.pass_environment
    def join(env, value, d="", attribute=None):
        path = [] if attribute is None else str(attribute).split(".")
        items = []
        for item in value:
            for part in path:
                item = env.getitem(item, int(part) if part.isdigit() else part)
            items.append(printed(item))
        return printed(d).join(items)

    made.filters["join"] = join
    return made


def ranges(text):
    """Bytes of a Marked that are foreign, as herd gives them."""
    runs, at = [], 0
    for character, mark in zip(str.__iter__(text), text.marks):
        size = len(character.encode())
        if mark and runs and runs[-1][1] == at:
            runs[-1][1] += size
        elif mark:
            runs.append([at, at + size])
        at += size
    return runs
