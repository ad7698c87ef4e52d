"""Frames of the OIF ITLA multi-source agreement, the module's side (OIF-ITLA-MSA-01.2/01.3).

32 bits, most significant byte first. Towards the module: checksum, LstRsp, R/W, register, data. From it:
checksum, CE, a constant 1, status, register, data. The checksum is BIP-4 over the other 28 bits.
"""

from enum import IntEnum
from typing import NamedTuple


class Status(IntEnum):
    """Status of a reply."""

    OK = 0
    EXECUTION_ERROR = 1
    AEA = 2
    PENDING = 3


class Error(IntEnum):
    """Error field of the NOP register: why the last command was not executed."""

    OK = 0
    NOT_IMPLEMENTED = 1
    NOT_WRITABLE = 2
    VALUE_RANGE = 3
    PENDING = 4
    INITIALISING = 5
    EXTENDED_RANGE = 6
    EXTENDED_READ_ONLY = 7
    GENERAL = 8
    OUTPUT_ENABLED = 9
    CONFIGURATION = 10
    VENDOR = 15


class Request(NamedTuple):
    """A request taken apart."""

    repeat: bool
    write: bool
    register: int
    data: int


def bip4(frame: bytes) -> int:
    """Return the checksum of a frame, its own checksum bits left out."""
    folded = frame[0] & 0x0F ^ frame[1] ^ frame[2] ^ frame[3]
    return folded >> 4 ^ folded & 0x0F


def parse(frame: bytes) -> Request | None:
    """Return a request, or None when its checksum is wrong."""
    if frame[0] >> 4 != bip4(frame):
        return None
    data = int.from_bytes(frame[2:], "big")
    return Request(bool(frame[0] & 0x08), bool(frame[0] & 0x01), frame[1], data)


def reply(status: Status, register: int, data: int, *, checksum_error: bool, constant_bit: bool) -> bytes:
    """Return a reply."""
    head = (0x08 if checksum_error else 0) | (0x04 if constant_bit else 0) | status
    frame = bytes([head, register]) + (data & 0xFFFF).to_bytes(2, "big")
    return bytes([head | bip4(frame) << 4]) + frame[1:]
