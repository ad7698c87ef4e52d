"""Frames of the Thorlabs APT protocol, the device's side (Host-Controller Communications Protocol, issue 28).

A header has 6 bytes, little-endian: id, then either two parameters or, when the destination has bit 7 set, the
length of the data that follow; then destination and source. Without a checksum.
"""

import struct
from typing import NamedTuple

HOST, DEVICE = 0x01, 0x50


class Message(NamedTuple):
    """A message taken apart; ``data`` is empty for a short one."""

    id: int
    param1: int
    param2: int
    data: bytes


def short(message_id: int, param1: int = 0, param2: int = 0) -> bytes:
    """Return a message of the device without data."""
    return struct.pack("<HBBBB", message_id, param1, param2, HOST, DEVICE)


def long(message_id: int, data: bytes) -> bytes:
    """Return a message of the device with data."""
    return struct.pack("<HHBB", message_id, len(data), HOST | 0x80, DEVICE) + data


def split(buffer: bytes) -> tuple[list[Message], bytes]:
    """Return the complete messages in a buffer, and the rest."""
    messages, at = [], 0
    while len(buffer) - at >= 6:
        message_id, length, destination, _ = struct.unpack_from("<HHBB", buffer, at)
        end = at + 6 + (length if destination & 0x80 else 0)
        if len(buffer) < end:
            break
        messages.append(Message(message_id, buffer[at + 2], buffer[at + 3], buffer[at + 6 : end]))
        at = end
    return messages, buffer[at:]
