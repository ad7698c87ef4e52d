"""HUBER+SUHNER Polatis 1000, 3000, 6000, 7000 matrix switches: SCPI over TCP (port 5025) or VISA.

Rests on several independent public clients, some of which quote the vendor's manual. Set commands have no reply,
so each is followed by reading the pattern and the error queue. Ingress ports come first, egress ports after them.
"""

import re
from typing import Any

from qhal.devices.declaration import Declaration, Evidence, Identity, IdentityGrade, LinkSpec
from qhal.devices.declaration import Options as BaseOptions
from qhal.devices.device import Device
from qhal.devices.kind import Facet
from qhal.devices.optical_switch import OpticalSwitch, OpticalSwitchCapabilities, Transition
from qhal.devices.power_meter import PowerMeter, PowerMeterCapabilities
from qhal.devices.scpi import Scpi
from qhal.errors import ProtocolError, WrongDevice

_HIGHEST_METER_DBM = 15.0


class PolatisOptions(BaseOptions):
    """``settle_s``: how long a reconfiguration is given before it is read back.

    ``meter_floor_dbm``: lowest power at which this unit's monitors mean something, as its data sheet says.
    """

    settle_s: float = 0.05
    meter_floor_dbm: float = -25.0


class Polatis(Device, OpticalSwitch):
    """An N x M piezo-steered switch; it works on dark fibre and in both directions."""

    options_model = PolatisOptions
    options: PolatisOptions
    declaration = Declaration(
        model="HUBER+SUHNER Polatis",
        links={"main": LinkSpec(("tcp", "visa"), timeout_s=2.0, late_s=2.0)},
        identity=IdentityGrade.SERIAL,
        evidence=(Evidence.CLIENTS,),
    )

    def _start(self) -> None:
        self._scpi = Scpi(self.port)
        self._reserved = getattr(self, "_reserved", {})
        self._scpi.errors()  # what other clients left behind

    def _identify(self) -> Identity:
        reply = self._scpi.ask("*IDN?")
        fields = reply.split(",")
        if len(fields) != 4:
            raise ProtocolError(f"{self.name}: *IDN? answers {reply!r}, four fields are expected")
        if fields[0].strip().lower() != "polatis":
            raise WrongDevice(f"{self.name}: a {fields[0]} {fields[1]} answers, expected a Polatis")
        maker, model, serial, firmware = (field.strip() for field in fields)
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
            bidirectional=True,
            blocking=False,
            latching=None,
            boot_mode=self._scpi.ask(":OXC:BOOT:MODE?"),
            transition=Transition.UNKNOWN,
            settle_s=self.options.settle_s,
        )

    def _read_settings(self) -> dict[str, Any]:
        return {"pattern": self._read_pattern()}

    def _read_pattern(self) -> dict[int, int]:
        reply = self._scpi.ask(":OXC:SWIT:CONN:STAT?")
        found = re.fullmatch(r"\(@([\d,]*)\),\(@([\d,]*)\)", reply.replace(" ", ""))
        if found is not None:
            sides = [[int(port) for port in side.split(",") if port] for side in found.groups()]
            if len(sides[0]) == len(sides[1]):
                return dict(sorted(zip(*sides, strict=True)))
        self.port.taint()
        raise ProtocolError(f"{self.name}: STAT? answers {reply!r}, expected (@..),(@..)")

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

    def _facets(self) -> tuple[object, ...]:
        has_monitors = self._identity is not None and not self._identity.model.startswith("I-")
        return (_PowerMonitor(self),) if has_monitors else ()

    def _set(self, command: str) -> None:
        self._scpi.send(command)
        self._scpi.refuse_errors(command)

    def _size(self) -> tuple[int, int]:
        reply = self._scpi.ask(":OXC:SWIT:SIZE?")
        found = re.fullmatch(r"(\d+),(\d+)", reply)
        if found is None:
            self.port.taint()
            raise ProtocolError(f"{self.name}: SIZE? answers {reply!r}, expected N,M")
        return int(found[1]), int(found[2])


class _PowerMonitor(Facet, PowerMeter):
    """The power monitors of the ports; useless at the power of single photons."""

    @property
    def meter_capabilities(self) -> PowerMeterCapabilities:
        """Channels are port numbers: the outputs, and the inputs too on the variant 801."""
        switch = self.device
        assert isinstance(switch, Polatis)
        low, high = switch.options.meter_floor_dbm, _HIGHEST_METER_DBM
        ports = switch.capabilities.egress
        if switch.identity.model.endswith("-801"):
            ports = switch.capabilities.ingress + ports
        return PowerMeterCapabilities(channels=ports, min_power_dbm=low, max_power_dbm=high)

    def _read_power_dbm(self, channel: int) -> float:
        switch = self.device
        assert isinstance(switch, Polatis)
        reply = switch._scpi.ask(f":PMON:POW? (@{channel})")
        found = re.fullmatch(r"\(([+-]?[\d.]+(?:[eE][+-]?\d+)?)\)", reply)
        if found is None:
            switch.port.taint()
            raise ProtocolError(f"{switch.name}: PMON answers {reply!r}, expected (dBm)")
        return float(found[1])


Polatis.facet_types = (_PowerMonitor,)
