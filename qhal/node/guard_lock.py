"""What guards watch and work at: a file for each guard, locked while the guard lives, which a new owner reads.

A new owner must not open a device between the end of the old owner and the moment at which the old one's guard makes it
safe. So a guard notes what it watches before its owner opens anything, and a new owner waits for each guard that acts,
or whose owner has ended.
"""

import contextlib
import fcntl
import json
import logging
import os
import select
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from qhal.errors import Busy

_POLL_S = 0.05

log = logging.getLogger("qhal")


class Notice:
    """The file of this process, a guard. Raises OSError and Busy when it cannot be made; later faults do no harm."""

    def __init__(self, owner: int, node: str, addresses: Mapping[str, str]) -> None:
        self._content: dict[str, Any] = {
            "guard": os.getpid(),
            "owner": owner,
            "node": node,
            "acts": False,
            "devices": dict(addresses),
        }
        folder = _folder()
        folder.mkdir(mode=0o700, exist_ok=True)
        _check(folder)
        token = f"{os.getpid()}-{os.urandom(8).hex()}"
        unfinished, self._path = folder / f"unfinished-{token}", folder / f"guard-{token}.json"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(unfinished, flags, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            text = json.dumps(self._content).encode()
            self._size = len(text)
            if os.write(self._descriptor, text) != self._size:
                raise OSError(f"{unfinished}: cut off")
            unfinished.rename(self._path)
        except BaseException:
            os.close(self._descriptor)
            unfinished.unlink(missing_ok=True)
            raise

    def act(self) -> None:
        """Note that the guard makes the devices safe, its owner dead or not."""
        self._content["acts"] = True
        self._write()

    def done(self, name: str) -> None:
        """Note that a device is safe, and closed: a new owner does not wait for it any more."""
        self._content["devices"].pop(name, None)
        self._write()

    def end(self) -> None:
        """Take the notice away."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            os.close(self._descriptor)

    def _write(self) -> None:
        """Write as many bytes as before in one piece: a full disk has room for them, and no reader sees half of it."""
        with contextlib.suppress(OSError):
            os.pwrite(self._descriptor, json.dumps(self._content).encode().ljust(self._size), 0)


def wait_for_guards(addresses: Iterable[str], timeout_s: float, who: str = "qhal") -> None:
    """Return when no guard works at these addresses, or is about to; ``who`` waits, which is logged.

    Raises Busy, naming guard and device, when one still does after ``timeout_s``, and when that cannot be found out.
    """
    wanted, deadline, logged = set(addresses), time.monotonic() + timeout_s, False
    while (work := _work_at(wanted)) is not None:
        if time.monotonic() > deadline:
            raise Busy(f"{work}: it has not succeeded for {timeout_s:g} s; SIGTERM ends it")
        if not logged:
            log.warning("%s: waits up to %g s, %s", who, timeout_s, work)
            logged = True
        time.sleep(_POLL_S)


def _work_at(addresses: set[str]) -> str | None:
    """Return in words which guard makes a device at one of these addresses safe; None when none does."""
    for content in _notices() if addresses else ():
        for name, address in content["devices"].items():
            if address in addresses and (content["acts"] or _has_ended(content["owner"])):
                return f"{address}: guard {content['guard']} makes {name} of node {content['node']!r} safe"
    return None


def _notices() -> Iterator[dict[str, Any]]:
    """Yield what the guards that live have noted, and take away what dead ones have left."""
    folder = _folder()
    try:
        if not os.path.lexists(folder):
            return
        _check(folder)
        for path in sorted(folder.glob("guard-*.json")):
            content = _read(path)
            if content is not None:
                yield content
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise Busy(f"{folder}: whether a guard is at work is unknown: {reason}") from error


def _read(path: Path) -> dict[str, Any] | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:  # that guard has just ended
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return dict(json.loads(os.pread(descriptor, 1 << 20, 0)))
    else:
        path.unlink(missing_ok=True)
        return None
    finally:
        os.close(descriptor)


def _has_ended(process: int) -> bool:
    """Return whether a process has ended, whether its parent has noticed that or not."""
    try:
        descriptor = os.pidfd_open(process)
    except ProcessLookupError:
        return True
    except (OSError, AttributeError):  # an old kernel, or another system
        return not Path(f"/proc/{process}").exists() if Path("/proc/self").exists() else False
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(0))
    finally:
        os.close(descriptor)


def _folder() -> Path:
    """Return this user's folder of notices, which need not be there.

    Not by ``tempfile``, which writes a file to find out and fails on a full disk.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    base = Path(runtime) if runtime and os.access(runtime, os.W_OK) else Path("/tmp")
    return base / f"qhal-{os.getuid()}"


def _check(folder: Path) -> None:
    """Raise Busy unless the folder is this user's own, and others cannot write there."""
    found = folder.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o022 or not folder.is_dir() or folder.is_symlink():
        raise Busy(f"{folder}: made by another user, or writable by others; remove it")
