"""HUBER+SUHNER Polatis matrix switch: SCPI over a raw TCP socket, no login.

After several public controllers, some of which quote the vendor's manual. Set commands have no reply; replies
end CR LF; errors wait in a queue whose text follows a blank after the comma.
"""

from functools import partial
from typing import Literal

import numpy as np
from pydantic import Field

from qhal_simulators.instrument import Connection, Instrument, Options, Send, Wire
from qhal_simulators.physics.light_units import dbm, watts
from qhal_simulators.physics.ports import Part, Port, SwitchSettings
from qhal_simulators.physics.readings import SwitchReadings
from qhal_simulators.scpi_commands import (
    DEVICE_ERROR,
    TEXTS,
    CommandTable,
    ErrorQueue,
    Handler,
    ScpiError,
    channel_lists,
    choice,
    integer,
)
from qhal_simulators.scpi_messages import MessageSplitter
from qhal_simulators.simulated_time import Timer

_METER_FLOOR_DBM = -50.0
_LONGEST_METER_LIST = 256
_SCALES = 1
_SUFFIXES = {"none": "LU1-DMHNS", "outputs": "LA1-DMHNV", "all": "LA1-DMHNV-801"}


class PolatisOptions(Options):
    """What the sources leave open.

    ``monitors``: which ports have power monitors. ``model_suffix``: end of the model name in ``*IDN?`` (None: by
    ``monitors``; a client with a 24x24 unit saw ``LA1-DMHNS``). ``add_in_use``: what ADD does to a port in use (a
    vendor library speaks of moving). ``reply_end``: CR LF, or LF as one client expects. ``boot_mode``: pattern at
    power-up. A power monitor reads what is there, with stray light of ``meter_stray_dbm`` (None: no such), plus
    ``meter_scale_error_db``, plus an error of its port's own of
    ``meter_scale_spread_db`` (1 sigma), plus ``meter_nonlinearity_db_per_10db`` for each 10 dB above 0 dBm (less it
    below), plus noise of ``meter_noise_db`` (1 sigma). Both are a matter of ``meter_seed``, noise also of how many
    readings were made before. Never less than ``meter_floor_dbm``.
    """

    inputs: int = Field(default=16, ge=1, le=192)
    outputs: int = Field(default=16, ge=1, le=192)
    serial_number: str = "002414"
    firmware: str = "6.5.2.18"
    monitors: Literal["none", "outputs", "all"] = "all"
    model_suffix: str | None = Field(default=None, pattern=r"^[A-Z0-9-]{1,20}$")
    add_in_use: Literal["move", "error"] = "move"
    reply_end: Literal["crlf", "lf"] = "crlf"
    boot_mode: Literal["DARK", "REST", "AUT"] = "DARK"
    switching_time_s: float = Field(default=0.025, ge=0)
    meter_floor_dbm: float = _METER_FLOOR_DBM
    meter_stray_dbm: float | None = None
    meter_scale_error_db: float = Field(default=0.0, ge=-10, le=10)
    meter_scale_spread_db: float = Field(default=0.0, ge=0, le=3)
    meter_nonlinearity_db_per_10db: float = Field(default=0.0, ge=-2, le=2)
    meter_noise_db: float = Field(default=0.0, ge=0, le=10)
    meter_seed: int = Field(default=1, ge=0)


class NoLight:
    """Power monitors of a switch that no light enters."""

    def power_dbm(self, port: int) -> float | None:
        """Return None."""
        return None


