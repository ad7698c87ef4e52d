"""What tells a file that was changed from one that was not: a checksum before the content, compared before it is read.

libhdf5 may crash or hang on a damaged file, so it must not see one. HDF5 leaves the first bytes of a file (the user
block) to whoever writes it; a text stands there, the rest is zeros::

    qhal calibration record
    sha256 HEX of all from byte 512 on

Anybody can seal a file: this is no signature.
"""

import hashlib
from pathlib import Path

from qhal.errors import DataError
from qhal.files import read_whole, write_whole

FORMAT = "qhal calibration record"
BLOCK_BYTES = 512
MOST_BYTES = 4 << 30
"""Of a record that is read."""


def seal(content: bytes) -> bytes:
    """Return the block that belongs before a content."""
    text = f"{FORMAT}\nsha256 {hashlib.sha256(content).hexdigest()} of all from byte {BLOCK_BYTES} on\n"
    return text.encode().ljust(BLOCK_BYTES, b"\0")


def write_sealed(content: bytes, path: Path) -> None:
    """Write a content behind its seal; the file is there whole or not at all. Raises ConfigurationError, Busy."""
    write_whole(path, seal(content) + content)


def read_sealed(path: Path) -> bytes:
    """Return a whole file, block and content. Raises DataError when one byte is not as it was written."""
    whole = read_whole(path, MOST_BYTES)
    if not whole.startswith(FORMAT.encode()):
        raise DataError(f"{path}: no {FORMAT}")
    if whole[:BLOCK_BYTES] != seal(whole[BLOCK_BYTES:]):
        raise DataError(f"{path}: altered, cut or damaged: its content does not have the checksum before it")
    return whole
