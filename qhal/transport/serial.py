"""Serial lines and ptys: ``serial:///dev/ttyUSB0?baudrate=9600``.

pyserial opens and configures the line; bytes are then moved on its descriptor in whole chunks, because
its ``read_until`` costs one system call and one ``select`` a byte.
"""

import contextlib
import errno
import fcntl
import os
import select
import termios
import time
from typing import TYPE_CHECKING

from qhal.errors import ConfigurationError, Disconnected, ReplyTimeout
from qhal.transport.address import Address
from qhal.transport.base import Transport, lost
from qhal.transport.forking import forget_in_forked
from qhal.transport.settings import SerialSettings
from qhal.transport.users import users

if TYPE_CHECKING:
    from serial import Serial

_CHUNK_BYTES = 1 << 16
_SLOWEST_BAUD, _FASTEST_BAUD = 50, 12_000_000
_PARITIES = {"none": "N", "even": "E", "odd": "O"}


class SerialTransport(Transport):
    """A serial line held for this process alone."""

    loads_when_opened = ("serial",)

    def __init__(self, address: Address, settings: SerialSettings | None = None) -> None:
        super().__init__(str(address))
        self._path = address.file()
        self._settings = settings = settings or SerialSettings()
        self._baudrate = address.take_int(
            "baudrate", settings.baudrate, low=_SLOWEST_BAUD, high=_FASTEST_BAUD
        )
        self._stopbits = int(address.take_word("stopbits", "1", "2") or settings.stopbits)
        self._parity = _PARITIES[address.take_word("parity", *_PARITIES) or settings.parity]
        address.refuse_other_options()
        self._serial: Serial | None = None
        self._descriptor = -1
        self._poll = select.poll()

    def open(self, deadline: float) -> None:
        """Open and lock the line. Raises Disconnected when it is absent or in use by another program."""
        if self._serial is not None:
            return
        try:
            import serial
        except OSError as error:
            raise Disconnected(f"{self.address}: {error}") from error

        line = serial.Serial()
        line.port, line.baudrate, line.stopbits = self._path, self._baudrate, self._stopbits
        line.parity, line.rtscts, line.timeout = self._parity, self._settings.rtscts, 0
        line.exclusive = True
        if self._settings.dtr is not None:
            line.dtr = self._settings.dtr
        if self._settings.rts is not None:
            line.rts = self._settings.rts
        try:
            line.open()
            # pyserial's lock binds only those who ask for it; this one binds everybody but root.
            fcntl.ioctl(line.fileno(), termios.TIOCEXCL)
        except ValueError as error:
            raise ConfigurationError(f"{self.address}: {error}") from error
        except (OSError, termios.error) as error:
            in_use = isinstance(error, OSError) and error.errno in (errno.EBUSY, errno.EAGAIN)
            line.close()
            raise Disconnected(f"{self.address}: {users(self._path) if in_use else _why(error)}") from error
        self._serial, self._descriptor = line, line.fileno()
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLIN)
        forget_in_forked(self)

    def close(self) -> None:
        """Close the line."""
        if self._serial is not None:
            with contextlib.suppress(OSError, termios.error):
                fcntl.ioctl(self._descriptor, termios.TIOCNXCL)
        self.forget()

    def forget(self) -> None:
        """Close this process's descriptor; the line stays locked while another process has it open."""
        if self._serial is not None:
            with contextlib.suppress(OSError, termios.error):
                self._serial.close()
        self._serial, self._descriptor = None, -1
        self._poll = select.poll()  # the number of the descriptor may soon be another file's

    def write(self, data: bytes, deadline: float) -> None:
        """Write all bytes to the line's output queue."""
        if self._descriptor < 0:
            raise lost(self.address, "not open")
        while True:
            try:
                written = os.write(self._descriptor, data)
            except BlockingIOError:
                written = 0
            except OSError as error:
                raise lost(self.address, error.strerror or str(error)) from error
            if written == len(data):
                return
            data = data[written:]
            left_ms = (deadline - time.monotonic()) * 1e3
            writable = left_ms > 0 and select.select([], [self._descriptor], [], left_ms * 1e-3)[1]
            if not writable:
                raise ReplyTimeout(f"the line takes no more bytes ({len(data)} left)")

    def read_chunk(self, deadline: float, until: bytes | int) -> bytes:
        """Read what has arrived, or wait for it."""
        if self._descriptor < 0:
            raise lost(self.address, "not open")
        left_ms = (deadline - time.monotonic()) * 1e3
        if left_ms <= 0 or not self._poll.poll(left_ms):
            raise ReplyTimeout("no reply")
        try:
            data = os.read(self._descriptor, _CHUNK_BYTES)
        except BlockingIOError as error:
            raise ReplyTimeout("no reply") from error
        except OSError as error:
            raise lost(self.address, error.strerror or str(error)) from error
        if not data:
            raise lost(self.address, "the line hung up")
        return data

    def readable(self) -> bool:
        """Return whether bytes, or the end of the line, have arrived."""
        return bool(self._poll.poll(0))


def _why(error: BaseException) -> str:
    """Return why a line cannot be opened: pyserial says it twice, with numbers."""
    first = error
    while first.__context__ is not None:
        first = first.__context__
    number = first.args[0] if first.args else None
    if not isinstance(number, int):
        return str(error)
    return "not a serial line" if number == errno.ENOTTY else os.strerror(number)
