"""Thorlabs MPC320 / MPC220 motorised paddle polarization controller: APT over USB serial, 115200 8N1, RTS/CTS.

After issue 28 of the APT manual and two public clients with hardware behind them. Unknown messages are not
answered. Without being enabled a channel counts steps but its paddle does not move.
"""

import math
import struct
from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field

from qhal_simulators.instrument import Connection, Instrument, Options, Send, Wire
from qhal_simulators.instruments.thorlabs import apt_messages
from qhal_simulators.physics.ports import PaddleSettings, Port
from qhal_simulators.simulated_time import Timer

COUNTS_PER_DEG = 1370 / 170
_MAX_COUNTS = 1370
_FULL_SPEED_DEG_PER_S = 400.0
_STATUS_PERIOD_S = 0.1
_UNACKNOWLEDGED_LIMIT = 50
_MOVING, _HOMED, _SETTLED, _POWER_OK, _ENABLED = 0x10, 0x400, 0x2000, 0x1000_0000, 0x8000_0000


class Mpc320Options(Options):
    """What the sources leave open.

    ``settle_time_s`` is added to every move. ``long_move_completed``: send the 14 data bytes that the manual
    promises and the unit, as clients saw it, does not. ``noise``: a stray status message before every reply.
    ``message_timeout_s``: an unfinished message is forgotten after a pause.
    ``play_deg``: standard deviation of where a paddle stops about where it says that it is, drawn from ``play_seed``.
    """

    model: Literal["MPC320", "MPC220"] = "MPC320"
    serial_number: int = Field(default=38454784, ge=38_000_000, le=38_999_999)
    settle_time_s: float = Field(default=0.05, ge=0)
    velocity_percent: int = Field(default=50, ge=10, le=100)
    long_move_completed: bool = False
    noise: bool = False
    message_timeout_s: float = Field(default=1.0, gt=0)
    play_deg: float = Field(default=0.0, ge=0, le=5)
    play_seed: int = Field(default=0, ge=0)


class Mpc320(Instrument):
    """The controller: positions in counts, an enable mask, one velocity for all paddles."""

    wires = {"main": Wire.PTY}
    settings_type = PaddleSettings
    options_model = Mpc320Options
    options: Mpc320Options
    port: Port[PaddleSettings]

    def power_on(self) -> None:
        """Take the state after power-up: channels disabled, not homed, paddles where they were left."""
        self.paddles = 3 if self.options.model == "MPC320" else 2
        if not hasattr(self, "positions"):
            self.positions = [0] * self.paddles
            self.off_deg = [0.0] * self.paddles
            self.moves = 0
        self.enabled = 0
        self.homed = [False] * self.paddles
        self.moving: list[Timer | None] = [None] * self.paddles
        self.parameters = [0, self.options.velocity_percent, 0, 25, 25, 25]
        self.show()

    def connect(self, name: str, send: Send) -> Connection:
        """Return the one connection of the serial line."""
        return _Apt(self, send)

    def show(self) -> None:
        """Let the light see where the paddles are."""
        degrees = [
            counts / COUNTS_PER_DEG + off for counts, off in zip(self.positions, self.off_deg, strict=True)
        ]
        self.port.apply(PaddleSettings(angles_rad=tuple(math.radians(angle) for angle in degrees)))

    def stop_at(self, paddle: int, counts: int) -> None:
        """Let a move end there, but for the play."""
        draw = np.random.default_rng((self.options.play_seed, self.moves)).standard_normal()
        self.moves += 1
        self.positions[paddle] = counts
        self.off_deg[paddle] = self.options.play_deg * float(draw)
        self.show()

    def move_time_s(self, paddle: int, target: int) -> float:
        """Return how long a move takes."""
        speed = _FULL_SPEED_DEG_PER_S * self.parameters[1] / 100
        return abs(target - self.positions[paddle]) / COUNTS_PER_DEG / speed + self.options.settle_time_s


