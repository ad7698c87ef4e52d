"""Frames of the OIF ITLA multi-source agreement, the host's side (OIF-ITLA-MSA-01.2, 01.3)."""

from typing import NamedTuple

from qhal.errors import ProtocolError

OK, EXECUTION_ERROR, AEA, PENDING = range(4)

ERRORS = {
    1: "register not implemented",
    2: "register not writable",
    3: "value out of range",
    4: "ignored, an operation is pending",
    5: "ignored, the module is initialising",
    6: "extended address out of range",
    7: "extended address is read only",
    8: "general failure",
    9: "ignored while the output is enabled",
    10: "invalid configuration",
    15: "vendor specific error",
}


class Reply(NamedTuple):
    """A reply taken apart. ``checksum_flag`` is the raw CE bit."""

    checksum_flag: bool
    status: int
    register: int
    data: int


def request(register: int, data: int | None = None) -> bytes:
    """Return a read (no data) or a write of a 16-bit register; negative data are two's complement."""
    body = bytes([0 if data is None else 1, register]) + ((data or 0) & 0xFFFF).to_bytes(2, "big")
    return bytes([body[0] | _bip4(body) << 4]) + body[1:]


def parse(frame: bytes) -> Reply:
    """Take a reply apart. Bit 26 is not looked at: some modules send 0. Raises ProtocolError."""
    if not is_whole(frame):
        raise ProtocolError(f"wrong checksum in {frame.hex(' ')}")
    return Reply(bool(frame[0] & 0x08), frame[0] & 0x03, frame[1], int.from_bytes(frame[2:], "big"))


def is_whole(frame: bytes) -> bool:
    """Return whether a frame's checksum is right."""
    return frame[0] >> 4 == _bip4(frame)


def signed(data: int) -> int:
    """Return a 16-bit value as a signed number."""
    return data - 0x10000 if data & 0x8000 else data


def _bip4(frame: bytes) -> int:
    folded = frame[0] & 0x0F ^ frame[1] ^ frame[2] ^ frame[3]
    return folded >> 4 ^ folded & 0x0F
