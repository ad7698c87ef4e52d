"""OZ Optics DD-100-MC (and DD-600-MC) motor-driven attenuator: RS-232, ASCII, 9600 8N1.

Rests on three independent public clients that agree; the text of the ``CD`` reply beyond its ``IL`` and
``MAX ATTEN`` lines is not established. Identity is by shape: there is no ``*IDN?`` and no serial number.
"""

import re
from collections.abc import Callable
from typing import TypeVar

from qhal.devices.attenuator import Attenuator, AttenuatorCapabilities
from qhal.devices.declaration import ConnectionSpec, Declaration, Evidence, Identity, IdentityGrade
from qhal.devices.device import Device
from qhal.errors import DeviceError, PositionUnknown, ProtocolError, WrongDevice
from qhal.transport import replies
from qhal.transport.proof import Proof
from qhal.transport.reader import Reader
from qhal.transport.settings import SerialSettings

_MOVE_TIMEOUT_S, _HOME_TIMEOUT_S = 15.0, 40.0
_RESOLUTION_DB = 0.1
_MOST_LINES = 100
_MOST_DB = 120.0
_DB = {"dB": 1.0}
_NEXT_NAME = re.compile(r"[ \t][A-Za-z][A-Za-z ]*:")
_LONGEST_VALUE = 100
_ERRORS = {
    2: "command not understood",
    5: "home sensor error",
    6: "value out of range",
    7: "motor voltage unsafe",
}

Parsed = TypeVar("Parsed")


def _reply(reader: Reader, deadline: float) -> bytes:
    """Read lines up to ``Done`` and the empty line after it; return them without these two.

    An error line may come without ``Done``, so it ends the reply, and ``Done`` after it is read if it is there.
    """
    lines: list[bytes] = []
    while True:
        # An echoed command stands before the reply's first line, ended by its own CR.
        line = reader.read_until(b"\r\n", deadline).rpartition(b"\r")[2]
        if line == b"Done":
            reader.read_until(b"\r\n", deadline)
            return b"\n".join(lines)
        lines.append(line)
        if len(lines) > _MOST_LINES:
            raise ProtocolError(f"{len(lines)} lines without Done")
        if line.startswith(b"Error") and not reader.pending():
            return b"\n".join(lines)


_PROOFS = (
    Proof(b"CD\r", _reply, lambda reply: b"MAX ATTEN" in reply.upper()),
    Proof(b"A?\r", _reply, lambda reply: re.search(rb"(?m)^Atten:", reply) is not None),
    Proof(b"D\r", _reply, lambda reply: re.search(rb"(?m)^DPos:", reply) is not None),
)


class Dd100(Device, Attenuator):
    """A DD-100-MC. Before the first homing its attenuation is unknown and reading it raises PositionUnknown."""

    declaration = Declaration(
        model="OZ Optics DD-100-MC",
        connections={
            "main": ConnectionSpec(
                ("serial", "tcp"), timeout_s=1.0, settings={"serial": SerialSettings(baudrate=9600)}
            )
        },
        identity=IdentityGrade.SHAPE,
        evidence=(Evidence.CLIENTS,),
    )

    def _align(self) -> None:
        self.connection.send(
            b"\r"
        )  # what the unit says to half a command is taken for an old reply by the proof

    def _proofs(self) -> tuple[Proof, ...]:
        return _PROOFS

    def _start(self) -> None:
        self._ask("E0", str)

    def _identify(self) -> Identity:
        loss_db, most_db = self._ask("CD", _limits)
        return Identity(
            manufacturer="OZ Optics", model="DD-100-MC", shape=f"{loss_db:.2f} to {most_db:.2f} dB"
        )

    def _read_capabilities(self) -> AttenuatorCapabilities:
        loss_db, most_db = self._ask("CD", _limits)
        return AttenuatorCapabilities(
            min_attenuation_db=loss_db,
            max_attenuation_db=most_db,
            resolution_db=_RESOLUTION_DB,
            transparent_while_homing=True,
            dark_without_power=None,
            measured=False,
        )

    def _write_attenuation_db(self, attenuation_db: float) -> None:
        self._ask(f"A{attenuation_db:.2f}", _whole_number(r"Pos:(.*)"), timeout_s=_MOVE_TIMEOUT_S)

    def _read_attenuation_db(self) -> float:
        return self._ask("A?", self._attenuation)

    def _home(self) -> None:
        lost = self._ask("H", _whole_number(r"Diff=(.*)"), timeout_s=_HOME_TIMEOUT_S)
        if lost:
            raise DeviceError(f"{self.name}: homing found {lost} lost steps")

    def _attenuation(self, text: str) -> float:
        if re.fullmatch(r"Atten: *unknown", text):
            raise PositionUnknown("the attenuation is unknown before homing")
        return replies.number(replies.groups(r"Atten:(.*)\(dB\)", text)[0])

    def _ask(self, command: str, parse: Callable[[str], Parsed], timeout_s: float | None = None) -> Parsed:
        def parsed(reply: bytes) -> Parsed:
            text = replies.text(reply)
            if error := re.search(r"Error-?([0-9]{0,3})", text):
                number = int(error[1] or 0)
                raise DeviceError(f"{_ERRORS.get(number, 'error')} (Error-{number})")
            return parse(text)

        return self.connection.exchange(command.encode() + b"\r", _reply, timeout_s=timeout_s, parse=parsed)


def _whole_number(pattern: str) -> Callable[[str], int]:
    return lambda text: replies.whole_number(replies.groups(pattern, text)[0])


def _limits(text: str) -> tuple[float, float]:
    """Return insertion loss and highest attenuation out of the configuration."""
    low, high = (
        replies.number(_value(name, text), _DB, low=0.0, high=_MOST_DB) for name in ("IL", "MAX ATTEN")
    )
    return low, high


def _value(name: str, text: str) -> str:
    """Return all that stands between a name and the end of its line, or the next name in it, but for ``(dB)``."""
    found = re.search(rf"\b{name}:([^\r\n]*)", text, re.IGNORECASE)
    if found is None:
        raise WrongDevice(f"CD answers {text[:200]!r}, without {name}: not a DD-100")
    value = found[1][:_LONGEST_VALUE]
    if following := _NEXT_NAME.search(value):
        value = value[: following.start()]
    return value.rstrip(",; \t").removesuffix("(dB)").strip()
