"""Pure Photonics PPCL550, and any OIF ITLA: UART, 9600 8N1 at power-up, strictly four bytes out, four back.

Registers after OIF-ITLA-MSA-01.2 as two independent public clients use them; vendor registers 0x80 to 0xFF.
"""

from collections.abc import Callable
from typing import Literal

from pydantic import Field

from qhal_simulators.instrument import Connection, Instrument, Options, Send, Wire
from qhal_simulators.instruments.purephotonics.itla_packets import Error, Request, Status, parse, reply
from qhal_simulators.physics.ports import LaserSettings, Port
from qhal_simulators.simulated_time import Timer

_NOP, _IOCAP, _EAR = 0x00, 0x0D, 0x0B
_STATUS_F, _STATUS_W = 0x20, 0x21
_CHANNEL, _PWR, _RESENA, _MCB, _GRID, _FCF1, _FCF2 = 0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36
_LF1, _LF2, _OOP, _CTEMP, _FTFR, _OPSL, _OPSH, _FTF, _MODE = (
    0x40,
    0x41,
    0x42,
    0x43,
    0x4F,
    0x50,
    0x51,
    0x62,
    0x90,
)
_SENA, _MODULE_RESET, _SOFT_RESET = 0x08, 0x01, 0x02
_OFF_OOP = -6000
_DIS_BIT = 1 << 12
_MIDDLE_THZ = 193.4
_PLAIN = {
    0x08: 0, 0x09: 0, 0x0A: 0, 0x0E: 0, 0x0F: 0, 0x10: 0, 0x14: 0, _MCB: 2, _MODE: 0,
    0x22: 1000, 0x23: 500, 0x24: 50, 0x25: 25, 0x26: 1000, 0x27: 500, 0x28: 0x1FBF, 0x29: 0x0F0F, 0x2A: 0x0F0F,
    0x59: 0, 0x5A: 0, 0x5B: 0, 0x5C: 0, 0x5D: -500, 0x5E: 7000, 0x5F: 100, 0x60: 90,
}  # fmt: skip
"""Registers that only hold a value, with what they hold at power-up."""


class Ppcl550Options(Options):
    """What the sources leave open.

    ``ce_sense``: value of the CE bit that means a checksum error. ``constant_bit``: whether bit 26 of replies
    is 1. ``dis_bit``: what bit 12 of the status registers shows, the DIS* pin (1 while it is not pulled, as an
    independent client reads it) or that the output is disabled. ``fcf_range_error``: whether a first channel
    frequency out of range is refused (these modules do not). ``fine_tuning_shown``: whether LF1 and LF2 tell the
    frequency with fine tuning (one client says that they do). ``frame_timeout_s``: an unfinished frame is forgotten
    after a pause. ``initialising_s``: time until MRDY.
    ``tune_time_s``: time to lock. ``power_error_db`` and ``frequency_error_ghz``: true less set power and frequency;
    the power's changes by ``power_error_db_per_thz`` with the frequency above 193.4 THz. ``stuck``: what a module with
    a fault keeps when it is disabled, the bit that enables it or the light.
    """

    serial_number: str = "CRTMXC0001"
    msa: Literal["1.2", "1.3"] = "1.2"
    ce_sense: Literal[0, 1] = 1
    constant_bit: bool = True
    dis_bit: Literal["pin", "disabled"] = "pin"
    fcf_range_error: bool = False
    fine_tuning_shown: bool = False
    frame_timeout_s: float = Field(default=1.0, gt=0)
    initialising_s: float = Field(default=0.0, ge=0)
    tune_time_s: float = Field(default=0.2, ge=0)
    power_error_db: float = Field(default=0.0, ge=-1, le=1)
    power_error_db_per_thz: float = Field(default=0.0, ge=-0.3, le=0.3)
    frequency_error_ghz: float = Field(default=0.0, ge=-50, le=50)
    lowest_thz: float = 190.95
    highest_thz: float = 197.88
    lowest_dbm: float = 6.0
    highest_dbm: float = 13.5
    stuck: Literal["no", "enabled", "lit"] = "no"


