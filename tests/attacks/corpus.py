"""Odd requests for every simulator: each command of its table, mutated; seeded."""

import json
import random
import re
from collections.abc import Iterable

from qhal_simulators.scpi_commands import short_form

NUMBERS = (
    *(b"0", b"1", b"-1", b"+7", b"20.00", b"100", b"1e5", b"1e9", b"1e999", b"-1e999", b"1e-999", b"9.9E37"),
    *(
        b"inf",
        b"-INF",
        b"nan",
        b".",
        b"",
        b"1..2",
        b"1e",
        b"0x10",
        b"1_000",
        "१".encode(),
        b"9" * 30,
        b"1" * 6000,
    ),
    *(b"0.2V", b"3000 GTB", b"1 TTB", b"100ms", b"1.5GHz", b"200000000000", b"200000103700"),
)
WORDS = (
    *(
        b"ON",
        b"OFF",
        b"MAX",
        b"NONE",
        b"REC",
        b"STAR",
        b"INPU1",
        b"GEN1",
        b"TSCO1",
        b"TSCO6",
        b"DELA1",
        b"DELA8",
    ),
    *(
        b"MANU",
        b"AUTO",
        b"HIRES",
        b"CYCL",
        b"ACCU",
        b"COUNT",
        b"HISTO",
        b"ONLYFIR",
        b"AND",
        b"OR",
        b"CONT",
        b"INT",
    ),
    *(
        b'"a"',
        b'"',
        b'"a',
        b'"*Sine10"',
        b"#0",
        b"#",
        b"#14abcd",
        b"#3200" + bytes(200),
        b"#9999999999",
        b"#1\xff",
    ),
    *(b"(@1)", b"(@1),(@17)", b"(@1,2),(@17,18)", b"(@1:999999999)", b"(@2,,4)", b"(@", b"(@)", b"(@(@(@1"),
)
JSON_VALUES = (
    *(
        0,
        1,
        -1,
        100,
        10**400,
        1.5,
        1e308,
        True,
        None,
        "x",
        "1",
        [],
        {},
        [1, 2, 3, 4],
        [1],
        [[1]] * 4,
        [None] * 4,
    ),
    *([1e999] * 4, [20.0] * 4, [100] * 4, [0] * 4, [1e-9] * 4, {"value": 1}, 35.0, 0.1, 1e-300, 90.9),
)
TERMINATORS = (b"\n", b"\r", b"\r\n", b"", b";", b"\0")


def headers(pattern: str, draw: random.Random) -> bytes:
    """Return one way to write a command of a table."""
    pattern = re.sub(r"\[([^\]]*)\]", lambda found: draw.choice(("", found[1])), pattern)
    nodes = []
    for node in pattern.removesuffix("?").lstrip(":").split(":"):
        name = node.removesuffix("#")
        name = draw.choice((name, short_form(name), name.lower()))
        nodes.append(name + (draw.choice(("", "1", "2", "4", "8", "99")) if node.endswith("#") else ""))
    query = "?" if pattern.endswith("?") else ""
    return (draw.choice(("", ":")) + ":".join(nodes) + query).encode()


def scpi(patterns: Iterable[str], draw: random.Random, end: bytes) -> list[bytes]:
    """Return every command of a table, with and without arguments."""
    seeds = []
    for pattern in patterns:
        seeds.append(headers(pattern, draw) + end)
        for _ in range(3):
            arguments = [draw.choice(NUMBERS + WORDS) for _ in range(draw.randint(1, 3))]
            seeds.append(headers(pattern, draw) + b" " + b",".join(arguments) + end)
    return seeds


def websq(commands: Iterable[str], labels: Iterable[str], draw: random.Random) -> list[bytes]:
    """Return every command and request, with odd values."""
    messages: list[dict[str, object]] = [{"request": name} for name in (*labels, "labelProps", "IVHistory")]
    messages += [{"request": "TemperatureHistory"}, {"request": [1]}, {"command": {}}, {}]
    for command in commands:
        messages += [{"command": command, "value": value} for value in JSON_VALUES]
    for label in labels:
        messages += [{"label": label, "value": value} for value in JSON_VALUES]
    seeds = [json.dumps(message).encode() for message in messages]
    seeds += [b"[" * 5000, b'{"a":' * 3000, b"{}" * 500, b"\xff\xfe", b'"', b'{"request": "\n"}', b"{bad}\n"]
    return [seed + draw.choice((b"\n", b"")) for seed in seeds]


def mutate(seed: bytes, seeds: list[bytes], draw: random.Random) -> bytes:
    """Return a request that differs from `seed` in up to three ways."""
    data = bytearray(seed)
    for _ in range(draw.randint(0, 3)):
        at = draw.randrange(len(data) + 1)
        kind = draw.randrange(9)
        if kind == 0 and data:
            data[at - 1] ^= 1 << draw.randrange(8)
        elif kind == 1:
            data[at:at] = draw.randbytes(draw.randint(1, 4))
        elif kind == 2:
            del data[at : at + draw.randint(1, 6)]
        elif kind == 3:
            data = data[:at]
        elif kind == 4:
            other = draw.choice(seeds)
            data = data[:at] + other[draw.randrange(len(other) + 1) :]
        elif kind == 5:
            numbers = list(re.finditer(rb"\d+", data[:2000]))
            if numbers:
                found = draw.choice(numbers)
                data[found.start() : found.end()] = draw.choice(NUMBERS)
        elif kind == 6:
            data = data[:200] * draw.choice((2, 3, 50))
        elif kind == 7:
            data += draw.choice(TERMINATORS) + draw.choice(seeds)
        else:
            data[at:at] = draw.choice(WORDS)
    return bytes(data)
