"""Which programs use a serial line, as far as Linux shows it: who locked it, else who has it open."""

import os
from contextlib import suppress
from pathlib import Path

_LOCKS = Path("/proc/locks")


def users(path: str) -> str:
    """Return what keeps a line from being opened: ``in use by minicom (process 4711)``.

    A lock names its process. Without one it is not known which of the programs that have the line open keeps it, so
    all are named; those of other users are not shown to anyone but root.
    """
    if locker := _locker(path):
        return f"in use by {_program(locker)}"
    if holders := _holders(path):
        return f"in use, open in {', '.join(map(_program, holders))}"
    return "in use by another program"


def _locker(path: str) -> int | None:
    """Return the process that holds a lock of the file (``flock``), None when none is shown."""
    with suppress(OSError, ValueError):
        file = os.stat(path)
        place = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}:{file.st_ino}"
        for line in _LOCKS.read_text("ascii").splitlines():
            _, kind, _, _, process, locked, *_ = line.replace("->", "").split()
            if kind == "FLOCK" and locked == place and int(process) > 0:
                return int(process)
    return None


def _holders(path: str) -> list[int]:
    place, found = os.path.realpath(path), []
    for process in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):  # it ended, or is another user's
            folder = f"/proc/{process}/fd"
            if any(os.readlink(f"{folder}/{name}") == place for name in os.listdir(folder)):
                found.append(int(process))
    return found


def _program(process: int) -> str:
    if process == os.getpid():
        return f"this program (process {process})"
    try:
        name = Path(f"/proc/{process}/comm").read_text("utf-8", "replace").strip()
    except OSError:
        return f"another program (process {process})"
    return f"{name} (process {process})"