class _Apt:
    def __init__(self, unit: Mpc320, send: Send) -> None:
        self._unit = unit
        self._send = send
        self._buffer = b""
        self._received_s = unit.clock.now_s()
        self._updates: Timer | None = None
        self._unacknowledged = 0
        self.handlers: dict[int, Callable[[apt_messages.Message], None]] = {
            0x0005: self._info,
            0x0011: self._start_updates,
            0x0012: self._stop_updates,
            0x0002: self._stop_updates,
            0x0210: self._enable,
            0x0211: self._enabled,
            0x0443: self._home,
            0x0453: self._move_absolute,
            0x0465: self._stop,
            0x046A: self._jog,
            0x0490: self._ask_status,
            0x0492: self._acknowledge,
            0x0530: self._set_parameters,
            0x0531: self._ask_parameters,
        }

    def receive(self, data: bytes) -> None:
        if self._unit.clock.now_s() - self._received_s > self._unit.options.message_timeout_s:
            self._buffer = b""
        self._received_s = self._unit.clock.now_s()
        messages, self._buffer = apt_messages.split(self._buffer + data)
        for message in messages:
            if handler := self.handlers.get(message.id):
                if self._unit.options.noise:
                    self._send(self._status(0))
                handler(message)

    def failed(self) -> None:
        self._buffer = b""  # the unit has no message for an error

    def closed(self) -> None:
        self._buffer = b""
        self._stop_updates(None)

    def _info(self, message: apt_messages.Message) -> None:
        unit = self._unit
        model = unit.options.model.encode().ljust(8, b"\0")
        head = struct.pack("<i8sH4B", unit.options.serial_number, model, 44, 1, 0, 3, 0)
        self._send(apt_messages.long(0x0006, head + bytes(60) + struct.pack("<HHH", 1, 0, unit.paddles)))

    def _start_updates(self, message: apt_messages.Message) -> None:
        self._stop_updates(None)
        self._unacknowledged = 0
        self._updates = self._unit.clock.call_later(_STATUS_PERIOD_S, self._push)

    def _stop_updates(self, message: apt_messages.Message | None) -> None:
        if self._updates is not None:
            self._updates.cancel()
        self._updates = None

    def _push(self) -> None:
        if self._unacknowledged < _UNACKNOWLEDGED_LIMIT:
            for paddle in range(self._unit.paddles):
                self._send(self._status(paddle))
                self._unacknowledged += 1
        self._updates = self._unit.clock.call_later(_STATUS_PERIOD_S, self._push)

    def _acknowledge(self, message: apt_messages.Message) -> None:
        self._unacknowledged = 0

    def _enable(self, message: apt_messages.Message) -> None:
        if message.param2 == 1:
            self._unit.enabled = message.param1 & (2**self._unit.paddles - 1)

    def _enabled(self, message: apt_messages.Message) -> None:
        on = bool(self._unit.enabled & message.param1)
        self._send(apt_messages.short(0x0212, message.param1, 1 if on else 2))

    def _home(self, message: apt_messages.Message) -> None:
        paddle = self._paddle(message.param1)
        if paddle is None:
            return

        def done() -> None:
            self._unit.homed[paddle] = True
            self._send(apt_messages.short(0x0444, message.param1))

        self._start(paddle, self._unit.parameters[2], done)

    def _move_absolute(self, message: apt_messages.Message) -> None:
        if len(message.data) == 6:
            ident, counts = struct.unpack("<Hi", message.data)
            self._move(ident, counts)

    def _jog(self, message: apt_messages.Message) -> None:
        paddle = self._paddle(message.param1)
        if paddle is not None and message.param2 in (1, 2):
            step = self._unit.parameters[3 + paddle] * (1 if message.param2 == 1 else -1)
            self._move(message.param1, self._unit.positions[paddle] + step)

    def _move(self, ident: int, counts: int) -> None:
        paddle = self._paddle(ident)
        if paddle is None or not 0 <= counts <= _MAX_COUNTS:
            return

        def done() -> None:
            if self._unit.options.long_move_completed:
                self._send(apt_messages.long(0x0464, self._status(paddle)[6:]))
            else:
                self._send(apt_messages.short(0x0464, ident))

        self._start(paddle, counts, done)

    def _start(self, paddle: int, counts: int, done: Callable[[], None]) -> None:
        unit = self._unit

        def arrive() -> None:
            unit.moving[paddle] = None
            if unit.enabled & 1 << paddle:
                unit.stop_at(paddle, counts)
            done()

        if (running := unit.moving[paddle]) is not None:
            running.cancel()  # a further move replaces the one before
        # All paddles run at once: stepped time moves on to the end only when a client waits for it.
        unit.moving[paddle] = unit.clock.call_later(unit.move_time_s(paddle, counts), arrive)

    def _stop(self, message: apt_messages.Message) -> None:
        paddle = self._paddle(message.param1)
        if paddle is not None:
            if timer := self._unit.moving[paddle]:
                timer.cancel()
                self._unit.moving[paddle] = None
            self._send(apt_messages.short(0x0466, message.param1))

    def _ask_status(self, message: apt_messages.Message) -> None:
        paddle = self._paddle(message.param1)
        if paddle is not None:
            self._send(self._status(paddle))

    def _status(self, paddle: int) -> bytes:
        unit = self._unit
        bits = (
            _POWER_OK
            | (_HOMED if unit.homed[paddle] else 0)
            | (_ENABLED if unit.enabled >> paddle & 1 else 0)
        )
        moving = unit.moving[paddle] is not None
        bits |= _MOVING if moving else _SETTLED
        velocity, current = (100, 120) if moving else (0, 0)
        return apt_messages.long(
            0x0491, struct.pack("<HihhI", 1 << paddle, unit.positions[paddle], velocity, current, bits)
        )

    def _set_parameters(self, message: apt_messages.Message) -> None:
        if len(message.data) == 12:
            values = list(struct.unpack("<6H", message.data))
            if 10 <= values[1] <= 100 and all(value <= _MAX_COUNTS for value in values[2:]):
                self._unit.parameters = values

    def _ask_parameters(self, message: apt_messages.Message) -> None:
        self._send(apt_messages.long(0x0532, struct.pack("<6H", *self._unit.parameters)))

    def _paddle(self, ident: int) -> int | None:
        return {1 << paddle: paddle for paddle in range(self._unit.paddles)}.get(ident)