class Ppcl550(Instrument):
    """The module's registers and the laser behind them."""

    wires = {"main": Wire.PTY}
    settings_type = LaserSettings
    options_model = Ppcl550Options
    options: Ppcl550Options
    port: Port[LaserSettings]

    def power_on(self) -> None:
        """Take the state after power-up: output off, defaults in all registers."""
        self.values = dict(_PLAIN)
        self.values |= {_CHANNEL: 1, _PWR: 1000, _GRID: 500, _FCF1: 193, _FCF2: 1000, _FTF: 0, _IOCAP: 0}
        self.enabled = self.locked = False
        self.error = Error.OK
        self.latched = 0
        self.pending: Timer | None = None
        self.string = b""
        self.ready_s = self.clock.now_s() + self.options.initialising_s
        self.show()

    def connect(self, name: str, send: Send) -> Connection:
        """Return the one connection of the serial line."""
        return _Module(self, send)

    @property
    def frequency_10mhz(self) -> int:
        """The channel's frequency in units of 0.1 GHz, fine tuning apart."""
        first = self.values[_FCF1] * 10000 + self.values[_FCF2]
        return first + (self.values[_CHANNEL] - 1) * self.values[_GRID]

    @property
    def shown_10mhz(self) -> int:
        """The frequency as LF1 and LF2 tell it."""
        fine_10mhz = round(self.values[_FTF] / 100) if self.options.fine_tuning_shown else 0
        return self.frequency_10mhz + fine_10mhz

    def show(self) -> None:
        """Let the light see the laser."""
        frequency = self.frequency_10mhz * 1e-4 + self.values[_FTF] * 1e-6
        frequency += self.options.frequency_error_ghz * 1e-3
        power = self.values[_PWR] / 100 + self.options.power_error_db
        power += self.options.power_error_db_per_thz * (frequency - _MIDDLE_THZ)
        self.port.apply(
            LaserSettings(enabled=self.enabled and self.locked, power_dbm=power, frequency_thz=frequency)
        )

    def tune(self) -> None:
        """Start an operation that ends when the laser has locked."""
        if self.pending is not None:
            self.pending.cancel()
        self.locked = False
        self.show()

        def lock() -> None:
            self.pending = None
            self.locked = True
            self.show()

        self.pending = self.clock.call_later(self.options.tune_time_s, lock)


