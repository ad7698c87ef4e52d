"""A file that appears under its name when it is whole, or not at all.

Until then it has a hidden name that cannot be guessed, in the same folder. A link at either name is never followed.
What ends the writing (a full disk, an exception, a signal) leaves neither a part of it nor a change of what was there.
"""

import fcntl
import io
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import cast

from qhal.errors import Busy, ConfigurationError, DataError

_TOKEN_BYTES = 8
_BUFFER_BYTES = 1 << 18


class NewFile(io.RawIOBase):
    """A file to be written: a binary stream, then :meth:`commit` or :meth:`discard`.

    Raises ConfigurationError when it cannot be made, Busy while another program writes the same one. ``write`` and
    ``commit`` raise DataError when the disk is full or fails.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._part = self.path.with_name(f".{self.path.name}.{secrets.token_hex(_TOKEN_BYTES)}")
        self._file: io.BufferedRandom | None = None
        try:
            if not self.path.parent.is_dir():
                raise ConfigurationError(f"{self.path}: no folder {self.path.parent}")
            if os.path.lexists(self.path) and not stat.S_ISREG(os.lstat(self.path).st_mode):
                raise ConfigurationError(f"{self.path}: exists and is not a regular file")
            # Not tempfile, whose files are the user's alone: the umask decides.
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(self._part, flags, 0o666)
            self._file = cast(io.BufferedRandom, os.fdopen(descriptor, "w+b", _BUFFER_BYTES))
            self._refuse_others()
        except (OSError, ValueError) as error:  # ValueError: a name with a NUL
            self.discard()
            if isinstance(error, ConfigurationError):
                raise
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise ConfigurationError(f"{self.path}: cannot be written: {why}") from error
        except BaseException:
            self.discard()
            raise

    def writable(self) -> bool:
        """Return True: it can be written."""
        return True

    def seekable(self) -> bool:
        """Return True: what was written can be written over."""
        return True

    def write(self, data: object, /) -> int:
        """Append bytes; once the file was discarded nothing happens, so that libraries can close what they hold."""
        if self._file is None:
            return memoryview(data).nbytes  # type: ignore[arg-type]
        try:
            return self._file.write(data)  # type: ignore[arg-type]
        except OSError as error:
            raise self._failed(error) from error

    def seek(self, place: int, whence: int = 0, /) -> int:
        """Go to a byte of what was written."""
        return 0 if self._file is None else self._file.seek(place, whence)

    def tell(self) -> int:
        """Return the byte that is written next."""
        return 0 if self._file is None else self._file.tell()

    def commit(self) -> None:
        """Give the file its name; it is on the disk when this returns."""
        if self._file is None:
            raise DataError(f"{self.path}: was discarded")
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            os.replace(self._part, self.path)
        except OSError as error:
            raise self._failed(error) from error
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove what was written so far; more calls do nothing."""
        file, self._file = self._file, None
        if file is None:
            return
        try:
            # What is buffered may not fit on the disk: the descriptor is closed all the same, and the file goes.
            with suppress(OSError):
                file.close()
        finally:
            self._part.unlink(missing_ok=True)

    def close(self) -> None:
        """Discard what was not committed."""
        self.discard()
        super().close()

    def _failed(self, error: OSError) -> DataError:
        self.discard()
        return DataError(f"{self.path}: cannot be written: {error.strerror or error}")

    def _refuse_others(self) -> None:
        """Hold a lock as long as this is written, and raise Busy when another holds one for the same name."""
        assert self._file is not None
        if not _lock(self._file.fileno()):
            return  # a file system without locks
        prefix, length = f".{self.path.name}.", len(self._part.name)
        for name in os.listdir(self.path.parent):
            if name.startswith(prefix) and len(name) == length and name != self._part.name:
                self._refuse(self.path.parent / name)

    def _refuse(self, other: Path) -> None:
        try:
            descriptor = os.open(other, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return  # it was finished just now, or is not a file of ours
        try:
            if not _lock(descriptor):
                raise Busy(f"{self.path}: is being written by another program")
        finally:
            os.close(descriptor)


def write_whole(path: str | Path, content: bytes) -> None:
    """Write a content at once. Raises ConfigurationError when it cannot be written, Busy while another does."""
    file = NewFile(path)
    try:
        file.write(content)
        file.commit()
    except DataError as error:
        raise ConfigurationError(str(error)) from error
    finally:
        file.discard()


def read_whole(path: str | Path, most_bytes: int) -> bytes:
    """Return the content of a plain file. Raises DataError when it is none, longer than that, or cannot be read."""
    try:
        # Not to block: a pipe would be waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise DataError(f"{path}: cannot be read: not a regular file")
            content = file.read(most_bytes + 1)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) > most_bytes:
        raise DataError(f"{path}: more than {most_bytes} bytes")
    return content


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
