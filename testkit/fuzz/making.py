"""Hostile inputs from a seeded generator: valid documents with one thing wrong, then bytes with one thing wrong.

Most inputs stay close to what a parser accepts, because what is refused at the first byte tries nothing behind it.
"""

import gzip
import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

Make = Callable[[Random], bytes]


class Literal(str):
    """Text that stands in a document as it is: numbers that no float holds, things that look like JSON."""

    __slots__ = ()


class Pairs(list[tuple[str, Any]]):
    """An object as its pairs, so that a key can come twice."""


NUMBERS = [
    *("0", "-0", "-0.0", "1", "-1", "0.1", "86", "86.5", "1e2", "1E-7", "5e-324", "1e308", "1e309", "-1e999"),
    *("2147483647", "2147483648", "9007199254740993", "9223372036854775808", "18446744073709551616", "253402300799"),
    *("10000000", "10000001", "1e10", "1763632800", "1763632800000", "-62135596801", "8.64e15", "1" + "0" * 400),
    *("9" * 5000, "0." + "0" * 400 + "1", "NaN", "Infinity", "-Infinity", "01", "+1", ".5", "1.", "0x10", "1_000"),
]
STRINGS = [
    *(
        "",
        " ",
        "x",
        "null",
        "NaN",
        "-1",
        "1e400",
        "86",
        "é",
        "\U0001d518",
        "\u0000",
        "\u202e",
        "\ufeff",
        "a\nb",
        "a\r\nb: c",
    ),
    *("us-west-2/shooter", "../../etc/passwd", "%s%n", "{fleet}", "${jndi:x}", "<b>", "'; --", "x" * 300, "x" * 70_000),
    *("2026-11-20T10:00:00Z", "2026-11-20T10:00:00", "2026-11-20 10:00:00+00:00", "2026-11-20"),
    *("0001-01-01T00:00:00+23:59", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59", "1969-12-31T23:59:59.999999Z"),
    *(
        "2026-02-30T00:00:00Z",
        "2026-11-20T10:00:60Z",
        "2026-11-20T24:00:00Z",
        "2026-13-45",
        "1e309",
        "inf",
        "9" * 5000,
        "١٢",
        "1_0",
    ),
]
DEEP = [b"[", b'{"a":', b'{"instances":[', b'{"request":', b"[[", b"{", b'"']
SPLICES = [
    *(b"\x00", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xc0\x80", b"\r\n", b"\n\n", b"\r", b"\t"),
    *(b'"', b"'", b"\\", b"\\u", b"\\ud800", b"{", b"}", b"[", b"]", b",", b":", b";", b"|", b"=", b"&", b"*a", b"<<:"),
    *(b"NaN", b"nan", b"1e999", b"-", b"+", b"0" * 400, b"null", b"true", b"1" * 5000, b"\\u0000", b"!!python/object:"),
]
CODECS = ["utf-16", "utf-16-le", "utf-32", "latin-1", "utf-8-sig", "utf-7", "cp037"]


def leaf(rng: Random) -> object:
    """One odd value that is no container."""
    kind = rng.randrange(10)
    if kind < 4:
        return Literal(rng.choice(NUMBERS))
    if kind < 8:
        return rng.choice(STRINGS)
    return rng.choice([None, True, False, rng.random() * 10 ** rng.randrange(-3, 9), rng.randrange(-5, 10**6)])


def value(rng: Random, words: Sequence[str], depth: int = 3) -> object:
    """An odd value, of containers down to a depth; objects have keys out of `words`."""
    kind = rng.randrange(6) if depth else 0
    if kind < 3:
        return leaf(rng)
    count = rng.randrange(4)
    if kind == 3:
        return [value(rng, words, depth - 1) for _ in range(count)]
    return Pairs((key(rng, words), value(rng, words, depth - 1)) for _ in range(count))


def key(rng: Random, words: Sequence[str]) -> str:
    """A known name, mostly."""
    return rng.choice(words) if words and rng.random() < 0.9 else rng.choice(STRINGS[:26])


def as_pairs(tree: object) -> object:
    """A decoded document with its objects as pairs."""
    if isinstance(tree, dict):
        return Pairs((name, as_pairs(inner)) for name, inner in tree.items())
    return [as_pairs(inner) for inner in tree] if isinstance(tree, list) else tree


def spoilt(rng: Random, tree: object, words: Sequence[str]) -> object:
    """A copy with one place changed: replaced, removed, doubled, renamed, or one more thing in it."""
    if not isinstance(tree, list) or not tree or rng.random() < 0.15:
        return value(rng, words)
    spot, copy = rng.randrange(len(tree)), type(tree)(tree)
    kind = rng.randrange(12)
    if kind == 0:
        del copy[spot]
    elif kind == 1:
        copy.insert(spot, copy[spot])
    elif isinstance(copy, Pairs):
        name, inner = copy[spot]
        if kind == 2:
            copy[spot] = (key(rng, words), inner)
        elif kind == 3:
            copy.append((key(rng, words), value(rng, words)))
        else:
            copy[spot] = (name, spoilt(rng, inner, words))
    else:
        copy[spot] = spoilt(rng, copy[spot], words)
    return copy


def text_of(tree: object) -> str:
    """The document as JSON text, literals as they are."""
    if isinstance(tree, Literal):
        return str(tree)
    if isinstance(tree, Pairs):
        return "{" + ", ".join(f"{json.dumps(name)}: {text_of(inner)}" for name, inner in tree) + "}"
    if isinstance(tree, list):
        return "[" + ", ".join(map(text_of, tree)) + "]"
    return json.dumps(tree)


def damaged(rng: Random, text: bytes) -> bytes:
    """Bytes with one thing wrong: flipped, cut, doubled, spliced, nested, or in another encoding."""
    spot, kind = rng.randrange(len(text) + 1), rng.randrange(9)
    head, tail = text[:spot], text[spot:]
    match kind:
        case 0:
            head, tail = head + bytes(byte ^ (1 << rng.randrange(8)) for byte in tail[:1]), tail[1:]
        case 1:
            tail = b""
        case 2:
            tail = tail[rng.randrange(9) :]
        case 3:
            head += text[rng.randrange(len(text) + 1) :][: rng.randrange(200)]
        case 4:
            head += rng.choice(DEEP) * rng.choice([3, 200, 1500, 30_000])
        case 5:
            head, tail = text.decode("utf-8", "replace").encode(rng.choice(CODECS), "replace"), b""
        case 6:
            head += rng.randbytes(rng.randrange(1, 20))
        case _:
            head += rng.choice(SPLICES)
    return head + tail


def maybe_damaged(rng: Random, text: bytes) -> bytes:
    """One in three is damaged, some of them twice."""
    while rng.random() < 0.33:
        text = damaged(rng, text)
    return text


def documents(seeds: Sequence[object], words: Sequence[str]) -> Make:
    """JSON close to the seeds, which are decoded documents."""
    trees = [as_pairs(seed) for seed in seeds]

    def make(rng: Random) -> bytes:
        tree = rng.choice(trees)
        for _ in range(rng.choice((0, 1, 1, 1, 2, 4))):
            tree = spoilt(rng, tree, words)
        return maybe_damaged(rng, text_of(tree).encode("utf-8", "surrogatepass"))

    return make


def tables(heads: Sequence[str], rows: Sequence[str]) -> Make:
    """CSV with one of the heads or none, of rows close to these."""

    def cell(rng: Random) -> str:
        odd = rng.choice(NUMBERS + STRINGS)
        return f'"{odd}"' if rng.random() < 0.2 else odd

    def row(rng: Random) -> str:
        cells = rng.choice(rows).split(",")
        if rng.random() < 0.5:
            cells[rng.randrange(len(cells))] = cell(rng)
        return ",".join(cells[: rng.randrange(len(cells) + 1)] if rng.random() < 0.1 else cells)

    def make(rng: Random) -> bytes:
        head = [rng.choice(heads)] if rng.random() < 0.6 else []
        ends = rng.choice(["\n", "\n", "\r\n", "\r", "\n\n"])
        text = ends.join(head + [row(rng) for _ in range(rng.randrange(6))]).encode("utf-8", "surrogatepass")
        return maybe_damaged(rng, text)

    return make


def texts(seeds: Sequence[bytes]) -> Make:
    """Bytes close to the seeds; always with something wrong."""
    return lambda rng: maybe_damaged(rng, damaged(rng, rng.choice(seeds)))


def either(*makers: Make) -> Make:
    """One of several ways."""
    return lambda rng: rng.choice(makers)(rng)


def packed(maker: Make) -> Make:
    """Some of what a maker makes in gzip, sometimes damaged after."""

    def make(rng: Random) -> bytes:
        made = maker(rng)
        if rng.random() < 0.8:
            return made
        return maybe_damaged(rng, gzip.compress(made, 1, mtime=0))

    return make