class _Module:
    def __init__(self, unit: Ppcl550, send: Send) -> None:
        self._unit = unit
        self._send = send
        self._buffer = b""
        self._last = b""
        self._received_s = unit.clock.now_s()
        options = unit.options
        low, high = (round(f * 1e4) for f in (options.lowest_thz, options.highest_thz))
        self._strings: dict[int, str] = {
            0x01: "CW ITLA", 0x02: "Pure Photonics", 0x03: "PPCL550", 0x04: options.serial_number,
            0x05: "01-JAN-2024", 0x06: "PV:1.2.0:HW:1:FW:7", 0x07: "FW:1.0.0",
        }  # fmt: skip
        self._reads: dict[int, Callable[[], int]] = {
            _STATUS_F: self._status,
            _STATUS_W: self._status,
            _RESENA: lambda: _SENA if unit.enabled else 0,
            _LF1: lambda: unit.shown_10mhz // 10000,
            _LF2: lambda: unit.shown_10mhz % 10000,
            _OOP: lambda: unit.values[_PWR] if unit.port.settings.enabled else _OFF_OOP,
            _CTEMP: lambda: 2500,
            _FTFR: lambda: 12000,
            _OPSL: lambda: round(options.lowest_dbm * 100),
            _OPSH: lambda: round(options.highest_dbm * 100),
            0x13: lambda: 0,
            0x15: lambda: 0,
            0x52: lambda: low // 10000,
            0x53: lambda: low % 10000,
            0x54: lambda: high // 10000,
            0x55: lambda: high % 10000,
            0x56: lambda: 1,
            0x61: lambda: 1,
        }
        self._writes: dict[int, Callable[[int], Error | None]] = {
            _STATUS_F: self._clear,
            _STATUS_W: self._clear,
            _CHANNEL: self._channel,
            _PWR: self._power,
            _RESENA: self._reset_enable,
            _GRID: lambda data: self._while_off(_GRID, _signed(data)),
            _FCF1: lambda data: self._first_frequency(_FCF1, data),
            _FCF2: lambda data: self._first_frequency(_FCF2, data),
            _FTF: self._fine_tuning,
            _IOCAP: lambda data: self._keep(_IOCAP, data),
            _EAR: lambda data: Error.EXTENDED_READ_ONLY,
        }

    def receive(self, data: bytes) -> None:
        if self._unit.clock.now_s() - self._received_s > self._unit.options.frame_timeout_s:
            self._buffer = b""
        self._received_s = self._unit.clock.now_s()
        data = self._buffer + data
        whole = len(data) - len(data) % 4
        self._buffer = data[whole:]
        for start in range(0, whole, 4):
            frame = data[start : start + 4]
            self._last = self._answer(parse(frame), frame[1])
            self._send(self._last)

    def failed(self) -> None:
        self._buffer = b""
        self._send(self._refuse(_NOP, 0, Error.GENERAL))

    def closed(self) -> None:
        self._buffer = b""

    def _answer(self, request: Request | None, register: int) -> bytes:
        if request is None:
            return self._reply(Status.OK, register, 0, checksum_error=True)
        if request.repeat:
            return self._last
        if request.register == _NOP:
            return self._nop()
        if self._unit.clock.now_s() < self._unit.ready_s:
            return self._refuse(register, request.data, Error.INITIALISING)
        return self._write(register, request.data) if request.write else self._read(register)

    def _nop(self) -> bytes:
        unit = self._unit
        ready = unit.clock.now_s() >= unit.ready_s
        data = (1 << 8 if unit.pending else 0) | (0x10 if ready else 0) | unit.error
        unit.error = Error.OK
        return self._reply(Status.OK, _NOP, data)

    def _read(self, register: int) -> bytes:
        unit = self._unit
        unit.error = Error.OK
        if register in self._strings:
            unit.string = self._strings[register].encode() + b"\0"
            return self._reply(Status.AEA, register, len(unit.string))
        if register in (0x57, 0x58):
            words = (1500, 300) if register == 0x57 else (2500, 2600)
            unit.string = b"".join(word.to_bytes(2, "big") for word in words)
            return self._reply(Status.AEA, register, len(unit.string))
        if register == _EAR:
            if not unit.string:
                return self._refuse(register, 0, Error.EXTENDED_RANGE)
            pair, unit.string = unit.string[:2].ljust(2, b"\0"), unit.string[2:]
            return self._reply(Status.OK, register, int.from_bytes(pair, "big"))
        if register in self._reads:
            return self._reply(Status.OK, register, self._reads[register]())
        if register in unit.values:
            return self._reply(Status.OK, register, unit.values[register])
        return self._refuse(register, 0, Error.NOT_IMPLEMENTED)

    def _write(self, register: int, data: int) -> bytes:
        unit = self._unit
        unit.error = Error.OK
        if register in self._writes:
            pending_before = unit.pending
            error = self._writes[register](data)
            if error is not None:
                return self._refuse(register, data, error)
            started = unit.pending is not None and unit.pending is not pending_before
            return self._reply(Status.PENDING if started else Status.OK, register, data)
        if register in _PLAIN:
            unit.values[register] = data
            return self._reply(Status.OK, register, data)
        known = register in self._reads or register in self._strings
        return self._refuse(register, data, Error.NOT_WRITABLE if known else Error.NOT_IMPLEMENTED)

    def _channel(self, data: int) -> Error | None:
        unit = self._unit
        if unit.pending is not None:
            return Error.PENDING
        if data == 0:
            return Error.VALUE_RANGE
        unit.values[_CHANNEL] = data
        unit.tune()
        return None

    def _power(self, data: int) -> Error | None:
        options, power = self._unit.options, _signed(data)
        if not options.lowest_dbm * 100 - 0.5 <= power <= options.highest_dbm * 100 + 0.5:
            return Error.VALUE_RANGE
        self._unit.values[_PWR] = power
        self._unit.show()
        return None

    def _reset_enable(self, data: int) -> Error | None:
        unit = self._unit
        if data & (_MODULE_RESET | _SOFT_RESET):
            unit.power_on()
        elif data & _SENA:
            if not unit.enabled:
                unit.enabled = True
                unit.tune()
        else:
            if unit.pending is not None:
                unit.pending.cancel()
            unit.enabled, unit.pending = unit.options.stuck == "enabled", None
            if unit.options.stuck != "lit":
                unit.locked = False
                unit.show()
        return None

    def _first_frequency(self, register: int, data: int) -> Error | None:
        options = self._unit.options
        if register == _FCF2 and data > 9999:
            return Error.VALUE_RANGE
        inside = int(options.lowest_thz) <= data <= int(options.highest_thz)
        if options.fcf_range_error and register == _FCF1 and not inside:
            return Error.VALUE_RANGE
        return self._while_off(register, data)

    def _while_off(self, register: int, data: int) -> Error | None:
        if self._unit.enabled:
            return Error.OUTPUT_ENABLED
        return self._keep(register, data)

    def _keep(self, register: int, data: int) -> Error | None:
        self._unit.values[register] = data
        return None

    def _fine_tuning(self, data: int) -> Error | None:
        if abs(_signed(data)) > 12000:
            return Error.VALUE_RANGE
        self._unit.values[_FTF] = _signed(data)
        if self._unit.enabled:
            self._unit.tune()
        return None

    def _status(self) -> int:
        pin_released = self._unit.options.dis_bit == "pin"
        return self._unit.latched | (_DIS_BIT if pin_released or not self._unit.enabled else 0)

    def _clear(self, data: int) -> Error | None:
        self._unit.latched &= ~data
        return None

    def _refuse(self, register: int, data: int, error: Error) -> bytes:
        self._unit.error = error
        self._unit.latched |= 1 << 7
        return self._reply(Status.EXECUTION_ERROR, register, data)

    def _reply(self, status: Status, register: int, data: int, *, checksum_error: bool = False) -> bytes:
        options = self._unit.options
        flag = checksum_error if options.ce_sense else not checksum_error
        return reply(status, register, data, checksum_error=flag, constant_bit=options.constant_bit)


def _signed(data: int) -> int:
    return data - 0x10000 if data & 0x8000 else data