class Polatis(Instrument):
    """The switch: a pattern of ingress to egress, port states, an error queue."""

    wires = {"main": Wire.TCP}
    settings_type = SwitchSettings
    options_model = PolatisOptions
    options: PolatisOptions
    port: Port[SwitchSettings]
    readings: SwitchReadings
    meter_readings = 0

    def standalone(self) -> Part:
        """Return a switch that no light enters."""
        return Part(Port(SwitchSettings()), NoLight())

    def power_on(self) -> None:
        """Take the state after power-up: dark, or the pattern from before, by boot mode."""
        if not hasattr(self, "boot_mode"):
            self.boot_mode = self.options.boot_mode
            self.pairs: dict[int, int] = {}
        if self.boot_mode == "DARK":
            self.pairs = {}
        self.errors = ErrorQueue()
        self.disabled: set[int] = set()
        self.moving: set[int] = set()
        self.settling: dict[int, Timer] = {}
        self.moves: dict[int, int] = {}
        self.show()

    def connect(self, name: str, send: Send) -> Connection:
        """Return the switch's end of one client's socket."""
        return _Client(self, send)

    @property
    def ports(self) -> int:
        """Number of all ports; ingress first, then egress."""
        return self.options.inputs + self.options.outputs

    def replace(self, pairs: dict[int, int]) -> None:
        """Steer to another pattern; paths that change are dark until the mirrors stand."""
        changed = {p for p in {*self.pairs, *pairs} if self.pairs.get(p) != pairs.get(p)}
        self.pairs = pairs
        for port in changed:
            if timer := self.settling.pop(port, None):
                timer.cancel()
            self.moving.add(port)
            self.moves[port] = self.moves.get(port, 0) + 1
            self.settling[port] = self.clock.call_later(
                self.options.switching_time_s, partial(self._settled, port)
            )
        self.show()

    def show(self) -> None:
        """Let the light see the paths."""
        pairs = {i: o for i, o in self.pairs.items() if not {i, o} & self.disabled}
        size = (self.options.inputs, self.options.outputs)
        self.port.apply(
            SwitchSettings(size=size, pairs=pairs, moving=frozenset(self.moving), moves=dict(self.moves))
        )

    def meter_dbm(self, port: int) -> float:
        """Return a new reading of a port's power monitor."""
        options, power_dbm = self.options, self.readings.power_dbm(port)
        number, self.meter_readings = self.meter_readings, self.meter_readings + 1
        power_w = 0.0 if power_dbm is None else watts(power_dbm)
        power_w += 0.0 if options.meter_stray_dbm is None else watts(options.meter_stray_dbm)
        if power_w == 0:
            return options.meter_floor_dbm
        power_dbm = dbm(power_w)
        power_dbm += options.meter_scale_error_db + options.meter_nonlinearity_db_per_10db * power_dbm / 10
        if options.meter_scale_spread_db:
            own = np.random.default_rng((options.meter_seed, _SCALES, port)).standard_normal()
            power_dbm += options.meter_scale_spread_db * float(own)
        if options.meter_noise_db:
            noise = np.random.default_rng((options.meter_seed, number)).standard_normal()
            power_dbm += options.meter_noise_db * float(noise)
        return max(options.meter_floor_dbm, power_dbm)

    def _settled(self, port: int) -> None:
        self.moving.discard(port)
        self.settling.pop(port, None)
        self.show()


