"""What a library names in CMake (DEPS, PRIVATE_DEPS) is what its files include, no less and no more.

A header belongs to the library that lists it, else to the one that compiles the source of its name; one without a source
belongs to the library whose files in its folder are the only ones to include it, else to the one that compiles most
sources of its folder, or of the folder above where its own has none. A header of the ground of a layer that compiles
nothing there (runtime/ids.h) is everybody's.
What only a library's own sources can see may stand in PRIVATE_DEPS; what a header shows to others stands in DEPS.
"""
import re
from collections import Counter
from pathlib import Path

LIBRARY = re.compile(r"\bherd_library\(\s*(\w+)([^)]*)\)")
LINKS = re.compile(r"\btarget_link_libraries\(\s*(?:herd_)?(\w+)\s+([^)]*)\)")
PROGRAM = re.compile(r"\badd_executable\(\s*(herd)\b([^)]*)\)")
INCLUDE = re.compile(r'^\s*#\s*include\s+["<]([^">]+)[">]', re.MULTILINE)
# Where third-party headers come from: pattern of the header -> targets, any of which brings it.
THIRD_PARTY = [
    (r"boost/json", {"Boost::json"}),
    (r"boost/", {"Boost::headers"}),
    (r"openssl/", {"OpenSSL::SSL", "OpenSSL::Crypto"}),
    (r"CLI/", {"CLI11::CLI11"}),
    (r"capnp/|kj/", {"CapnProto::capnp"}),
    (r"caf/", {"herd_caf"}),
    (r"prometheus/", {"prometheus-cpp::core"}),
    (r"spdlog/", {"spdlog::spdlog"}),
    (r"tl/expected", {"tl::expected"}),
    (r"yaml-cpp/", {"yaml-cpp"}),
    (r"dlfcn\.h", {"${CMAKE_DL_LIBS}"}),
    (r"(thread|mutex|shared_mutex|condition_variable|future|pthread\.h|semaphore\.h)$", {"Threads::Threads"}),
]
# Headers of one target that make another one necessary: its own headers are included inside them.
BRINGS = [(r"boost/asio/ssl", "OpenSSL::SSL")]
# The compiler brings these to everyone: they are named where they are needed, but not missed where they are not named.
NOT_MISSED = {"Threads::Threads", "${CMAKE_DL_LIBS}"}


class Library:
    def __init__(self, name, cmake):
        self.name, self.cmake = name, cmake
        self.sources, self.public, self.private = [], set(), set()


def named(target):
    """herd::kernels and herd_kernels are one."""
    return "herd::" + target[len("herd_"):] if target.startswith("herd_") and target != "herd_caf" else target


def read_keywords(text, first):
    """Words of a CMake call by the keyword before them."""
    words, keyword = {}, first
    for word in re.sub(r"#[^\n]*", "", text).split():
        if word in ("SRCS", "DEPS", "PRIVATE_DEPS", "PUBLIC", "PRIVATE"):
            keyword = word
        else:
            words.setdefault(keyword, []).append(word)
    return words


def parse_lists(lists):
    """CMakeLists.txt path -> text, to name -> Library."""
    libraries = {}
    for path, text in lists.items():
        folder = Path(path).parent
        for name, body in LIBRARY.findall(text) + PROGRAM.findall(text):
            library = libraries[f"herd::{name}"] = Library(f"herd::{name}", path)
            words = read_keywords(body, "SRCS")
            for source in words.get("SRCS", []):
                if "$" not in source:
                    parts = []
                    for part in (folder / source).parts:
                        parts = parts[:-1] if part == ".." else parts + [part]
                    library.sources.append("/".join(parts))
            library.public |= {named(d) for d in words.get("DEPS", [])}
            library.private |= {named(d) for d in words.get("PRIVATE_DEPS", [])}
        for name, body in LINKS.findall(text):
            if f"herd::{name}" in libraries:
                words = read_keywords(body, "PUBLIC")
                libraries[f"herd::{name}"].public |= {named(d) for d in words.get("PUBLIC", [])}
                libraries[f"herd::{name}"].private |= {named(d) for d in words.get("PRIVATE", [])}
    return libraries


def owners(libraries, texts):
    """Source and header -> the library it belongs to."""
    owner = {source: library.name for library in libraries.values() for source in library.sources}
    folders, includers = {}, {}
    for source, name in owner.items():
        folders.setdefault(str(Path(source).parent), Counter())[name] += 1
    for path, text in texts.items():
        for include in INCLUDE.findall(text):
            if Path(include).parent == Path(path).parent:
                includers.setdefault(include, set()).add(path)
    found = dict(owner)
    for path in (p for p in texts if p.endswith(".h")):
        stem = path[:-len(".h")].removesuffix("-inl")
        folder = folders.get(str(Path(path).parent)) or folders.get(str(Path(path).parent.parent))
        near = {owner.get(p) or owner.get(p[:-2] + ".cc") for p in includers.get(path, ())} - {None}
        if path not in owner and (stem + ".cc" in owner or folder):
            found[path] = owner.get(stem + ".cc") or (near.pop() if len(near) == 1 else folder.most_common(1)[0][0])
    return found


