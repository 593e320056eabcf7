"""Damage that knows the format: a cut, a lie in a header, a chunk whose checksum is right again."""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from collections.abc import Callable
from random import Random

__all__ = ["Mutate", "any_bytes", "gzipped", "png_chunk", "png_chunks", "text"]

Mutate = Callable[[bytes, Random], bytes]

_WHOLE = (0, 1, 2, 7, 8, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1)
_REAL = (float("nan"), float("inf"), -float("inf"), 0.0, -1.0, 1e-38, 1e38, 0.5)
_HEADER = 600
_MOST_UNPACKED = 2**22

TOKENS = (
    *("null", "~", "true", "no", "-1", "0", "1e999", ".nan", "-.inf", "1e-400", "9" * 30),
    *(
        "9" * 5000,
        "''",
        '"\\0"',
        '"\\ud800"',
        '"\\x1b[31m"',
        "'='",
        "[]",
        "{}",
        "[[[[]]]]",
        "{a: b}",
    ),
    *("../..", "/etc/passwd", "CON", "-x", "x" * 300, "²", "٣", "\u202e", "é\u0301", "<b>&", "*a"),
    *("&a", "<<", "!!python/object:os.system", "!!binary x", "2024-01-01", "0x7f", "1_0", "NaN"),
    *("Infinity", '{"a": 1}', '[1, "a"]', '"a"', "(a+)+$", "$\\frac{$", "a,b", '"', "\n", "\t"),
)
_WORD = re.compile(r"[^\s:,\[\]{}\"]+")


def any_bytes(data: bytes, rng: Random) -> bytes:
    """One to four cuts, flips, copies and lies, the first bytes more often than the rest."""
    content = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        rng.choice((_flip, _flip, _lie, _lie, _lie, _cut, _copy))(content, rng)
    return bytes(content)


def gzipped(data: bytes, rng: Random) -> bytes:
    """The same to what is packed, or to the packing."""
    if rng.random() < 0.3:
        return any_bytes(data, rng)
    try:
        content = zlib.decompressobj(31).decompress(data, _MOST_UNPACKED)
    except zlib.error:
        return any_bytes(data, rng)
    return gzip.compress(any_bytes(content, rng), 1, mtime=0)


def png_chunks(data: bytes, rng: Random) -> bytes:
    """The same to one chunk of a PNG, its checksum made right; or to the whole file."""
    chunks = _chunks(data)
    if not chunks or rng.random() < 0.2:
        return any_bytes(data, rng)
    number = rng.randrange(len(chunks))
    kind, content = chunks[number]
    if kind == b"IDAT" and rng.random() < 0.5:
        try:
            raw = zlib.decompressobj().decompress(content, _MOST_UNPACKED)
            content = zlib.compress(any_bytes(raw, rng), 1)
        except zlib.error:
            content = any_bytes(content, rng)
    else:
        content = any_bytes(content, rng)
    chunks[number] = (kind, content)
    if rng.random() < 0.2:
        chunks.insert(rng.randrange(len(chunks)), rng.choice(chunks))
    return data[:8] + b"".join(map(png_chunk, chunks))


def text(data: bytes, rng: Random) -> bytes:
    """A word or a line replaced, repeated, taken away or moved; now and then plain damage."""
    if rng.random() < 0.15:
        return any_bytes(data, rng)
    content = data.decode("utf-8", "surrogateescape")
    for _ in range(rng.randint(1, 3)):
        content = rng.choice((_change_word, _change_word, _change_word, _change_line))(content, rng)
    return content.encode("utf-8", "surrogateescape")


def _flip(content: bytearray, rng: Random) -> None:
    if content:
        content[_place(content, rng)] ^= 1 << rng.randrange(8)


def _lie(content: bytearray, rng: Random) -> None:
    """A number that a header would not hold."""
    end = rng.choice("<>")
    if rng.random() < 0.7:
        size = rng.choice("BHIQ")
        value = struct.pack(end + size, rng.choice(_WHOLE) % 2 ** (8 * struct.calcsize(size)))
    else:
        value = struct.pack(end + rng.choice("fd"), rng.choice(_REAL))
    if content:
        place = _place(content, rng)
        content[place : place + len(value)] = value


def _cut(content: bytearray, rng: Random) -> None:
    if content:
        start = _place(content, rng)
        del content[start : len(content) if rng.random() < 0.5 else start + rng.randint(1, 64)]


def _copy(content: bytearray, rng: Random) -> None:
    if content:
        start = _place(content, rng)
        part = bytes(content[start : start + rng.randint(1, 64)])
        place = _place(content, rng)
        content[place:place] = part * rng.choice((1, 1, 2, 20))


def _place(content: bytearray, rng: Random) -> int:
    most = min(len(content), _HEADER) if rng.random() < 0.8 else len(content)
    return rng.randrange(most)


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found, place = [], 8
    while place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        found.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += 12 + length
    return found


def png_chunk(chunk: tuple[bytes, bytes]) -> bytes:
    """A chunk with its length and its checksum."""
    kind, content = chunk
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def _change_word(content: str, rng: Random) -> str:
    words = list(_WORD.finditer(content))
    if not words:
        return content + rng.choice(TOKENS)
    word = rng.choice(words)
    other = rng.choice((rng.choice(TOKENS), rng.choice(TOKENS), rng.choice(words)[0], ""))
    return content[: word.start()] + other + content[word.end() :]


def _change_line(content: str, rng: Random) -> str:
    lines = content.splitlines(keepends=True) or [""]
    number = rng.randrange(len(lines))
    what = rng.randrange(4)
    if what == 0:
        del lines[number]
    elif what == 1:
        lines.insert(rng.randrange(len(lines)), lines[number])
    elif what == 2:
        lines[number] = " " * rng.randint(0, 8) + lines[number].lstrip(" ")
    else:
        lines.insert(number, rng.choice(TOKENS) + ": " + rng.choice(TOKENS) + "\n")
    return "".join(lines)
