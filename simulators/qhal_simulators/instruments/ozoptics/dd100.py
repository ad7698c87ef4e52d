"""OZ Optics DD-100-MC motor-driven attenuator: RS-232, ASCII, 9600 8N1.

A command ends with CR (a following LF is ignored). A reply is zero or more lines, then ``Done``, then an empty
line, all ended CR LF; an error is a line ``Error-<n>`` in place of the data. There is no ``*IDN?``.
Sources: two independent public clients with hardware behind them, and a third that agrees with both.
"""

import math
import re
from collections.abc import Callable
from functools import partial
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from qhal_simulators.instrument import Connection, Instrument, Options, Send, Wire
from qhal_simulators.physics.ports import AttenuatorSettings, Port
from qhal_simulators.request_numbers import NumberOutOfRange, decimal

_END = b"\r\n"
_STEPS_OF_A_MOVE = 10
_WORST_SIGMAS = 6
_LONGEST_LINE, _MOST_WAITING = 64, 16
"""The unit's input buffer: a longer command is an overflow (Error-6), a further one is lost."""
_LEAST_LOSS_DB, _MOST_LOSS_DB = 0.0, 10.0
_LARGEST = 1e9


class Dd100Options(Options):
    """What the sources leave open, and what a unit may do wrong.

    ``homed``: whether the position is known at power-up (a real unit needs ``H``). ``error_trailer``: what follows
    an error line. ``echo``: characters are echoed at power-up. ``fault``: report this error for every move.
    ``lost_steps``: what homing finds.
    The true loss at set point A is A + ``offset_error_db`` + ``slope_error`` A + ``ripple_db`` sin(2 pi A /
    ``ripple_period_db`` + ``ripple_phase_rad``); replies tell A. Each move ends off by a random ``repeatability_db``
    (1 sigma) that is a matter of ``seed`` and how many moves there were before.
    """

    insertion_loss_db: float = Field(default=1.2, ge=0.5, le=3.0)
    max_attenuation_db: float = Field(default=60.0, gt=10, le=80)
    wavelength_nm: int = 1550
    homed: bool = False
    move_time_s: float = Field(default=0.3, ge=0)
    home_time_s: float = Field(default=3.0, ge=0)
    error_trailer: Literal["done", "none"] = "done"
    echo: bool = False
    fault: Literal[0, 5, 7] = 0
    lost_steps: int = 0
    offset_error_db: float = Field(default=0.0, ge=-3, le=3)
    slope_error: float = Field(default=0.0, ge=-0.2, le=0.2)
    ripple_db: float = Field(default=0.0, ge=0, le=3)
    ripple_period_db: float = Field(default=10.0, ge=0.1, le=100)
    ripple_phase_rad: float = 0.0
    repeatability_db: float = Field(default=0.0, ge=0, le=1)
    seed: int = Field(default=1, ge=0)

    @model_validator(mode="after")
    def _attenuates(self) -> Self:
        least_db = (
            (1 + self.slope_error) * self.insertion_loss_db
            + self.offset_error_db
            - self.ripple_db
            - _WORST_SIGMAS * self.repeatability_db
        )
        if least_db < 0:
            raise ValueError(
                f"the true loss at {self.insertion_loss_db} dB could be {least_db:.2f} dB, but must not be below 0: "
                "offset_error_db, slope_error, ripple_db or repeatability_db is too large"
            )
        return self

    def true_db(self, set_db: float) -> float:
        """Return the loss at a set point, what each move adds apart."""
        ripple = math.sin(2 * math.pi * set_db / self.ripple_period_db + self.ripple_phase_rad)
        return set_db + self.offset_error_db + self.slope_error * set_db + self.ripple_db * ripple