def exposed(owner, texts):
    """Headers that a file of another library can see."""
    seen, open_paths = set(), []
    for path, text in texts.items():
        open_paths += [i for i in INCLUDE.findall(text) if i in texts and owner.get(i) != owner.get(path)]
    while open_paths:
        path = open_paths.pop()
        if path not in seen:
            seen.add(path)
            open_paths += [i for i in INCLUDE.findall(texts[path]) if i in texts]
    return seen


def public_closure(libraries, names):
    """What libraries bring that are named: themselves, and all that they name publicly."""
    found, open_names = set(), list(names)
    while open_names:
        name = open_names.pop()
        if name not in found:
            found.add(name)
            if name in libraries:
                open_names += libraries[name].public
    return found


def wanted_by(include, owner):
    """The targets of which one must be named for an include: none for the standard library."""
    if include in owner:
        return {owner[include]}
    for pattern, targets in THIRD_PARTY:
        if re.match(pattern, include):
            return targets
    return set()


def check(lists, texts, problem):
    """lists: CMakeLists.txt -> text; texts: source or header -> text. Calls problem(path, line, text)."""
    libraries = parse_lists(lists)
    owner = owners(libraries, texts)
    visible = exposed(owner, texts)
    used = {name: set() for name in libraries}
    for path, text in texts.items():
        library = libraries.get(owner.get(path))
        if not library:
            continue
        inside = public_closure(libraries, library.public)
        if path not in visible:
            inside |= public_closure(libraries, library.private)
        for include in INCLUDE.findall(text):
            wanted = wanted_by(include, owner) - {library.name}
            used[library.name] |= wanted | {brought for pattern, brought in BRINGS if re.match(pattern, include)}
            if wanted and not wanted & (inside | NOT_MISSED) and library.name not in wanted_by(include, owner):
                how = "DEPS" if path in visible else "DEPS or PRIVATE_DEPS"
                problem(path, 0, f"includes {include}, but {library.name} does not name {min(wanted)} in {how}")
    for library in libraries.values():
        for name in sorted((library.public | library.private) - used[library.name]):
            problem(library.cmake, 0, f"{library.name} names {name} and includes nothing of it")
        for name in sorted(library.public & library.private):
            problem(library.cmake, 0, f"{library.name} names {name} twice")


def self_test():
    """Finds a missing library, a private one in a header, an unused one; accepts what comes through a public one."""
    lists = {"a/CMakeLists.txt": "herd_library(a SRCS a.cc DEPS Boost::json)\n",
             "b/CMakeLists.txt": "herd_library(b SRCS b.cc ../c/d.cc DEPS herd::a)\n"
                                 "target_link_libraries(herd_b PRIVATE herd::e)  # f.h sees it\n",
             "e/CMakeLists.txt": "herd_library(e SRCS e.cc ../b/listed.h PRIVATE_DEPS spdlog::spdlog herd::a CLI11::CLI11)\n"}
    texts = {"a/a.h": "#include <boost/json/value.hpp>\n", "a/a.cc": '#include "a/a.h"\n#include "b/b.h"\n', "a/only.h": "",
             "b/b.h": '#include "a/only.h"\n#include <boost/json.hpp>\n#include "e/e.h"\n', "b/f.h": '#include "e/e.h"\n',
             "b/b.cc": '#include "e/e.h"\n#include "b/f.h"\n#include "b/listed.h"\n', "b/listed.h": "",
             "c/d.h": "#include <spdlog/a.h>\n", "c/d.cc": "#include <caf/all.hpp>\n",
             "e/e.h": '#include "a/a.h"\n', "e/e.cc": '#include "c/d.h"\n', "e/deep/below.h": "#include <CLI/CLI.hpp>\n"}
    found = []
    check(lists, texts, lambda path, _, text: found.append(f"{path} {text}"))
    expected = ["a/a.cc includes b/b.h", "b/b.h includes e/e.h", "c/d.h includes spdlog/a.h", "c/d.cc includes caf/all.hpp",
                "e/e.h includes a/a.h", "e/e.cc includes c/d.h", "e/CMakeLists.txt herd::e names spdlog::spdlog"]
    if len(found) != len(expected) or not all(f.startswith(e) for f, e in zip(found, expected)):
        raise SystemExit("tidy: the self-test of libraries found\n  " + "\n  ".join(found))
