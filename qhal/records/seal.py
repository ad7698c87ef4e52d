"""Checksum of a record's file, in front of its content and compared before the content is parsed.

libhdf5 may crash or hang on a damaged file, so it must not see one. HDF5 leaves the first bytes of a file (the user
block) to the writer: a text, padded with zeros::

    qhal calibration record
    sha256 HEX of all from byte 512 on

The checksum is not a signature: any program can compute it.
"""

import hashlib
from pathlib import Path

from qhal.errors import DataError
from qhal.files import read_whole, write_whole

FORMAT = "qhal calibration record"
BLOCK_BYTES = 512
MAX_BYTES = 4 << 30
"""Size of the largest file that is read."""


def seal(content: bytes) -> bytes:
    """Return the block of a content: what the file is, and the checksum."""
    text = f"{FORMAT}\nsha256 {hashlib.sha256(content).hexdigest()} of all from byte {BLOCK_BYTES} on\n"
    return text.encode().ljust(BLOCK_BYTES, b"\0")


def write_sealed(content: bytes, path: Path) -> None:
    """Write a content behind its block; the file is complete or absent. Raises ConfigurationError, Busy."""
    write_whole(path, seal(content) + content)


def read_sealed(path: Path) -> bytes:
    """Return a whole file, block and content. Raises DataError if a byte differs from what was written."""
    whole = read_whole(path, MAX_BYTES)
    if not whole.startswith(FORMAT.encode()):
        raise DataError(f"{path}: not a {FORMAT}")
    if whole[:BLOCK_BYTES] != seal(whole[BLOCK_BYTES:]):
        raise DataError(f"{path}: altered, cut or damaged: its content does not match its checksum")
    return whole
