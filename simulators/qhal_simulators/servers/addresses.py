"""Addresses of a simulation: a folder of serial lines and TCP ports, new every time or the same every time."""

import errno
import fcntl
import hashlib
import os
import socket
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from qhal.errors import ConfigurationError

_FIRST_PORT, _LAST_PORT = 61_000, 65_535
"""Dynamic ports (RFC 6335) that Linux gives to no outgoing connection unless told to."""
_MOST_LINKS = 64
_TERMINALS = "/dev/pts/"


class Addresses(Protocol):
    """Gives out addresses while a simulation starts; ``close`` gives all of them back."""

    def open(self) -> None:
        """Take hold of the folder. Raises ConfigurationError when another simulation has it."""
        ...

    def line(self, name: str) -> Path:
        """Return where a serial line is linked to. Raises ConfigurationError when something else is there."""
        ...

    def tcp_port(self, use: str) -> int:
        """Return the next TCP port, 0 for any that is free. Raises ConfigurationError when it is taken."""
        ...

    def close(self) -> None:
        """Leave nothing behind."""
        ...


class NewAddresses:
    """A temporary folder, and whatever ports are free."""

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def open(self) -> None:
        """Make the folder."""
        self._folder = tempfile.TemporaryDirectory(prefix="qhal-")

    def line(self, name: str) -> Path:
        """Return a path in the folder."""
        assert self._folder is not None
        return Path(self._folder.name) / name

    def tcp_port(self, use: str) -> int:
        """Return 0."""
        del use
        return 0

    def close(self) -> None:
        """Remove the folder."""
        if self._folder is not None:
            self._folder.cleanup()


class FixedAddresses:
    """A folder that stays, and ports from ``first_port`` upwards in the order of asking (0: any free ones).

    The folder is locked while it is in use, and what a killed simulation left in it is removed. ``ours``: it is for
    simulations alone, and removed afterwards whoever made it.
    """

    def __init__(self, folder: Path, first_port: int, *, ours: bool = False) -> None:
        self._folder = Path(os.path.abspath(folder))
        self._ours = ours
        self._next_port = first_port
        self._claims: list[socket.socket] = []
        self._made: list[Path] = []
        self._lock = -1

    def open(self) -> None:
        """Make the folder if it is not there, and lock it."""
        if set(str(self._folder)) & set("?#&\n"):
            raise ConfigurationError(
                f"{self._folder}: an address cannot hold ?, #, & or a line end (--at FOLDER)"
            )
        try:
            self._make_and_lock()
            for entry in self._folder.iterdir():
                if _is_line(entry):
                    entry.unlink()
        except BlockingIOError as error:
            raise ConfigurationError(
                f"{self._folder}: in use by another simulation; choose another folder with --at FOLDER"
            ) from error
        except OSError as error:
            raise ConfigurationError(
                f"{error.filename or self._folder}: {error.strerror} (--at FOLDER)"
            ) from error

    def line(self, name: str) -> Path:
        """Return the path of a line in the folder."""
        path = self._folder / name
        if os.path.lexists(path):
            raise ConfigurationError(
                f"{path}: exists and is not a simulated line; choose another folder with --at FOLDER"
            )
        return path

    def tcp_port(self, use: str) -> int:
        """Return the next port, for ``use``."""
        number = self._next_port
        if number == 0:
            return 0
        self._next_port += 1
        try:
            self._claims.append(_claimed(number))
        except OverflowError:
            raise ConfigurationError(
                f"port {number} for {use}: the last one is 65535 (--port-base N)"
            ) from None
        except OSError as error:
            raise ConfigurationError(
                f"port {number} for {use} is taken ({error.strerror}); choose others with --port-base N"
            ) from error
        return number

    def close(self) -> None:
        """Give back ports and lock; folders that were made here and are empty are removed."""
        for claim in self._claims:
            claim.close()
        if self._lock < 0:
            return
        for folder in (self._folder, self._folder.parent):
            if self._ours or folder in self._made:
                with suppress(OSError):
                    folder.rmdir()
        os.close(self._lock)
        self._lock = -1

    def _make_and_lock(self) -> None:
        while True:
            for folder in (self._folder.parent, self._folder) if self._ours else (self._folder,):
                with suppress(FileExistsError):
                    folder.mkdir(mode=0o700)
                    self._made.append(folder)
            try:
                descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
            except FileNotFoundError:  # another simulation ended just now, and removed it
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                raise
            with suppress(FileNotFoundError):
                if os.path.samestat(os.stat(self._folder), os.fstat(descriptor)):
                    self._lock = descriptor
                    return
            os.close(descriptor)


def addresses_for(name: str, at: Path | None, first_port: int | None) -> FixedAddresses:
    """Return the addresses of a simulation called ``name``: the same for each start by one user.

    ``at`` and ``first_port`` are the user's choice. Without them the folder is one in the user's own runtime (or
    temporary) directory, and the ports follow from the name, or from ``at``. Raises ConfigurationError.
    """
    folder = at or _own_folder() / name
    if first_port is None:
        first_port = _first_port(f"{os.getuid()}:{os.path.abspath(at) if at else name}")
    return FixedAddresses(folder, first_port, ours=at is None)


def _own_folder() -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime and os.access(runtime, os.W_OK):
        return Path(runtime) / "qhal"
    folder = Path(tempfile.gettempdir()) / f"qhal-{os.getuid()}"
    with suppress(FileNotFoundError):
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise ConfigurationError(
                f"{folder}: belongs to another user; choose another folder with --at FOLDER"
            )
    return folder


def _first_port(text: str) -> int:
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
    return _FIRST_PORT + int.from_bytes(digest[:4]) % (_LAST_PORT - _MOST_LINKS - _FIRST_PORT)


def _claimed(number: int) -> socket.socket:
    """Return what keeps other simulations off a port that may be listened to only later. Raises OSError."""
    with socket.socket() as probe:
        # As servers do it: connections that ended a moment ago do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", number))
        probe.listen()
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0qhal-simulated-port-{number}")
    except OSError as error:
        claim.close()
        raise OSError(errno.EADDRINUSE, "another simulation has it") from error
    return claim


def _is_line(path: Path) -> bool:
    return path.is_symlink() and os.readlink(path).startswith(_TERMINALS)
