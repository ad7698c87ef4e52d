"""HUBER+SUHNER Polatis 1000, 3000, 6000, 7000 matrix switches: SCPI over TCP (port 5025) or VISA.

Rests on several independent public clients, some of which quote the vendor's manual. Set commands have no reply,
so each is followed by reading the pattern and the error queue. Ingress ports come first, egress ports after them.
"""

import re

from qhal.devices.declaration import ConnectionSpec, Declaration, Evidence, Identity, IdentityGrade
from qhal.devices.declaration import Options as BaseOptions
from qhal.devices.device import Device, SubDevice
from qhal.devices.optical_switch import OpticalSwitch, OpticalSwitchCapabilities
from qhal.devices.power_meter import PowerMeter, PowerMeterCapabilities
from qhal.devices.scpi import Scpi
from qhal.errors import ProtocolError, WrongDevice
from qhal.transport import replies
from qhal.transport.frames import line
from qhal.transport.proof import Proof

_HIGHEST_METER_DBM = 15.0
_DBM = {"dBm": 1.0}
_MOST_PORTS = 1024
"""Ports of a side; the largest units made have some hundreds."""


_PROOFS = (
    Proof(b"*IDN?\n", line(), lambda reply: reply.count(b",") == 3 and b'"' not in reply),
    Proof(b":OXC:SWIT:SIZE?\n", line(), lambda reply: re.fullmatch(rb"\s*\d+,\d+\s*", reply) is not None),
    Proof(b":OXC:SWIT:CONN:STAT?\n", line(), lambda reply: reply.strip().startswith(b"(@")),
)


class PolatisOptions(BaseOptions):
    """``settle_s``: how long a reconfiguration is given before it is read back.

    ``meter_floor_dbm``: lowest power at which this unit's monitors mean something, as its data sheet says.
    """

    settle_s: float = 0.05
    meter_floor_dbm: float = -25.0


class _PowerMonitor(SubDevice["Polatis"], PowerMeter):
    """The power monitors of the ports; useless at the power of single photons."""

    def is_fitted(self) -> bool:
        """Return whether the unit has power monitors, which its model says."""
        return not self.device.identity.model.startswith("I-")

    def _read_capabilities(self) -> PowerMeterCapabilities:
        """Channels are port numbers: the outputs, and the inputs too on the variant 801."""
        ports = self.device.capabilities.egress
        if self.device.identity.model.endswith("-801"):
            ports = self.device.capabilities.ingress + ports
        return PowerMeterCapabilities(
            channels=ports,
            min_power_dbm=self.device.options.meter_floor_dbm,
            max_power_dbm=_HIGHEST_METER_DBM,
        )

    def _read_power_dbm(self, channel: int) -> float:
        return self.device.read_monitor_dbm(channel)


class Polatis(Device, OpticalSwitch):
    """An N x M piezo-steered switch; it works on dark fibre and in both directions."""

    options_model = PolatisOptions
    options: PolatisOptions
    sub_device_types = (_PowerMonitor,)
    declaration = Declaration(
        model="HUBER+SUHNER Polatis",
        connections={"main": ConnectionSpec(("tcp", "visa"))},
        identity=IdentityGrade.SERIAL,
        evidence=(Evidence.CLIENTS,),
    )

    def _align(self) -> None:
        self.connection.send(b"\n")

    def _proofs(self) -> tuple[Proof, ...]:
        return _PROOFS

    def _start(self) -> None:
        self._scpi = Scpi(self.connection)
        self._scpi.errors()  # what other clients left behind

    def _identify(self) -> Identity:
        maker, model, serial, firmware = self._scpi.ask_parsed("*IDN?", replies.identity_fields)
        if maker.lower() != "polatis":
            raise WrongDevice(f"{self.name}: a {maker} {model} answers, expected a Polatis")
        inputs, outputs = self._size()
        return Identity(
            manufacturer=maker,
            model=model,
            serial_number=serial,
            firmware=firmware,
            shape=f"{inputs}x{outputs}",
        )

    def _read_capabilities(self) -> OpticalSwitchCapabilities:
        inputs, outputs = self._size()
        return OpticalSwitchCapabilities(
            ingress=tuple(range(1, inputs + 1)),
            egress=tuple(range(inputs + 1, inputs + outputs + 1)),
            can_be_dark=True,
            boot_mode=self._scpi.ask_label(":OXC:BOOT:MODE?"),
            settle_s=self.options.settle_s,
        )

    def _read_pattern(self) -> dict[int, int]:
        return self._scpi.ask_parsed(":OXC:SWIT:CONN:STAT?", _pairs)

    def _add(self, ingress: int, egress: int) -> None:
        self._set(f":OXC:SWIT:CONN:ADD (@{ingress}),(@{egress})")

    def _remove(self, ingress: int) -> None:
        self._set(f":OXC:SWIT:CONN:SUB (@{ingress}),(@)")

    def _replace(self, pairs: dict[int, int]) -> None:
        if not pairs:
            self._set(":OXC:SWIT:DISC:ALL")
            return
        left, right = (",".join(map(str, side)) for side in (pairs.keys(), pairs.values()))
        self._set(f":OXC:SWIT:CONN:ONLY (@{left}),(@{right})")

    def read_monitor_dbm(self, port: int) -> float:
        """Return the power at the monitor of a port, dBm. Raises NoValue beyond the range of the monitor."""
        return self._scpi.ask_parsed(
            f":PMON:POW? (@{port})",
            lambda reply: replies.number(replies.groups(r"\((.*)\)", reply)[0], _DBM),
        )

    def _set(self, command: str) -> None:
        self._scpi.send(command)
        self._scpi.refuse_errors(command)

    def _size(self) -> tuple[int, int]:
        return self._scpi.ask_parsed(":OXC:SWIT:SIZE?", _two_sides)


def _two_sides(reply: str) -> tuple[int, int]:
    """Return the numbers of ports of the two sides."""
    sides = replies.whole_numbers(reply, low=1, high=_MOST_PORTS)
    if len(sides) != 2:
        raise ProtocolError(f"{reply!r}, expected the numbers of ports of two sides")
    return sides[0], sides[1]


def _pairs(reply: str) -> dict[int, int]:
    """Return ingress and egress of every connection out of ``(@1,2),(@18,17)``."""
    sides = [
        replies.whole_numbers(side, low=1, high=2 * _MOST_PORTS)
        for side in replies.groups(r"\( *@(.*)\) *, *\( *@(.*)\)", reply)
    ]
    if len(sides[0]) != len(sides[1]) or len(set(sides[0])) != len(sides[0]):
        raise ProtocolError(f"{reply[:200]!r}: each ingress needs one egress")
    return dict(sorted(zip(*sides, strict=True)))
