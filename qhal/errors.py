"""The one tree of exceptions; every leaf is also the built-in error a caller would expect.

::

    QhalError
    |-- ConfigurationError   (ValueError)           a file, an address or an option is wrong
    |-- OutOfRange           (ValueError)           an argument is beyond the device's limits
    |-- Unsupported          (NotImplementedError)  this unit cannot do that
    |-- ReplyTimeout         (TimeoutError)         no complete reply before the deadline
    |-- Disconnected         (ConnectionError)      the connection is gone or cannot be opened
    |   `-- ConnectTimeout   (TimeoutError)         it was not opened before the deadline
    |-- ProtocolError        (RuntimeError)         bytes came that the protocol does not allow
    |-- WrongDevice          (ConnectionError)      another device answers at this address
    |-- DeviceError          (RuntimeError)         the device refused or reported a fault
    |   |-- NoValue          (ValueError)           the device answers that it has no value
    |   `-- PositionUnknown  (RuntimeError)         it works, but does not know its position before homing
    |-- DataError            (ValueError)           a file or stream of tags is damaged or of another kind
    |-- InvalidRecord        (RuntimeError)         a calibration record does not hold here, or not any more
    |-- Busy                 (RuntimeError)         something else holds what is needed now
    `-- OpenFailed           (ConnectionError)      several devices of a node failed to open

Errors of the libraries below (pyserial, PyVISA, libzmq, sockets) are translated where the
bytes leave the process, in :mod:`qhal.transport`, and kept as ``__cause__``.
"""

from collections.abc import Mapping


class QhalError(Exception):
    """Any failure that qhal reports. Never raised itself."""


class ConfigurationError(QhalError, ValueError):
    """A node file, scenario file, address or option is wrong. Nothing was opened or sent."""


class OutOfRange(QhalError, ValueError):
    """An argument is beyond what the device or the node file allows. Nothing was sent."""


class Unsupported(QhalError, NotImplementedError):
    """The unit has no such function or channel. Nothing was sent."""


class ReplyTimeout(QhalError, TimeoutError):
    """No complete reply came before the deadline. The connection is tainted until it is resynchronised."""


class Disconnected(QhalError, ConnectionError):
    """The connection is gone or cannot be opened; the next call tries to open it again."""


class ConnectTimeout(Disconnected, TimeoutError):
    """The peer did not accept a connection before the deadline. Nothing was sent."""


class ProtocolError(QhalError, RuntimeError):
    """Bytes came that the protocol does not allow here. The connection is tainted."""


class WrongDevice(QhalError, ConnectionError):
    """What answers at the address is not the device that the node file or the driver expects."""


class DeviceError(QhalError, RuntimeError):
    """The device understood and refused, or reported a fault of its own."""


class NoValue(DeviceError, ValueError):
    """The device answered, and the answer is that it has no value: beyond its range, or not measured.

    ``below_range``: the quantity is too small for it (no light on a power meter).
    """

    def __init__(self, message: str, *, below_range: bool = False) -> None:
        self.below_range = below_range
        super().__init__(message)


class PositionUnknown(DeviceError, RuntimeError):
    """The device works but does not know its position: it has not been homed since power-up."""


class DataError(QhalError, ValueError):
    """A file or stream of data is damaged, cut or of another kind.

    ``offset``: the byte at which it is, None when that has no place. What came before it was delivered.
    """

    def __init__(self, message: str, offset: int | None = None) -> None:
        self.offset = offset
        super().__init__(message if offset is None else f"{message} (byte {offset})")


class InvalidRecord(QhalError, RuntimeError):
    """A calibration record does not hold: out of date, other instruments, settings or path, or a poor fit."""


class Busy(QhalError, RuntimeError):
    """A stream, an owner or a guard at work holds what this call needs."""


class OpenFailed(QhalError, ConnectionError):
    """Some devices of a node could not be opened; all are reported together.

    ``failures`` maps the device's name to its error. Devices that did open were closed again.
    """

    def __init__(self, node: str, failures: Mapping[str, QhalError]) -> None:
        self.failures = dict(failures)
        lines = [f"{name}: {reason(name, error)}" for name, error in failures.items()]
        super().__init__(f"node {node!r}: {len(lines)} device(s) did not open\n  " + "\n  ".join(lines))


def reason(name: str, error: Exception) -> str:
    """Return what an error of a device says, with its type, for a line that names the device before it."""
    text = str(error).removeprefix(f"{name}: ")
    return f"{type(error).__name__}: {text.removeprefix(name).lstrip() if text.startswith(f'{name} (') else text}"
