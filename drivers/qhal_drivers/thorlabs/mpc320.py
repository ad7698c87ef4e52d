"""Thorlabs MPC320 (3 paddles) and MPC220 (2): APT over USB serial, 115200 8N1, RTS/CTS.

Rests on issue 28 of the APT manual and on public clients run on hardware. 1370 counts are 170 degrees. Without
being enabled a channel counts steps but does not move. A move has ended when the position equals the target, homing
when the message of that paddle reports it and it is at the home position. Replies keep the order of requests, so a
position that is read after another reply is not one from before the move.
"""

import struct
from typing import Any, NamedTuple

from qhal.devices.declaration import ConnectionSpec, Declaration, Evidence, Identity, IdentityGrade, UsbId
from qhal.devices.device import Device
from qhal.devices.interface import check_read
from qhal.devices.polarization_controller import (
    PolarizationController,
    PolarizationControllerCapabilities,
)
from qhal.errors import DeviceError, ProtocolError, WrongDevice
from qhal.transport import replies
from qhal.transport.proof import Proof, align
from qhal.transport.settings import SerialSettings
from qhal_drivers.thorlabs import apt

_COUNTS_PER_DEG = 1370 / 170
_MODELS = {"MPC320": 3, "MPC220": 2}
_ENABLED = 0x8000_0000
_VELOCITY_PERCENT = (10.0, 100.0)
_FULL_SPEED_DEG_PER_S = 400.0
_POLL_S = 0.02
_ENABLE_PAUSE_S = 0.2
_SLACK_S = 2.0
_HOME_S = 10.0
_HOMED = 0x0444
_HOME_TOLERANCE_COUNTS = 3
"""How well homing repeats; whether the unit reports its home exactly is not established."""
# Messages that come unasked: status updates, ends of moves and of homing, stopped.
_UNSOLICITED = frozenset({0x0491, 0x0464, _HOMED, 0x0466})
_MOST_COUNTS = 1370


# No status message: an unsolicited one could not be distinguished from the reply.
_PROOFS = (
    Proof(apt.request(0x0531), apt.frame, lambda message: apt.message_id(message) == 0x0532),
    Proof(apt.request(0x0005), apt.frame, lambda message: apt.message_id(message) == 0x0006),
)
_LONGEST_REST = 5
"""Bytes by which a header of another program may be incomplete."""


class _PaddleStatus(NamedTuple):
    counts: int
    enabled: bool


