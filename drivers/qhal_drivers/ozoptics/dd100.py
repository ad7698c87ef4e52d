"""OZ Optics DD-100-MC (and DD-600-MC) motor-driven attenuator: RS-232, ASCII, 9600 8N1.

Rests on three independent public clients that agree; the text of the ``CD`` reply beyond its ``IL`` and
``MAX ATTEN`` lines is not established. Identity is by shape: there is no ``*IDN?`` and no serial number.
"""

import re
from typing import Any

from qhal.devices.attenuator import Attenuator, AttenuatorCapabilities
from qhal.devices.declaration import Declaration, Evidence, Identity, IdentityGrade, LinkSpec
from qhal.devices.device import Device
from qhal.errors import DeviceError, ProtocolError, WrongDevice
from qhal.transport.link import Link
from qhal.transport.serial import SerialSettings

_HOME_TIMEOUT_S = 40.0
_RESOLUTION_DB = 0.1
_ERRORS = {
    2: "command not understood",
    5: "home sensor error",
    6: "value out of range",
    7: "motor voltage unsafe",
}


def _reply(link: Link, deadline: float) -> bytes:
    """Read lines up to ``Done`` and the empty line after it; return them without these two.

    An error line may come without ``Done``, so it ends the reply, and ``Done`` after it is read if it is there.
    """
    lines: list[bytes] = []
    while True:
        # An echoed command stands before the reply's first line, ended by its own CR.
        line = link.read_until(b"\r\n", deadline).rpartition(b"\r")[2]
        if line == b"Done":
            link.read_until(b"\r\n", deadline)
            return b"\n".join(lines)
        lines.append(line)
        if line.startswith(b"Error") and not link.pending():
            return b"\n".join(lines)


class Dd100(Device, Attenuator):
    """A DD-100-MC. Before the first homing its attenuation is unknown and reading it raises DeviceError."""

    declaration = Declaration(
        model="OZ Optics DD-100-MC",
        links={
            "main": LinkSpec(
                ("serial", "tcp"), timeout_s=15.0, late_s=15.0, serial=SerialSettings(baudrate=9600)
            )
        },
        identity=IdentityGrade.SHAPE,
        evidence=(Evidence.CLIENTS,),
    )

    def _start(self) -> None:
        self._ask("E0")

    def _identify(self) -> Identity:
        loss_db, most_db = self._limits()
        return Identity(
            manufacturer="OZ Optics", model="DD-100-MC", shape=f"{loss_db:.2f} to {most_db:.2f} dB"
        )

    def _read_capabilities(self) -> AttenuatorCapabilities:
        loss_db, most_db = self._limits()
        return AttenuatorCapabilities(
            min_attenuation_db=loss_db,
            max_attenuation_db=most_db,
            resolution_db=_RESOLUTION_DB,
            transparent_while_homing=True,
            dark_without_power=None,
            measured=False,
        )

    def _read_settings(self) -> dict[str, Any]:
        try:
            return {"attenuation_db": self._read_attenuation_db()}
        except DeviceError:
            return {"attenuation_db": None}

    def _write_attenuation_db(self, attenuation_db: float) -> None:
        self._number(r"Pos:(-?\d+)", f"A{attenuation_db:.2f}")

    def _read_attenuation_db(self) -> float:
        text = self._ask("A?")
        if re.fullmatch(r"Atten: *unknown", text):
            raise DeviceError(f"{self.name}: the attenuation is unknown before homing")
        return self._parsed(r"Atten: *([\d.]+)\(dB\)", "A?", text)

    def _home(self) -> None:
        lost = self._number(r"Diff=(-?\d+)", "H", timeout_s=_HOME_TIMEOUT_S)
        if lost:
            raise DeviceError(f"{self.name}: homing found {lost:.0f} lost steps")

    def _limits(self) -> tuple[float, float]:
        text = self._ask("CD").upper()
        loss, most = re.search(r"\bIL: *([\d.]+)", text), re.search(r"MAX ATTEN: *([\d.]+)", text)
        if loss is None or most is None:
            raise WrongDevice(f"{self.name}: CD answers {text!r}, without IL and MAX ATTEN: no DD-100")
        return float(loss[1]), float(most[1])

    def _number(self, pattern: str, command: str, timeout_s: float | None = None) -> float:
        return self._parsed(pattern, command, self._ask(command, timeout_s))

    def _parsed(self, pattern: str, command: str, text: str) -> float:
        found = re.fullmatch(pattern, text)
        if found is None:
            self.port.taint()
            raise ProtocolError(f"{self.name}: {command} answers {text!r}, expected {pattern}")
        return float(found[1])

    def _ask(self, command: str, timeout_s: float | None = None) -> str:
        reply = self.port.exchange(command.encode() + b"\r", _reply, timeout_s=timeout_s)
        text = reply.decode("ascii", "replace")
        if error := re.search(r"Error-?(\d*)", text):
            number = int(error[1] or 0)
            raise DeviceError(f"{self.name}: {command}: {_ERRORS.get(number, 'error')} (Error-{number})")
        return text
