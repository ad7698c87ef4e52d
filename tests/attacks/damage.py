"""What can be wrong with a reply: drawn from a seeded generator."""

import json
import random
import re
from typing import Any

from qhal_simulators.instruments.purephotonics.itla_packets import bip4

BROKEN = (
    *b"1.2.3 12.3q --1 1e 0x1F 1_000 +-1 1e1e1 nan 9.91E37 1e999 - . e 5dBW 3GTB 7% 9THzHz".split(),
    *("٣".encode(), "²".encode(), "1\u00a02".encode(), b"1 2", b"1\x002", b"1" * 400, b"9" * 5000),
)
"""What no reader may take for a number, nor for the number at its beginning."""
NUMBERS = (
    *BROKEN,
    *b"-nan inf -INF NINF 9.90000E+37 -9.9E37 +9.91E+37 -1 -0 0 1e5 1E300 -1e300 3.4028235E38 99.00".split(),
    *b"99999999999999999999 65535 + 1,2".split(),
    *(b"", b"250 mV", b"1.5ns", b"3 kV", b"5.0 dB", b"2\xb0C", b"7 MHz", b"0." + b"3" * 3000),
)
JSON_VALUES = (
    *(None, True, False, 0, -3, 1.5, 10**12, 1e300, 10**400, float("nan"), float("inf")),
    *("x", "1e3", "false", "", [], {}, [True] * 4, [0], [None] * 4, [float("nan")] * 4, [20.0] * 3),
    *([-2000.0] * 4, [1e300] * 4, ["1"] * 4, [[1.0]] * 4, [1, [2, [3]]], [{"description": 3}]),
    *({"value": 1}, {"error": "busy"}, {"error": {}}, {"error": None}),
)
PIECES = (
    *(b"\xff\xfe", b"\xb2", b"\xc3(", b"\x00", b"\n", b"\r\n", b"\r", b"\t", b"  ", b"\x17", "µ€😀".encode()),
    *b"\" ' , ,,,, ; :: () #9999999999 #0 (@ (@1:99) }{ {} [ Error Error-6\r\nDone\r\n\r\n Done\r\n".split(
        b" "
    ),
    *(b"[" * 3000, b'{"a":' * 2000, b"," * 500, b" " * 2000),
)
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|ON|OFF")
_DIGITS = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")


def mangle(reply: bytes, seen: list[bytes], draw: random.Random) -> bytes:
    """Return a reply with one to three things wrong with it; ``seen`` are earlier ones."""
    found = bytearray(reply)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        at = draw.randrange(len(found) + 1)
        match draw.randrange(10):
            case 0 if found:
                found[at - 1] ^= 1 << draw.randrange(8)
            case 1:
                del found[at : at + draw.randrange(1, 9)]
            case 2:
                del found[at:]
            case 3:
                found[at:at] = draw.choice(PIECES)
            case 4:
                found[at:at] = found[at : at + draw.randrange(1, 20)] * draw.choice((1, 1, 1, 50))
            case 5:
                found[at:at] = draw.randbytes(draw.randrange(1, 12))
            case 6 if seen:
                found = bytearray(draw.choice(seen))
            case 9:
                found = found * 2
            case 7 if found[:1] in (b"{", b"["):
                found = bytearray(_mangled_json(bytes(found), draw))
            case _:
                if numbers := list(_NUMBER.finditer(found)):
                    number = draw.choice(numbers)
                    found[number.start() : number.end()] = draw.choice(NUMBERS)
    return bytes(found[:20_000])


def damage(reply: bytes, draw: random.Random) -> bytes:
    """Return a reply in which one number is none any more, or as it was when there is none in it."""
    numbers = list(_DIGITS.finditer(reply))
    if not numbers:
        return reply
    number = draw.choice(numbers)
    return reply[: number.start()] + draw.choice(BROKEN) + reply[number.end() :]


def _mangled_json(reply: bytes, draw: random.Random) -> bytes:
    """Put another value in the place of one in a JSON text; leave what is none."""
    end = b"\x17" if reply.endswith(b"\x17") else b""
    try:
        content = json.loads(reply.removesuffix(end))
    except (ValueError, RecursionError):
        return reply
    holder: Any = content
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        if not keys:
            return json.dumps(draw.choice(JSON_VALUES)).encode() + end
        key = draw.choice(keys)
        if isinstance(holder[key], dict | list) and holder[key] and draw.random() < 0.6:
            holder = holder[key]
            continue
        holder[key] = draw.choice(JSON_VALUES)
        return json.dumps(content).encode() + end


def with_checksum(reply: bytes, draw: random.Random) -> bytes:
    """Return a reply of an ITLA with other data, whose checksum is right."""
    status = draw.choice((reply[0] & 0x0F, draw.randrange(16)))
    data = draw.choice((b"\0\0", b"\xff\xff", b"\x80\0", b"\x7f\xff", draw.randbytes(2), reply[2:]))
    register = draw.choice((reply[1], reply[1], reply[1], draw.randrange(256)))
    body = bytes([status, register]) + data
    return bytes([status | bip4(body) << 4]) + body[1:]
