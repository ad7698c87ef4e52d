"""Messages of the Thorlabs APT protocol, the host's side.

"Motion Controllers Host-Controller Communications Protocol", issue 28: header of 6 bytes, little-endian; with
bit 7 of the destination set, the second word is the length of the data that follow.
"""

import struct

from qhal.errors import ProtocolError
from qhal.transport.reader import Reader

_HOST, _DEVICE = 0x01, 0x50
_LONGEST_DATA = 1024


def request(message_id: int, param1: int = 0, param2: int = 0) -> bytes:
    """Return a message without data."""
    return struct.pack("<HBBBB", message_id, param1, param2, _DEVICE, _HOST)


def request_with_data(message_id: int, data: bytes) -> bytes:
    """Return a message with data."""
    return struct.pack("<HHBB", message_id, len(data), _DEVICE | 0x80, _HOST) + data


def frame(reader: Reader, deadline: float) -> bytes:
    """Read one message of the device. Raises ProtocolError for other bytes."""
    header = reader.read_exactly(6, deadline)
    _, length, destination, source = struct.unpack("<HHBB", header)
    if destination & 0x7F != _HOST or source != _DEVICE:
        raise ProtocolError(f"{header.hex(' ')} is not an APT header from device to host")
    if not destination & 0x80:
        return header
    if length > _LONGEST_DATA:
        raise ProtocolError(f"an APT message announces {length} bytes of data")
    return header + reader.read_exactly(length, deadline)


def message_id(message: bytes) -> int:
    """Return the id of a message."""
    return int.from_bytes(message[:2], "little")
