"""VISA: ``visa:TCPIP::10.0.0.5::5025::SOCKET?backend=@py``, or the bare resource name.

SOCKET and ASRL resources are byte streams, INSTR and RAW resources (VXI-11, HiSLIP, GPIB, USBTMC) keep messages. Two
habits of PyVISA-py are worked around: it "opens" a connection that was refused, and it reports a closed one as a
time-out for ever; where its socket can be reached, the socket decides. The resource manager of a backend is one
object per process and is never closed: closing it would end every session.
"""

import contextlib
import errno
import os
import select
import socket
import termios
import time
import traceback
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pyvisa
from pyvisa.constants import StatusCode
from pyvisa.resources import MessageBasedResource
from pyvisa.rname import ResourceName

from qhal.errors import (
    ConfigurationError,
    ConnectTimeout,
    Disconnected,
    ProtocolError,
    QhalError,
    ReplyTimeout,
)
from qhal.transport.address import Address
from qhal.transport.base import Transport, left_s, lost
from qhal.transport.forking import forget_in_forked

_CHUNK_BYTES = 20 * 1024
_PIECE_BYTES = 4096
"""A socket that takes bytes at all takes as many as that."""


class VisaTransport(Transport):
    """A VISA resource: errors translated, time limits set only when they change."""

    def __init__(self, address: Address, settings: None = None) -> None:
        super().__init__(str(address))
        self._name = address.path
        kind = address.path.upper()
        self.keeps_messages = not (kind.endswith("::SOCKET") or kind.startswith("ASRL"))
        self.reopen_discards = self.keeps_messages or "SOCKET" in kind
        self._backend = address.take("backend") or "@py"
        self._baudrate = address.take_int("baudrate", 0, low=50, high=12_000_000)
        address.refuse_other_options()
        _check_backend(self.address, self._backend)
        if self._backend == "@py":  # a vendor's library may know the resource by another name
            try:
                ResourceName.from_string(self._name)
            except ValueError as error:
                raise ConfigurationError(f"{address}: {error}") from error
        self._resource: MessageBasedResource | None = None
        self._limit_ms = 0.0
        self._termination: int | None = None
        self._poll: select.poll | None = None
        self._writable = select.poll()
        self._takes = False
        self._socket: socket.socket | None = None
        self._unread: Callable[[], bytes] = bytes
        self._quiet = contextlib.ExitStack()

    def open(self, deadline: float) -> None:
        """Open the resource and make sure that it is really connected."""
        if self._resource is not None:
            return
        manager = self._manager()
        limit_ms = int(left_s(deadline) * 1e3) + 1
        try:
            resource: Any = manager.open_resource(self._name, open_timeout=limit_ms)
        except (ValueError, OverflowError) as error:
            raise ConfigurationError(f"{self.address}: {' '.join(str(error).split())}") from error
        except Exception as error:  # pyvisa raises four families of error for one fact
            _close_left_open(error)
            if _is_timeout(error):
                raise ConnectTimeout(f"{self.address}: no connection in time") from error
            raise Disconnected(f"{self.address}: {error}") from error
        self._resource, self._limit_ms, self._termination = resource, 0.0, None
        full = StatusCode.success_max_count_read
        self._quiet = contextlib.ExitStack()
        self._quiet.enter_context(resource.ignore_warning(full))  # a full chunk is not an event
        try:
            if self._baudrate:
                resource.baud_rate = self._baudrate
            self._watch(resource)
        except BaseException:
            self.close()
            raise
        forget_in_forked(self)

    def _manager(self) -> pyvisa.ResourceManager:
        try:
            return pyvisa.ResourceManager(self._backend)
        except Exception as error:  # a backend is another package or library, and fails in its own ways
            if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
                raise Disconnected(f"{self.address}: {error.strerror}") from error
            raise _not_loaded(self.address, self._backend, error) from error

    def close(self) -> None:
        """Close the resource, not its manager."""
        if self._resource is not None:
            with contextlib.suppress(Exception), self._quiet:
                self._resource.close()
        self._resource, self._socket, self._poll, self._unread = None, None, None, bytes

    def forget(self) -> None:
        """Close this process's descriptors; some sessions would say farewell over a connection of the parent."""
        if self._resource is not None:
            for each in _descriptors(self._resource):
                with contextlib.suppress(OSError, termios.error):
                    each.close()
            self._resource.session = None  # PyVISA ends each resource that has one
        self._resource, self._socket, self._poll, self._unread = None, None, None, bytes

    def write(self, data: bytes, deadline: float) -> None:
        """Write all bytes; of a byte stream in pieces, as the library's own time limit is that of one call."""
        if self.keeps_messages:
            self._write(data, deadline)
        else:
            for start in range(0, len(data), _PIECE_BYTES):
                self._write(data[start : start + _PIECE_BYTES], deadline)

    def read_chunk(self, deadline: float, until: bytes | int) -> bytes:
        """Read a message; of a byte stream up to a terminator, or a number of bytes, which may hold any terminator."""
        if not self.keeps_messages:
            if isinstance(until, bytes):
                return self._read(_CHUNK_BYTES, deadline, until[-1])[0]
            if not self._unread() and self._hung_up():
                raise lost(self.address, "the peer closed the connection")
            return self._read(until, deadline, None)[0]
        message, more = self._read(_CHUNK_BYTES, deadline, None)
        while more:
            if len(message) >= self.max_frame_bytes:
                raise ProtocolError(f"a message of more than {self.max_frame_bytes} bytes")
            chunk, more = self._read(_CHUNK_BYTES, deadline, None)
            message += chunk
        return message

    def readable(self) -> bool:
        """Return whether bytes or the end are there; False where the backend does not show it."""
        if self.keeps_messages:
            return False
        if self._poll is None or self._unread():
            return bool(self._unread())
        events = self._poll.poll(0)
        if not events:
            return False
        self._takes = bool(events[0][1] & select.POLLOUT)  # asked for at once, as each query asks both
        return events[0][1] != select.POLLOUT

    def _write(self, data: bytes, deadline: float) -> None:
        resource = self._ready(deadline)
        # PyVISA-py waits without a limit for a socket that takes no bytes.
        takes, self._takes = self._takes, False
        if not (takes or self._socket is None or self._writable.poll((deadline - time.monotonic()) * 1e3)):
            raise ReplyTimeout(f"the peer takes no bytes ({len(data)} left)")
        try:
            resource.visalib.write(resource.session, data)
        except Exception as error:
            raise self._translated(error) from error

    def _read(self, count: int, deadline: float, termination: int | None) -> tuple[bytes, bool]:
        """Return up to ``count`` bytes, ended early by the byte ``termination``, and whether more follow."""
        resource = self._ready(deadline)
        try:
            if termination != self._termination:
                resource.read_termination = None if termination is None else chr(termination)
                self._termination = termination
            data, status = resource.visalib.read(resource.session, count)
        except Exception as error:
            raise self._translated(error) from error
        if not data and self._hung_up():
            raise lost(self.address, "the peer closed the connection")
        return data, status == StatusCode.success_max_count_read

    def _ready(self, deadline: float) -> MessageBasedResource:
        if self._resource is None:
            raise lost(self.address, "not open")
        left_ms = (deadline - time.monotonic()) * 1e3
        if left_ms <= 0:
            raise ReplyTimeout("deadline passed")
        if not 0.9 * self._limit_ms <= left_ms <= self._limit_ms:
            self._resource.timeout = self._limit_ms = left_ms + 1.0
        return self._resource

    def _watch(self, resource: Any) -> None:
        """Reach for PyVISA-py's own socket or serial port; other backends keep theirs to themselves."""
        interface = None
        with contextlib.suppress(AttributeError, KeyError, TypeError):
            session = resource.visalib.sessions[resource.session]
            interface = session.interface
            self._unread = lambda: getattr(session, "_pending_buffer", b"")
        if interface is None or not hasattr(interface, "fileno"):
            return
        if isinstance(interface, socket.socket):
            self._socket = interface
            self._writable = select.poll()
            self._writable.register(interface.fileno(), select.POLLOUT)
            try:
                interface.getpeername()
            except OSError as error:
                raise Disconnected(f"{self.address}: connection refused") from error
        self._poll, self._takes = select.poll(), False
        self._poll.register(
            interface.fileno(), select.POLLIN | (select.POLLOUT if self._socket is not None else 0)
        )

    def _hung_up(self) -> bool:
        if self._socket is None:
            return False
        try:
            return self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _translated(self, error: Exception) -> QhalError:
        if isinstance(error, QhalError):
            return error
        if _is_timeout(error):
            if not self._hung_up():
                return ReplyTimeout("no reply")
            return lost(self.address, "the peer closed the connection")
        if isinstance(error, (pyvisa.VisaIOError, pyvisa.InvalidSession, OSError, termios.error)):
            return lost(self.address, str(error))
        raise error


