"""Writes the seeds of the SentencePiece fuzz target: corpus/sentencepiece."""

import pathlib
import struct

CORPUS = pathlib.Path(__file__).parent / "corpus" / "sentencepiece"
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
UNIGRAM, BPE, WORD = 1, 2, 3
SPACE = "\u2581"


def varint(number: int) -> bytes:
    out = b""
    while number >= 0x80:
        out += bytes([0x80 | number & 0x7F])
        number >>= 7
    return out + bytes([number])


def number(tag: int, value: int) -> bytes:
    return varint(tag << 3) + varint(value)


def content(tag: int, value: bytes) -> bytes:
    return varint(tag << 3 | 2) + varint(len(value)) + value


def piece(text: str, kind: int = NORMAL, score: float = 0.0) -> bytes:
    return content(1, content(1, text.encode()) + varint(2 << 3 | 5) + struct.pack("<f", score) + number(3, kind))


def charsmap(replaced: dict[int, bytes]) -> bytes:
    """A double array of one level: the root's children at 256 ^ byte, the leaf of each at 512 ^ byte."""
    units, texts = [0] * 1024, b""
    units[0] = 256 << 10
    for byte, text in replaced.items():
        units[256 ^ byte] = 768 << 10 | 1 << 8 | byte
        units[512 ^ byte] = 1 << 31 | len(texts)
        texts += text + b"\0"
    return struct.pack("<I", 4096) + struct.pack("<1024I", *units) + texts


def model(kind: int, pieces: list[bytes], byte_fallback: bool = False, spaces: bytes = b"", suffix: int = 0) -> bytes:
    specials = piece("<unk>", UNKNOWN) + piece("<s>", CONTROL) + piece("</s>", CONTROL)
    return specials + b"".join(pieces) + content(2, number(3, kind) + number(24, suffix) + number(35, byte_fallback)) + content(3, spaces)


def words(*texts: str) -> list[bytes]:
    return [piece(text, score=-float(i)) for i, text in enumerate(texts)]


def save(name: str, data: bytes) -> None:
    CORPUS.mkdir(parents=True, exist_ok=True)
    (CORPUS / name).write_bytes(data)


KEEP = number(4, 0)  # spaces stay
ALL_BYTES = [piece(f"<0x{byte:02X}>", BYTE) for byte in range(256)]
PIECES = words(SPACE + "a", "ab", "a", "b", SPACE, SPACE + SPACE, "xy", "é")
save("bpe", model(BPE, PIECES, spaces=KEEP))
save("unigram", model(UNIGRAM, PIECES))
save("bytes", model(BPE, PIECES + ALL_BYTES, byte_fallback=True, spaces=KEEP))
save("user_defined", model(BPE, PIECES + [piece("<sep>", USER_DEFINED), piece("a b", USER_DEFINED)], suffix=1))
save("user_defined_unigram", model(UNIGRAM, PIECES + [piece("<sep>", USER_DEFINED), piece("xyz", UNUSED)]))
save("unused", model(BPE, PIECES + [piece("abb", UNUSED, 5.0), piece("bb", UNUSED, 6.0)], spaces=KEEP + number(3, 0)))
save("charsmap", model(UNIGRAM, PIECES, spaces=content(2, charsmap({ord("A"): b"a", ord("\t"): b" ", ord("z"): b""}))))
save("words", model(WORD, PIECES))
save("tests", model(BPE, PIECES) + content(4, content(1, content(1, b"a") + content(2, b"a"))) + content(5, b""))
