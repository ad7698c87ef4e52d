"""Thorlabs PM100D power meter with a photodiode head: SCPI, here over a raw TCP socket (the unit has USBTMC only).

After the command tables of the manuals and several public clients. Commands and replies end with LF; set commands have
no reply; errors wait in a queue.
"""

import math
from typing import Literal

import numpy as np
from pydantic import Field

from qhal_simulators.instrument import Connection, Instrument, Options, Send, Wire
from qhal_simulators.physics.light_units import dbm, watts
from qhal_simulators.physics.ports import Settings
from qhal_simulators.scpi_commands import (
    DEVICE_ERROR,
    TEXTS,
    CommandTable,
    ErrorQueue,
    Handler,
    ScpiError,
    choice,
    integer,
    number,
)
from qhal_simulators.scpi_messages import MessageSplitter

_MIN_NM, _MAX_NM = 800.0, 1700.0
_MAX_W = 20e-3
_NO_NUMBER = "9.9E37"
_LARGEST_COUNT = 10_000
_NOISE_OF_RANGE = 0.005
"""Standard deviation of one sample as a fraction of its range."""


class Pm100dOptions(Options):
    """What the sources leave open, and what is at the sensor.

    ``maker``: in ``*IDN?``, as the manual writes it or as units do. ``unit``: unit of readings at power-up.
    ``wavelength_nm``: wavelength of the correction at power-up; the responsivity is proportional to the wavelength.
    ``power_dbm``: power of the light at the sensor (None: no light), at ``light_nm``. ``dark_w``: reading without
    light. ``seed``: seed of the noise.
    """

    model: Literal["PM100D", "PM100USB", "PM400"] = "PM100D"
    maker: Literal["Thorlabs", "THORLABS"] = "Thorlabs"
    serial_number: str = "P0027168"
    firmware: str = "2.7.0"
    sensor: str = "S155C,17042801,28-Apr-2017,1,18,289"
    unit: Literal["W", "DBM"] = "W"
    wavelength_nm: float = Field(default=1550.0, ge=_MIN_NM, le=_MAX_NM)
    light_nm: float = Field(default=1550.0, ge=_MIN_NM, le=_MAX_NM)
    power_dbm: float | None = Field(default=None, le=20.0)
    dark_w: float = Field(default=5e-11, ge=-1e-9, le=1e-9)
    seed: int = Field(default=1, ge=0)


class Pm100d(Instrument):
    """The meter: its correction, unit and range, and an error queue."""

    wires = {"main": Wire.TCP}
    settings_type = Settings
    options_model = Pm100dOptions
    options: Pm100dOptions

    def power_on(self) -> None:
        """Take the state after power-up."""
        self.errors = ErrorQueue()
        self.wavelength_nm = self.options.wavelength_nm
        self.unit: str = self.options.unit
        self.averages = 1
        self.measurements = 0

    def connect(self, name: str, send: Send) -> Connection:
        """Return the meter's end of one client's socket."""
        return _Client(self, send)

    def measure_w(self) -> float:
        """Return a new reading: the light as the head sees it at the wavelength that is set, and noise."""
        options = self.options
        lit_w = 0.0 if options.power_dbm is None else watts(options.power_dbm)
        seen_w = lit_w * options.light_nm / self.wavelength_nm + options.dark_w
        range_w = 10.0 ** max(-8, math.ceil(math.log10(max(abs(seen_w), 1e-12))))
        draw = float(np.random.default_rng((options.seed, self.measurements)).standard_normal())
        self.measurements += 1
        return seen_w + draw * _NOISE_OF_RANGE * range_w / math.sqrt(1000 * self.averages)


class _Client:
    def __init__(self, unit: Pm100d, send: Send) -> None:
        self._unit = unit
        self._send = send
        self._splitter = MessageSplitter(unit.errors.add)
        self.table = CommandTable(self._commands())

    def receive(self, data: bytes) -> None:
        for message in self._splitter.feed(data):
            if replies := self.table.run(message, self._unit.errors.add):
                self._send(b";".join(replies) + b"\n")

    def failed(self) -> None:
        self._splitter.clear()
        self._unit.errors.add(DEVICE_ERROR)

    def closed(self) -> None:
        self._splitter.clear()

    def _commands(self) -> dict[str, Handler]:
        unit, options = self._unit, self._unit.options
        identity = f"{options.maker},{options.model},{options.serial_number},{options.firmware}"
        return {
            "*IDN?": lambda s, a: identity,
            "*RST": lambda s, a: unit.power_on(),
            "*CLS": lambda s, a: unit.errors.clear(),
            "*OPC?": lambda s, a: "1",
            "SYSTem:ERRor[:NEXT]?": lambda s, a: self._error(),
            "SYSTem:SENSor:IDN?": lambda s, a: options.sensor,
            "MEASure[:SCALar]:POWer?": lambda s, a: self._power(),
            "READ?": lambda s, a: self._power(),
            "[SENSe]:AVERage[:COUNt]": lambda s, a: self._average(a),
            "[SENSe]:AVERage[:COUNt]?": lambda s, a: str(unit.averages),
            "[SENSe]:CORRection:WAVelength": lambda s, a: self._correct(a),
            "[SENSe]:CORRection:WAVelength?": lambda s, a: self._limit(
                a, _MIN_NM, unit.wavelength_nm, _MAX_NM
            ),
            "[SENSe]:POWer[:DC]:UNIT": lambda s, a: self._set_unit(a),
            "[SENSe]:POWer[:DC]:UNIT?": lambda s, a: unit.unit,
            "[SENSe]:POWer[:DC]:RANGe[:UPPer]?": lambda s, a: self._limit(a, 50e-9, _MAX_W, _MAX_W),
        }

    def _power(self) -> str:
        power_w = self._unit.measure_w()
        if power_w > _MAX_W:
            return _NO_NUMBER
        if self._unit.unit == "W":
            return f"{power_w:.8E}"
        return f"{dbm(power_w):.8E}" if power_w > 0 else f"-{_NO_NUMBER}"

    def _average(self, arguments: list[bytes]) -> None:
        self._unit.averages = integer(self._only(arguments), 1, _LARGEST_COUNT)

    def _correct(self, arguments: list[bytes]) -> None:
        self._unit.wavelength_nm = number(self._only(arguments), _MIN_NM, _MAX_NM)

    def _set_unit(self, arguments: list[bytes]) -> None:
        self._unit.unit = choice(self._only(arguments), ("W", "DBM"))

    def _only(self, arguments: list[bytes]) -> bytes:
        if len(arguments) != 1:
            raise ScpiError(-109 if not arguments else -108)
        return arguments[0]

    def _limit(self, arguments: list[bytes], low: float, now: float, high: float) -> str:
        word = choice(arguments[0], ("MINimum", "MAXimum")) if arguments else ""
        return f"{ {'MIN': low, 'MAX': high}.get(word, now):.8E}"

    def _error(self) -> str:
        code = self._unit.errors.pop()
        return f'{code:+d},"{TEXTS[code]}"'
