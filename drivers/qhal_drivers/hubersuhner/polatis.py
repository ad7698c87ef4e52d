"""HUBER+SUHNER Polatis 1000, 3000, 6000, 7000 matrix switches: SCPI over TCP (port 5025) or VISA.

Rests on several independent public clients, some of which quote the vendor's manual. Set commands have no reply,
so each is followed by reading the pattern and the error queue. Ingress ports come first, egress ports after them.
"""

from qhal.devices.declaration import ConnectionSpec, Declaration, Evidence, Identity, IdentityGrade
from qhal.devices.declaration import Options as BaseOptions
from qhal.devices.device import SubDevice
from qhal.devices.optical_switch import OpticalSwitch, OpticalSwitchCapabilities
from qhal.devices.power_meter import PowerMeter, PowerMeterCapabilities
from qhal.devices.scpi_device import Idn, ScpiDevice, command, query, scpi_proof
from qhal.errors import ProtocolError
from qhal.transport import replies

_HIGHEST_METER_DBM = 15.0
_DBM = {"dBm": 1.0}
_MOST_PORTS = 1024
"""Ports of a side; the largest units made have some hundreds."""


class PolatisOptions(BaseOptions):
    """``settle_s``: how long a reconfiguration is given before it is read back.

    ``meter_floor_dbm``: lowest power at which the monitors of this unit are of use, by its data sheet.
    """

    settle_s: float = 0.05
    meter_floor_dbm: float = -25.0


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


def _power_dbm(reply: str) -> float:
    """Return the power at a monitor out of ``(-3.20)``."""
    return replies.number(replies.groups(r"\((.*)\)", reply)[0], _DBM)


class _PowerMonitor(SubDevice["Polatis"], PowerMeter):
    """The power monitors of the ports; useless at the power of single photons."""

    def is_fitted(self) -> bool:
        """Return whether the unit has power monitors, by the name of its model."""
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
        return self.device._read_monitor_dbm(channel)


class Polatis(ScpiDevice, OpticalSwitch):
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

    idn = Idn("a Polatis", maker="polatis$")
    proofs = (
        scpi_proof(":OXC:SWIT:SIZE?", rb"\s*\d+,\d+\s*"),
        scpi_proof(":OXC:SWIT:CONN:STAT?", rb"\s*\(@.*"),
    )

    _read_size = query(":OXC:SWIT:SIZE?", _two_sides)
    _read_boot_mode = query(":OXC:BOOT:MODE?", replies.label)
    _read_pattern = query(":OXC:SWIT:CONN:STAT?", _pairs)
    _read_monitor_dbm = query(":PMON:POW? (@{})", _power_dbm)
    _add = command(":OXC:SWIT:CONN:ADD (@{}),(@{})")
    _remove = command(":OXC:SWIT:CONN:SUB (@{}),(@)")
    _disconnect_all = command(":OXC:SWIT:DISC:ALL")
    _set_only = command(":OXC:SWIT:CONN:ONLY (@{}),(@{})")

    def _identify(self) -> Identity:
        identity = super()._identify()
        inputs, outputs = self._read_size()
        return identity.model_copy(update={"shape": f"{inputs}x{outputs}"})

    def _read_capabilities(self) -> OpticalSwitchCapabilities:
        inputs, outputs = self._read_size()
        return OpticalSwitchCapabilities(
            ingress=tuple(range(1, inputs + 1)),
            egress=tuple(range(inputs + 1, inputs + outputs + 1)),
            can_be_dark=True,
            boot_mode=self._read_boot_mode(),
            settle_s=self.options.settle_s,
        )

    def _replace(self, pairs: dict[int, int]) -> None:
        if pairs:
            self._set_only(",".join(map(str, pairs)), ",".join(map(str, pairs.values())))
        else:
            self._disconnect_all()