class Mpc320(Device, PolarizationController):
    """An MPC320 or MPC220. All channels are enabled when it is first asked to move."""

    declaration = Declaration(
        model="Thorlabs MPC320",
        connections={
            "main": ConnectionSpec(
                ("serial",),
                timeout_s=1.0,
                settings={"serial": SerialSettings(baudrate=115200, rtscts=True)},
            )
        },
        identity=IdentityGrade.SERIAL,
        evidence=(Evidence.MANUAL, Evidence.CLIENTS),
        usb=(UsbId(0x0403, 0xFAF0, "Thorlabs", new_id=True),),
    )
    _homed: frozenset[int] = frozenset()
    """Channels whose end of homing was reported."""

    def _align(self) -> None:
        self.connection.on_unsolicited = self._note
        align(self.connection, _PROOFS, b"\0", _LONGEST_REST)

    def _proofs(self) -> tuple[Proof, ...]:
        return _PROOFS

    def _start(self) -> None:
        self.connection.send(
            apt.request(0x0012), frame=apt.frame
        )  # stop status updates left on by another client

    def _note(self, message: bytes) -> None:
        if apt.message_id(message) == _HOMED:
            self._homed |= {message[2]}
        if apt.message_id(message) not in _UNSOLICITED:
            raise ProtocolError(f"{self.name}: {message.hex(' ')} answers nothing that was asked")

    def _identify(self) -> Identity:
        data = self._ask(apt.request(0x0005), 0x0006, 84)
        serial, model, _, minor, interim, major, _ = struct.unpack_from("<i8sH4B", data)
        text = replies.label(replies.text(model.partition(b"\0")[0]))
        if text not in _MODELS:
            raise WrongDevice(f"{self.name}: a {text!r} answers, expected {' or '.join(_MODELS)}")
        if (paddles := int.from_bytes(data[-2:], "little")) != _MODELS[text]:
            raise ProtocolError(f"{self.name}: an {text} reports {paddles} paddles")
        return Identity(
            manufacturer="Thorlabs",
            model=text,
            serial_number=str(serial),
            firmware=f"{major}.{interim}.{minor}",
            shape=f"{_MODELS[text]} paddles",
        )

    def _read_capabilities(self) -> PolarizationControllerCapabilities:
        paddles = _MODELS[self.identity.model]
        return PolarizationControllerCapabilities(
            paddles=paddles, min_angle_deg=0.0, max_angle_deg=170.0, resolution_deg=1 / _COUNTS_PER_DEG
        )

    def _read_settings(self) -> dict[str, Any]:
        return super()._read_settings() | {"velocity_percent": self.known(self._velocity_percent)}

    def _read_angle_deg(self, paddle: int) -> float:
        return self._status(paddle).counts / _COUNTS_PER_DEG

    def _move_to_deg(self, targets_deg: dict[int, float]) -> None:
        self._enable_all()
        targets = {paddle: round(angle * _COUNTS_PER_DEG) for paddle, angle in targets_deg.items()}
        start = self._angles_deg()
        farthest = max(abs(start[paddle - 1] - angle) for paddle, angle in targets_deg.items())
        for paddle, counts in targets.items():
            data = struct.pack("<Hi", 1 << paddle - 1, counts)
            self.connection.send(apt.request_with_data(0x0453, data), frame=apt.frame)
        speed = _FULL_SPEED_DEG_PER_S * self._velocity_percent() / 100
        waiting, left_s = dict(targets), farthest / speed + _SLACK_S
        while waiting and left_s > 0:
            waiting = {p: counts for p, counts in waiting.items() if self._status(p).counts != counts}
            if waiting:
                self.clock.sleep_s(_POLL_S)
                left_s -= _POLL_S
        if waiting:
            raise DeviceError(f"{self.name}: paddles {sorted(waiting)} did not arrive in time")

    def _home(self) -> None:
        self._enable_all()
        for paddle in range(1, self.capabilities.paddles + 1):
            channel = 1 << paddle - 1
            self.connection.send(apt.request(0x0443, channel), frame=apt.frame)
            self._homed = frozenset()  # what came before the request is the end of another homing
            home, left_s = self._home_counts(), _HOME_S
            while (
                abs((counts := self._status(paddle).counts) - home) > _HOME_TOLERANCE_COUNTS
                or channel not in self._homed
            ):
                if left_s <= 0:
                    said = "" if channel in self._homed else " and has not reported the end of homing"
                    raise DeviceError(
                        f"{self.name}: paddle {paddle} is at {counts / _COUNTS_PER_DEG:.2f} deg"
                        f" {_HOME_S:g} s after homing began, home is {home / _COUNTS_PER_DEG:.2f} deg{said}"
                    )
                self.clock.sleep_s(_POLL_S)
                left_s -= _POLL_S

    def _enable_all(self) -> None:
        paddles = range(1, self.capabilities.paddles + 1)
        if all(self._status(paddle).enabled for paddle in paddles):
            return
        self.connection.send(apt.request(0x0210, 2 ** len(paddles) - 1, 1), frame=apt.frame)
        self.clock.sleep_s(_ENABLE_PAUSE_S)  # switching faster hangs the unit
        for paddle in paddles:
            if not self._status(paddle).enabled:
                raise DeviceError(f"{self.name}: paddle {paddle} cannot be enabled")

    def _velocity_percent(self) -> int:
        percent = self._parameters()[1]
        check_read(self, "velocity", percent, *_VELOCITY_PERCENT, "%")
        return percent

    def _home_counts(self) -> int:
        counts = self._parameters()[2]
        check_read(self, "home position", counts, 0, _MOST_COUNTS, "counts")
        return counts

    def _parameters(self) -> tuple[int, ...]:
        return struct.unpack("<6H", self._ask(apt.request(0x0531), 0x0532, 12))

    def _status(self, paddle: int) -> _PaddleStatus:
        channel = 1 << paddle - 1
        data = self._ask(apt.request(0x0490, channel), 0x0491, 14, channel=channel)
        _, counts, _, _, bits = struct.unpack("<HihhI", data)
        return _PaddleStatus(counts, bool(bits & _ENABLED))

    def _ask(self, request: bytes, reply_id: int, size: int, *, channel: int | None = None) -> bytes:
        """Return the data of the reply, ``size`` bytes."""

        def answers(message: bytes) -> bool:
            if apt.message_id(message) != reply_id:
                return False
            return channel is None or int.from_bytes(message[6:8], "little") == channel

        def parse(message: bytes) -> bytes:
            data = message[6:]
            if len(data) != size:
                raise ProtocolError(f"message {reply_id:#06x} has {len(data)} bytes of data, not {size}")
            return data

        return self.connection.exchange(request, apt.frame, accept=answers, parse=parse)
