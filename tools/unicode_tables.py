#!/usr/bin/env python3
"""Writes the Unicode tables of runtime/unicode/ (*.inc). Run it again only to move to another version of Unicode.

    python3 -m venv V && V/bin/pip install unicodedata2==16.0.0 regex==2025.9.18 && V/bin/python tools/unicode_tables.py

Categories, decompositions and combining classes come from unicodedata2; scripts, Alphabetic and case pairs from regex,
whose tables are of the same version; lower case from Python, and for letters newer than Python's tables from regex.
"""
import sys
import unicodedata
from pathlib import Path

import regex
import unicodedata2

VERSION = "16.0.0"
FOLDER = Path(__file__).resolve().parents[1] / "runtime" / "unicode"
ALL = range(0x110000)
TURKIC = (0x130, 0x131)  # regex takes them for I and i; Unicode's folding without a language does not
SCRIPTS = {  # long name: short name; the scripts that patterns of tokenizers may name
    "Arabic": "Arab", "Armenian": "Armn", "Bengali": "Beng", "Bopomofo": "Bopo", "Cherokee": "Cher", "Common": "Zyyy",
    "Coptic": "Copt", "Cyrillic": "Cyrl", "Devanagari": "Deva", "Ethiopic": "Ethi", "Georgian": "Geor", "Greek": "Grek",
    "Gujarati": "Gujr", "Gurmukhi": "Guru", "Han": "Hani", "Hangul": "Hang", "Hebrew": "Hebr", "Hiragana": "Hira",
    "Inherited": "Zinh", "Kannada": "Knda", "Katakana": "Kana", "Khmer": "Khmr", "Lao": "Laoo", "Latin": "Latn",
    "Malayalam": "Mlym", "Mongolian": "Mong", "Myanmar": "Mymr", "Oriya": "Orya", "Sinhala": "Sinh", "Syriac": "Syrc",
    "Tamil": "Taml", "Telugu": "Telu", "Thaana": "Thaa", "Thai": "Thai", "Tibetan": "Tibt", "Yi": "Yiii"}


def character(code):
    return chr(code) if not 0xD800 <= code < 0xE000 else None


def ranges(codes):
    """Sorted code points -> [first, last] runs."""
    runs = []
    for code in codes:
        if runs and runs[-1][1] + 1 == code:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    return runs


def write(name, what, rows):
    lines, line = [f"// {what} Unicode {VERSION}. Written by tools/unicode_tables.py."], ""
    for row in rows:
        if len(line) + len(row) + 2 > 118:
            lines.append(line)
            line = ""
        line += row + ","
    lines.append(line)
    (FOLDER / name).write_text("\n".join(lines) + "\n")


def matching(pattern):
    compiled = regex.compile(pattern)
    return [code for code in ALL if character(code) and compiled.match(chr(code))]


def categories():
    rows, last = [], None
    for code in ALL:
        category = unicodedata2.category(chr(code))
        if category != last:
            rows.append(f"{{{code:#x},Category::k{category}}}")
            last = category
    write("categories.inc", "Where a run of code points of one general category begins.", rows)


def scripts():
    rows = []
    for long, short in SCRIPTS.items():
        for first, last in ranges(matching(rf"\p{{Script={long}}}")):
            rows.append(f'{{"{long.lower()}","{short.lower()}",{first:#x},{last:#x}}}')
    write("scripts.inc", "Long and short name of a script, first and last code point of a run.", rows)


def decompositions():
    pool, rows, compositions = "", [], []
    for code in ALL:
        text = character(code)
        if not text or 0xAC00 <= code < 0xD7A4:
            continue  # Hangul is computed
        canonical, compatible = unicodedata2.normalize("NFD", text), unicodedata2.normalize("NFKD", text)
        if compatible == text:
            continue

        places = []
        for form in (canonical, compatible):
            if form != text and form not in pool:
                pool += form
            places.append("0,0" if form == text else f"{pool.index(form)},{len(form)}")
        rows.append(f"{{{code:#x},{places[0]},{places[1]}}}")
        parts = unicodedata2.decomposition(text).split()
        if len(parts) == 2 and parts[0][0] != "<":
            first, second = (int(part, 16) for part in parts)
            if unicodedata2.normalize("NFC", chr(first) + chr(second)) == text:
                compositions.append((first, second, code))
    write("decompositions.inc", "Code point; start and size in decomposed.inc: canonical, then compatible.", rows)
    write("decomposed.inc", "What the decompositions consist of.", [f"{ord(point):#x}" for point in pool])
    write("compositions.inc", "Two code points and the one they compose.",
          [f"{{{a:#x},{b:#x},{c:#x}}}" for a, b, c in sorted(compositions)])