class _Client:
    def __init__(self, unit: Polatis, send: Send) -> None:
        self._unit = unit
        self._send = send
        self._splitter = MessageSplitter(unit.errors.add)
        self.table = CommandTable(self._commands())
        self._end = b"\r\n" if unit.options.reply_end == "crlf" else b"\n"

    def receive(self, data: bytes) -> None:
        for message in self._splitter.feed(data):
            replies = self.table.run(message, self._unit.errors.add)
            if replies:
                self._send(b";".join(replies) + self._end)

    def failed(self) -> None:
        self._splitter.clear()
        self._unit.errors.add(DEVICE_ERROR)

    def closed(self) -> None:
        self._splitter.clear()

    def _commands(self) -> dict[str, Handler]:
        unit, options = self._unit, self._unit.options
        suffix = options.model_suffix or _SUFFIXES[options.monitors]
        product = (
            f"{'I' if options.monitors == 'none' else 'N'}-OST-{options.inputs}x{options.outputs}-{suffix}"
        )
        address = 'IP="192.168.1.1" Gateway="0.0.0.0" Mask="255.255.255.0" Broadcast="192.168.1.255"'
        commands: dict[str, Handler] = {
            "*IDN?": lambda s, a: f"Polatis,{product},{options.serial_number},{options.firmware}",
            "*RST": lambda s, a: unit.replace({}),
            "*CLS": lambda s, a: unit.errors.clear(),
            "*OPC?": lambda s, a: "1",
            "*STB?": lambda s, a: str(4 if len(unit.errors) else 0),
            "OXC:SWITch:CONNect:ADD": lambda s, a: self._add(a),
            "OXC:SWITch:CONNect:ONLY": lambda s, a: self._only(a),
            "OXC:SWITch:CONNect:SUB": lambda s, a: self._subtract(a),
            "OXC:SWITch:DISConnect:ALL": lambda s, a: unit.replace({}),
            "OXC:SWITch:CONNect:STATe?": lambda s, a: self._state(),
            "OXC:SWITch:CONNect:PORT?": lambda s, a: self._partner(a),
            "OXC:SWITch:SIZE?": lambda s, a: f"{options.inputs},{options.outputs}",
            "OXC:SWITch:PORT:DISable": lambda s, a: self._enable(a, on=False),
            "OXC:SWITch:PORT:ENABle": lambda s, a: self._enable(a, on=True),
            "OXC:SWITch:PORT:STATe?": lambda s, a: self._port_states(a),
            "OXC:BOOT:MODE": lambda s, a: self._boot_mode(a),
            "OXC:BOOT:MODE?": lambda s, a: unit.boot_mode,
            "SYSTem:COMMunicate:NETWork:ADDRess?": lambda s, a: address,
            "SYSTem:ERRor?": lambda s, a: self._error(),
            "SYSTem:ERRor:ALL?": lambda s, a: self._all_errors(),
        }
        if options.monitors != "none":
            commands["PMON:POWer?"] = lambda s, a: self._power(a)
        return commands

    def _pairs(self, arguments: list[bytes]) -> list[tuple[int, int]]:
        """Return the pairs of two lists; the smaller number of a pair counts as ingress."""
        lists = channel_lists(arguments, self._unit.ports)
        if len(lists) != 2 or len(lists[0]) != len(lists[1]):
            raise ScpiError(-109)
        pairs = [(min(pair), max(pair)) for pair in zip(*lists, strict=True)]
        if any(not i <= self._unit.options.inputs < o for i, o in pairs):
            raise ScpiError(-222)
        if len({i for i, _ in pairs}) != len(pairs) or len({o for _, o in pairs}) != len(pairs):
            raise ScpiError(-200)
        return pairs

    def _add(self, arguments: list[bytes]) -> None:
        pairs, wanted = dict(self._unit.pairs), self._pairs(arguments)
        for ingress, egress in wanted:
            taken = {p: q for p, q in pairs.items() if (p == ingress) != (q == egress)}
            if taken and self._unit.options.add_in_use == "error":
                raise ScpiError(-200)
            pairs = {p: q for p, q in pairs.items() if p not in taken} | {ingress: egress}
        self._unit.replace(pairs)

    def _only(self, arguments: list[bytes]) -> None:
        self._unit.replace(dict(self._pairs(arguments)))

    def _subtract(self, arguments: list[bytes]) -> None:
        lists = channel_lists(arguments, self._unit.ports)
        if len(lists) != 2 or not lists[0] or len(lists[1]) not in (0, len(lists[0])):
            raise ScpiError(-109)
        ports = set(lists[0])
        self._unit.replace({i: o for i, o in self._unit.pairs.items() if not {i, o} & ports})

    def _state(self) -> str:
        pairs = sorted(self._unit.pairs.items())
        sides = (",".join(str(pair[side]) for pair in pairs) for side in (0, 1))
        return ",".join(f"(@{side})" for side in sides)

    def _partner(self, arguments: list[bytes]) -> str:
        if len(arguments) != 1:
            raise ScpiError(-109)
        port = integer(arguments[0], 1, self._unit.ports)
        both = self._unit.pairs | {o: i for i, o in self._unit.pairs.items()}
        return f'"{both.get(port, "")}"'

    def _enable(self, arguments: list[bytes], *, on: bool) -> None:
        ports = set(self._checked(arguments))
        self._unit.disabled = self._unit.disabled - ports if on else self._unit.disabled | ports
        self._unit.show()

    def _port_states(self, arguments: list[bytes]) -> str:
        ports = self._checked(arguments) if arguments else range(1, self._unit.ports + 1)
        return "(" + ",".join("D" if port in self._unit.disabled else "E" for port in ports) + ")"

    def _boot_mode(self, arguments: list[bytes]) -> None:
        if not arguments:
            raise ScpiError(-109)
        mode = choice(arguments[0], ("DARK", "RESTore", "AUTosave"))
        self._unit.boot_mode = mode  # type: ignore[assignment]

    def _power(self, arguments: list[bytes]) -> str:
        ports = self._checked(arguments)
        monitored = self._unit.options.inputs if self._unit.options.monitors == "outputs" else 0
        if len(ports) > _LONGEST_METER_LIST or any(port <= monitored for port in ports):
            raise ScpiError(-222)
        return "(" + ",".join(f"{self._unit.meter_dbm(port):.2f}" for port in ports) + ")"

    def _checked(self, arguments: list[bytes]) -> list[int]:
        lists = channel_lists(arguments, self._unit.ports)
        if len(lists) != 1 or not lists[0]:
            raise ScpiError(-109)
        return lists[0]

    def _error(self) -> str:
        code = self._unit.errors.pop()
        return f'{code}, "{TEXTS[code]}"'

    def _all_errors(self) -> str:
        found = [self._error()]
        while len(self._unit.errors):
            found.append(self._error())
        return ",".join(found)