def _close_left_open(error: Exception) -> None:
    """Close the socket that PyVISA-py leaves open when it fails before connecting (an unknown host, a wrong port)."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        interface = getattr(frame.f_locals.get("self"), "interface", None)
        if isinstance(interface, socket.socket):
            interface.close()


def _is_timeout(error: Exception) -> bool:
    return isinstance(error, TimeoutError) or (
        isinstance(error, pyvisa.VisaIOError) and error.error_code == StatusCode.error_timeout
    )


def _descriptors(resource: Any) -> list[Any]:
    """Return PyVISA-py's sockets and serial port of a resource; other backends keep theirs to themselves."""
    try:
        interface = resource.visalib.sessions[resource.session].interface
    except (AttributeError, KeyError, TypeError):
        return []
    inside = [getattr(interface, name, None) for name in ("sock", "_sync", "_async")]  # VXI-11, HiSLIP
    return [each for each in (interface, *inside) if hasattr(each, "fileno")]


def _check_backend(address: str, backend: str) -> None:
    """Raise ConfigurationError for a backend, ``@NAME`` or ``LIBRARY[@NAME]``, that is not installed."""
    library, _, name = backend.rpartition("@") if "@" in backend else (backend, "", "ivi")
    if library and not os.path.exists(library):
        raise _not_loaded(address, backend, f"no file {library}")
    if name not in ("ivi", "ni") and (not name.isidentifier() or find_spec(f"pyvisa_{name}") is None):
        raise _not_loaded(address, backend, "not installed")


def _not_loaded(address: str, backend: str, why: object) -> ConfigurationError:
    return ConfigurationError(
        f"{address}: VISA backend {backend!r} cannot be loaded: {why}; allowed are @py"
        " (PyVISA-py), @NAME of another package, and PATH@ivi of a vendor's library"
    )
