"""Who is making a device safe: a file lock by address, held by a guard at work, waited for by a new owner."""

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path

from qhal.errors import Busy

_POLL_S = 0.05


@contextlib.contextmanager
def at_work(address: str, what: str) -> Iterator[None]:
    """Hold the lock of an address for a block; ``what`` is told to those who wait. Waits for another holder."""
    descriptor = os.open(_path(address), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"guard {os.getpid()} makes {what} safe".encode())
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def wait_for_guards(addresses: Iterable[str], timeout_s: float) -> None:
    """Return when no guard works at these addresses. Raises Busy, naming guard and device, when one still does."""
    deadline = time.monotonic() + timeout_s
    for address in addresses:
        while (holder := _holder(address)) is not None:
            if time.monotonic() > deadline:
                raise Busy(
                    f"{address}: {holder}: its owner died, and it has not succeeded for {timeout_s:g} s;"
                    " SIGTERM ends it"
                )
            time.sleep(_POLL_S)


def _holder(address: str) -> str | None:
    """Return what the holder of an address's lock says of itself; None when nobody holds it."""
    try:
        descriptor = os.open(_path(address), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(descriptor, 200, 0).decode("utf-8", "replace") or "a guard"
    else:
        return None
    finally:
        os.close(descriptor)


def _path(address: str) -> Path:
    return _folder() / f"guard-{sha256(address.encode()).hexdigest()[:24]}.lock"


def _folder() -> Path:
    """Return this user's folder of locks, which no other user can write. Raises Busy when another user made it."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    base = Path(runtime) if runtime and os.access(runtime, os.W_OK) else Path(tempfile.gettempdir())
    folder = base / (f"qhal-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o022 or not folder.is_dir() or folder.is_symlink():
        raise Busy(f"{folder}: made by another user, or writable by others; remove it")
    return folder
