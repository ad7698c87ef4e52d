"""A pseudo terminal that looks like a serial line, at a stable path."""

import asyncio
import contextlib
import errno
import fcntl
import os
import termios
import tty
from pathlib import Path

from qhal_simulators.instrument import Connection, Instrument
from qhal_simulators.servers.endpoint import OUTPUT_LIMIT_BYTES, Endpoint
from qhal_simulators.simulated_time import SimulationClock

_CHUNK_BYTES = 1 << 16
_RELEASE_S = 0.25
_TIOCGEXCL = 0x80045440
"""Whether a terminal is in exclusive use; the module termios does not name it."""


class PtyEndpoint(Endpoint):
    """A pty; the client opens a symbolic link, which outlives an unplugged line as a udev name does."""

    def __init__(
        self, name: str, connection: str, instrument: Instrument, clock: SimulationClock, path: Path
    ) -> None:
        super().__init__(name, connection, instrument, clock)
        self._path = path
        self._master = self._slave = -1
        self._connection: Connection | None = None
        self._waiting = b""
        self._releasing: asyncio.TimerHandle | None = None

    @property
    def address(self) -> str:
        """The address of the stable path."""
        return f"serial://{self._path}"

    async def start(self) -> None:
        """Open a pty and point the path at it."""
        self._master, self._slave = os.openpty()
        # The slave stays open here: a client that closes the line must not hang it up for the next one.
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        fresh = self._path.with_name(f".{self._path.name}")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(os.ttyname(self._slave))
        fresh.replace(self._path)
        self._waiting = b""
        self._connection = self.attach(self._write)
        asyncio.get_running_loop().add_reader(self._master, self._read)
        self._release()

    def stop(self, *, reset: bool = False) -> None:
        """Unplug: the client's descriptor reads the end, the path is gone."""
        del reset
        if self._master < 0:
            return
        if self._releasing is not None:
            self._releasing.cancel()
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._master)
        loop.remove_writer(self._master)
        self._path.unlink(missing_ok=True)
        os.close(self._slave)
        os.close(self._master)
        self._master = self._slave = -1
        if self._connection is not None:
            self._connection.closed()

    def _release(self) -> None:
        """Let the line be opened again once its client is gone.

        A client that was killed leaves the terminal marked as in exclusive use. On a real line the mark goes with the
        last one who has it open, but here the slave stays open.
        """
        status = os.fstat(self._slave)
        where = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
        if fcntl.ioctl(self._slave, _TIOCGEXCL, bytes(4)) != bytes(4):
            locks = Path("/proc/locks").read_text(encoding="ascii").splitlines()
            if not any("FLOCK" in lock and f" {where} " in lock for lock in locks):
                fcntl.ioctl(self._slave, termios.TIOCNXCL)
        self._releasing = asyncio.get_running_loop().call_later(_RELEASE_S, self._release)

    def _read(self) -> None:
        try:
            data = os.read(self._master, _CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno == errno.EIO:  # no process has the other side open
                return
            raise
        if self._connection is not None:
            self.deliver(self._connection, data)

    def _write(self, data: bytes) -> None:
        if self._master < 0 or len(self._waiting) + len(data) > OUTPUT_LIMIT_BYTES:
            self.dropped += 1
            return
        if self._waiting:
            self._waiting += data
            return
        self._waiting = data
        self._flush()

    def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(BlockingIOError):
            written = os.write(self._master, self._waiting)
            self._waiting = self._waiting[written:]
        if self._waiting:
            loop.add_writer(self._master, self._flush)
        else:
            loop.remove_writer(self._master)