def combining_classes():
    rows, by_class = [], {}
    for code in ALL:
        if unicodedata2.combining(chr(code)):
            by_class[code] = unicodedata2.combining(chr(code))
    run = None
    for code, value in by_class.items():
        if run and run[1] + 1 == code and run[2] == value:
            run[1] = code
        else:
            run = [code, code, value]
            rows.append(run)
    write("combining_classes.inc", "First and last code point of a run, its canonical combining class.",
          [f"{{{a:#x},{b:#x},{c}}}" for a, b, c in rows])


def cases():
    folded = {}  # code point -> others that a pattern without case takes for the same, itself included
    cased = [code for code in ALL if character(code) and unicodedata2.category(chr(code)) in ("Lu", "Ll", "Lt", "Mn", "Nl", "So")]
    everything = "".join(map(chr, cased))
    lower = []
    for code in cased:
        text = chr(code)
        known = unicodedata.category(text) != "Cn"
        mapped = text.lower() if known else text
        new = not known and unicodedata2.category(text) in ("Lu", "Lt")
        interesting = mapped != text or text.upper() != text or text.casefold() != text or not known
        if not interesting:
            continue
        same = [c for c in regex.findall(regex.escape(text), everything, regex.IGNORECASE | regex.V0)
                if code not in TURKIC and ord(c) not in TURKIC]
        if len(same) > 1:
            folded[code] = sorted(map(ord, same))
        if new:
            small = [c for c in same if unicodedata2.category(c) == "Ll"]
            mapped = small[0] if small else text
        if mapped != text and len(mapped) == 1:
            lower.append((code, ord(mapped)))
    # Letters that got a partner after Python's tables were made stand in their partner's set.
    for members in list(folded.values()):
        for code in members:
            folded.setdefault(code, members)
    write("lower_case.inc", "A code point and its lower case of one code point.", [f"{{{a:#x},{b:#x}}}" for a, b in lower])
    sets = sorted({tuple(members) for members in folded.values()})
    rows = [f"{{{code:#x},{other:#x}}}" for members in sets for code in members for other in members if other != code]
    write("case_variants.inc", "A code point and another that differs from it by case only.",
          [row for _, row in sorted((int(r[1:-1].split(",")[0], 16), r) for r in rows)])


def full_case():
    """Case mappings to several code points: of Python, and for letters newer than its tables of their partners."""
    capitals = [chr(c) for c in ALL if character(c) and unicodedata2.category(chr(c)) == "Lu"]
    upper, title = {}, {}
    for code in ALL:
        text = character(code)
        if text and text.upper() != text:
            upper[code] = text.upper()
        if text and text.title() != text.upper():
            title[code] = text.title()
    for capital in capitals:
        if unicodedata.category(capital) != "Cn":
            continue
        pattern = regex.compile(regex.escape(capital), regex.IGNORECASE | regex.V0)
        for code in ALL:  # the small letter, which may be older
            small = character(code)
            if small and unicodedata2.category(small) == "Ll" and pattern.fullmatch(small):
                upper.setdefault(code, capital)
    row = lambda code, text: f"{{{code:#x},{{{','.join(hex(ord(c)) for c in text)}}}}}"  # noqa: E731
    write("upper_case.inc", "A code point and its upper case.", [row(*pair) for pair in sorted(upper.items())])
    write("title_case.inc", "A code point and its title case, where that is not its upper case.", [row(*pair) for pair in sorted(title.items())])
    for name in ("cased", "case_ignorable"):
        write(f"{name}.inc", f"First and last code point of a run with the property {name.title()}.",
              [f"{{{a:#x},{b:#x}}}" for a, b in ranges(matching(rf"\p{{{name.title()}}}"))])


def main():
    if unicodedata2.unidata_version != VERSION:
        sys.exit(f"unicodedata2 has Unicode {unicodedata2.unidata_version}, not {VERSION}")
    newest = [c for c in ALL if character(c) and unicodedata2.category(chr(c)) in ("Lu", "Lo", "Nd")]
    missing = [hex(c) for c in newest if not regex.match(r"\p{Lu}|\p{Lo}|\p{Nd}", chr(c))]
    if missing or len(matching(r"\p{Lo}")) != sum(unicodedata2.category(chr(c)) == "Lo" for c in ALL):
        sys.exit(f"regex {regex.__version__} has another version of Unicode")
    categories()
    scripts()
    write("alphabetic.inc", "First and last code point of a run with the property Alphabetic.",
          [f"{{{a:#x},{b:#x}}}" for a, b in ranges(matching(r"\p{Alphabetic}"))])
    decompositions()
    combining_classes()
    cases()
    full_case()


main()