class Dd100(Instrument):
    """The attenuator: a set point in hundredths of a decibel, and a motor that takes its time."""

    wires = {"main": Wire.PTY}
    settings_type = AttenuatorSettings
    options_model = Dd100Options
    options: Dd100Options
    port: Port[AttenuatorSettings]
    moves = 0

    def power_on(self) -> None:
        """Take the state after power-up: the position is unknown, the path as the motor was left."""
        self.echo = self.options.echo
        self.homed = self.options.homed
        self.last_reply: list[str] = []
        self.offset_db = 0.0
        self.move_to(self.options.max_attenuation_db)

    @property
    def steps(self) -> int:
        """Motor position: one step a hundredth of a decibel above the insertion loss."""
        return round((self.attenuation_db - self.options.insertion_loss_db) * 100)

    @property
    def shown_db(self) -> float:
        """The attenuation on the scale of the replies, which ``L`` shifts."""
        return self.attenuation_db + self.offset_db

    def connect(self, name: str, send: Send) -> Connection:
        """Return the one connection of the serial line."""
        return _Line(self, send)

    def move_to(self, attenuation_db: float) -> None:
        """Arrive at a set point; the loss is what this unit makes of it, this time."""
        self.attenuation_db = attenuation_db
        number, self.moves = self.moves, self.moves + 1
        off = float(np.random.default_rng((self.options.seed, number)).standard_normal())
        true_db = self.options.true_db(attenuation_db) + self.options.repeatability_db * off
        self.port.apply(AttenuatorSettings(attenuation_db=true_db))


