"""Base class of instruments that speak SCPI, and the entries of the table that such a driver is."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Protocol, TypeVar

from qhal.devices.declaration import Identity
from qhal.devices.device import Device
from qhal.devices.scpi import Scpi
from qhal.errors import WrongDevice
from qhal.transport import replies
from qhal.transport.frames import line
from qhal.transport.proof import Proof

Parsed = TypeVar("Parsed")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Idn:
    """What a model answers to ``*IDN?``.

    ``expected`` is what an error calls it, with its article; ``maker`` and ``model`` are regular expressions for the
    beginning of these fields, in upper or lower case.
    """

    expected: str
    maker: str = ""
    model: str = ""

    def identity(self, name: str, fields: tuple[str, str, str, str]) -> Identity:
        """Return the identity of a device from the four fields. Raises WrongDevice for another maker or model."""
        maker, model, serial_number, firmware = fields
        if not (re.match(self.maker, maker, re.IGNORECASE) and re.match(self.model, model, re.IGNORECASE)):
            raise WrongDevice(f"{name}: a {maker} {model} answers, expected {self.expected}")
        return Identity(manufacturer=maker, model=model, serial_number=serial_number, firmware=firmware)


def scpi_proof(query: str, pattern: bytes) -> Proof:
    """Return a query without side effects whose reply, and no other, matches a regular expression, ignoring case."""
    fits = re.compile(pattern, re.IGNORECASE | re.DOTALL)
    return Proof(query.encode() + b"\n", line(), lambda reply: fits.fullmatch(reply) is not None)


_IDN_PROOF = scpi_proof("*IDN?", rb'[^,"]*(,[^,"]*){3}')


class ScpiDevice(Device):
    """An instrument that reports its identity by ``*IDN?`` and has an error queue.

    ``idn``: what this model answers. ``proofs``: queries beside ``*IDN?`` that verify a connection after a time-out.
    """

    idn: ClassVar[Idn]
    proofs: ClassVar[tuple[Proof, ...]] = ()

    @cached_property
    def _scpi(self) -> Scpi:
        """The SCPI dialect on the main connection."""
        return Scpi(self.connection)

    def _align(self) -> None:
        self.connection.send(b"\n")

    def _proofs(self) -> tuple[Proof, ...]:
        return (_IDN_PROOF, *self.proofs) if self.proofs else ()

    def _start(self) -> None:
        self._scpi.errors()  # what other clients left behind

    def _identify(self) -> Identity:
        return self.idn.identity(self.name, self._scpi.ask_parsed("*IDN?", replies.identity_fields))


class _SpeaksScpi(Protocol):
    @property
    def _scpi(self) -> Scpi: ...


def query(text: str, parse: Callable[[str], Parsed]) -> Callable[..., Parsed]:
    """Return a method of a driver that sends a query and returns what ``parse`` makes of the reply.

    ``{}`` in the text stands for an argument of the method, such as a channel.
    """

    def read(device: _SpeaksScpi, *arguments: object) -> Parsed:
        return device._scpi.ask_parsed(text.format(*arguments), parse)

    return read


def command(text: str) -> Callable[..., None]:
    """Return a method of a driver that sends a command, its arguments in place of ``{}``, and reads the error queue.

    The method raises DeviceError for what the queue reports.
    """

    def write(device: _SpeaksScpi, *arguments: object) -> None:
        sent = text.format(*arguments)
        device._scpi.send(sent)
        device._scpi.refuse_errors(sent)

    return write


def number(
    units: Mapping[str, float] | None = None, *, low: float = -replies.MOST, high: float = replies.MOST
) -> Callable[[str], float]:
    """Return a parser of a finite number within limits, scaled by the unit behind it."""
    return lambda reply: replies.number(reply, units or {}, low=low, high=high)


def whole_number(
    units: Mapping[str, float] | None = None, *, low: int = -(2**63), high: int = 2**63 - 1
) -> Callable[[str], int]:
    """Return a parser of a whole number within limits, scaled by the unit behind it."""
    return lambda reply: replies.whole_number(reply, units or {}, low=low, high=high)


def choice(values: Mapping[str, Value]) -> Callable[[str], Value]:
    """Return a parser of a word, in upper or lower case, that returns what the word stands for."""
    return lambda reply: values[replies.word(reply, *values)]
