"""How large classes and folders are: a class in header and sources together, a top-level folder as a part of the product.

A class is the lines of its body and of the members that are defined outside of it, in whatever files of its folder.
"""
import re
from collections import Counter
from pathlib import Path

CLASS_LINES_MAX = 400
FOLDER_SHARE_MAX = 0.27

# Comments, strings, characters and preprocessor lines: braces in them do not count.
NO_CODE = re.compile(r'R"(\w*)\(.*?\)\1"|//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|(?<!\w)\'(?:\\.|[^\'\\\n])+\''
                     r"|^[ \t]*#(?:[^\n\\]|\\.|\\\n)*", re.DOTALL | re.MULTILINE)
NAMESPACE = re.compile(r'\bnamespace\b[\w:\s]*$|\bextern\b')
CLASS = re.compile(r"\b(?:class|struct)\s+(?:\[\[[^\]]*\]\]\s*)?(?:alignas\([^)]*\)\s*)?(\w+)(?:<[^{};]*>)?"
                   r"(?:\s+final)?(?:\s*:[^{};()]*)?\s*$")
MEMBER = re.compile(r"(\w+)(?:<[^<>]*>)?::(?:~?\w+|operator[^(]*)\s*\(")


def class_lines(text):
    """Class -> lines of its body and of its members' definitions in one file. Nested classes count as their class."""
    code = NO_CODE.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)
    found, stack, begin = Counter(), [], 0
    for at, char in enumerate(code):
        if char == "{":
            head = code[begin:at]
            outside = all(kind == "namespace" for kind, _ in stack)
            named = CLASS.search(head) or (MEMBER.search(head) if outside else None)
            first = code.count("\n", 0, begin + len(head) - len(head.lstrip()))
            if NAMESPACE.search(head):
                stack.append(("namespace", first))
            else:
                stack.append((named.group(1) if named and outside else "", first))
        elif char == "}" and stack:
            kind, first = stack.pop()
            if kind not in ("", "namespace"):
                found[kind] += code.count("\n", 0, at) - first + 1
        if char in "{};":
            begin = at + 1
    return found


def check(texts, problem, allowed):
    """texts: source or header -> text. `allowed`: folder/Class and folders that are larger and known to be."""
    classes, folders = Counter(), Counter()
    for path, text in texts.items():
        folders[path.split("/")[0]] += len(text.splitlines())
        for name, lines in class_lines(text).items():
            classes[f"{Path(path).parent}/{name}"] += lines
    for name, lines in sorted(classes.items()):
        if lines > CLASS_LINES_MAX and name not in allowed:
            problem(name, 0, f"a class of {lines} lines; look for the seam at {CLASS_LINES_MAX}")
    product = sum(folders.values())
    for name, lines in sorted(folders.items()):
        if lines > FOLDER_SHARE_MAX * product and name not in allowed:
            problem(name, 0, f"{lines / product:.1%} of the product's lines; at most {FOLDER_SHARE_MAX:.0%}")
    for name in sorted(allowed):
        large = classes[name] > CLASS_LINES_MAX or folders[name] > FOLDER_SHARE_MAX * product
        if not large:
            problem("tests/tidy/tidy_test.py", 0, f"allows {name} to be large, which it is not any more")


def self_test():
    """Finds a class that is large in two files together, and a folder; what stands in comments and strings is no code."""
    body = "  int f() {\n    return 1;\n  }\n" * 60
    member = 'int Long::g() const {\n  // }\n  const char* s = "}";\n  if (s) { return 1; }\n  return 2;\n}\n' * 37
    texts = {"a/x.h": "namespace n {\nclass Long final : public Other<Long> {\n" + body + "};\nstruct Short {\n};\n}\n",
             "a/x.cc": "namespace n {\nnamespace {\nint other() {\n" + "\n" * 500 + "}\n}\n" + member + "}\n"}
    if class_lines(texts["a/x.h"]) != {"Long": 182, "Short": 2} or class_lines(texts["a/x.cc"]) != {"Long": 222}:
        raise SystemExit(f"tidy: the self-test of class sizes counted {[class_lines(t) for t in texts.values()]}")
    found = []
    check(texts | {"b/y.h": "\n" * 500}, lambda name, _, text: found.append(f"{name} {text.split()[-1]}"), {"a/Gone", "a"})
    if found != ["a/Long 400", "b 27%", "tests/tidy/tidy_test.py more"]:
        raise SystemExit(f"tidy: the self-test of sizes found {found}")