class _Line:
    def __init__(self, unit: Dd100, send: Send) -> None:
        self._unit = unit
        self._send = send
        self._buffer = b""
        self._busy = False
        self._waiting: list[str] = []
        commands: tuple[tuple[str, Callable[[re.Match[str]], None]], ...] = (
            (r"A\?", self._ask_attenuation),
            (r"A(\d+(?:\.\d{1,2})?)", self._set_attenuation),
            (r"D", self._ask_both),
            (r"S\?", self._ask_steps),
            (r"S([+-]?)(\d+)", self._step),
            (r"([FB])", self._one_step),
            (r"L(\d+(?:\.\d{1,2})?)", self._set_insertion_loss),
            (r"H", self._home),
            (r"CD", self._configuration),
            (r"RES\?", lambda found: self._answer(*self._unit.last_reply)),
            (r"RST", self._restart),
            (r"E([01])", self._set_echo),
        )
        self.patterns = {re.compile(pattern, re.ASCII): action for pattern, action in commands}

    def receive(self, data: bytes) -> None:
        if self._unit.echo:
            self._send(data)
        *lines, rest = data.replace(b"\n", b"").split(b"\r")
        for line in lines:
            self._take(line)
            self._end_line()
        self._take(rest)

    def failed(self) -> None:
        self._buffer, self._busy, self._waiting = b"", False, []
        self._error(2)

    def closed(self) -> None:
        self._buffer = b""

    def _take(self, text: bytes) -> None:
        """Keep what fits into the unit's buffer, and one byte more to know that something did not."""
        self._buffer = (self._buffer + text[: _LONGEST_LINE + 1])[: _LONGEST_LINE + 1]

    def _end_line(self) -> None:
        line, self._buffer = self._buffer, b""
        if (
            len(self._waiting) < _MOST_WAITING
        ):  # what comes while the motor runs and the buffer is full is lost
            self._waiting.append(line.decode("ascii", "replace").strip())
        self._next()

    def _next(self) -> None:
        """Run commands one after the other; the unit takes none while its motor runs."""
        while self._waiting and not self._busy:
            text = self._waiting.pop(0).upper()
            if not text:
                continue
            if len(text) > _LONGEST_LINE:
                self._error(6)
                continue
            for pattern, action in self.patterns.items():
                if found := pattern.fullmatch(text):
                    action(found)
                    break
            else:
                self._error(2)

    def _ask_attenuation(self, found: re.Match[str]) -> None:
        unit = self._unit
        self._answer(f"Atten:{unit.shown_db:.2f}(dB)" if unit.homed else "Atten: unknown")

    def _ask_both(self, found: re.Match[str]) -> None:
        unit = self._unit
        shown = f"{unit.shown_db:.2f}" if unit.homed else "unknown"
        self._answer(f"DPos:{unit.steps}", f"ATTEN:{shown}")

    def _ask_steps(self, found: re.Match[str]) -> None:
        self._answer(f"Pos:{self._unit.steps}")

    def _set_attenuation(self, found: re.Match[str]) -> None:
        self._move(self._number(found[1]) - self._unit.offset_db)

    def _set_insertion_loss(self, found: re.Match[str]) -> None:
        """Shift the scale of the replies, so that its lower end is the given insertion loss; nothing moves."""
        unit, loss_db = self._unit, self._number(found[1])
        if not _LEAST_LOSS_DB <= loss_db <= _MOST_LOSS_DB:
            self._error(6)
            return
        unit.offset_db = loss_db - unit.options.insertion_loss_db
        self._answer()

    @staticmethod
    def _number(text: str) -> float:
        """Return a number that the pattern of a command has let through; what is too large is above any limit."""
        try:
            return float(decimal(text, 0, _LARGEST))
        except NumberOutOfRange:
            return math.inf

    def _step(self, found: re.Match[str]) -> None:
        unit = self._unit
        sign = {"+": 1, "-": -1, "": 0}[found[1]]
        number = self._number(found[2])
        steps = unit.steps + sign * number if sign else number
        self._move(unit.options.insertion_loss_db + steps / 100)

    def _one_step(self, found: re.Match[str]) -> None:
        self._move(self._unit.attenuation_db + (0.01 if found[1] == "F" else -0.01))

    def _move(self, attenuation_db: float) -> None:
        unit = self._unit
        if (
            not unit.options.insertion_loss_db - 1e-9
            <= attenuation_db
            <= unit.options.max_attenuation_db + 1e-9
        ):
            self._error(6)
        elif unit.options.fault:
            self._error(unit.options.fault)
        else:
            self._sweep(attenuation_db)
            self._work(unit.options.move_time_s, lambda: self._arrived(attenuation_db))

    def _sweep(self, attenuation_db: float) -> None:
        """Let the light see the motor on its way."""
        unit = self._unit
        start_db, seconds = unit.attenuation_db, unit.options.move_time_s
        for step in range(1, _STEPS_OF_A_MOVE):
            fraction = step / _STEPS_OF_A_MOVE
            passed_db = unit.options.true_db(start_db + fraction * (attenuation_db - start_db))
            settings = AttenuatorSettings(attenuation_db=passed_db)
            unit.clock.call_later(fraction * seconds, partial(unit.port.apply, settings))

    def _arrived(self, attenuation_db: float) -> None:
        self._unit.move_to(attenuation_db)
        self._answer(f"Pos:{self._unit.steps}")

    def _home(self, found: re.Match[str]) -> None:
        unit = self._unit
        if unit.options.fault:
            self._error(unit.options.fault)
            return
        # The sweep may pass through full transparency.
        open_db = unit.options.true_db(unit.options.insertion_loss_db)
        unit.port.apply(AttenuatorSettings(attenuation_db=open_db))
        self._work(unit.options.home_time_s, self._homed)

    def _homed(self) -> None:
        self._unit.homed = True
        self._unit.move_to(self._unit.options.insertion_loss_db)
        self._answer(f"Diff={self._unit.options.lost_steps}")

    def _restart(self, found: re.Match[str]) -> None:
        def done() -> None:
            self._unit.power_on()
            self._configuration(found)

        self._work(self._unit.options.home_time_s, done)

    def _set_echo(self, found: re.Match[str]) -> None:
        self._unit.echo = found[1] == "1"
        self._answer()

    def _configuration(self, found: re.Match[str]) -> None:
        options, offset_db = self._unit.options, self._unit.offset_db
        self._answer(
            "DD-100-MC",
            f"IL: {options.insertion_loss_db + offset_db:.2f}",
            f"MAX ATTEN: {options.max_attenuation_db + offset_db:.2f}",
            f"WAVELENGTH: {options.wavelength_nm}",
        )

    def _work(self, seconds: float, done: Callable[[], None]) -> None:
        self._busy = True

        def finish() -> None:
            self._busy = False
            done()
            self._next()

        self._unit.clock.after(seconds, finish)

    def _answer(self, *lines: str) -> None:
        self._unit.last_reply = list(lines)
        self._send(b"".join(line.encode() + _END for line in (*lines, "Done", "")))

    def _error(self, number: int) -> None:
        trailer = ("Done", "") if self._unit.options.error_trailer == "done" else ()
        self._send(b"".join(line.encode() + _END for line in (f"Error-{number}", *trailer)))
