"""Single Quantum Atlas driver electronics ("WebSQ"): JSON over TCP 12000, counts pushed over TCP 12345.

Rests on the vendor's public client and an independent one; what the unit sends beyond what they read is not
established. Set-ups are not acknowledged in a way to rely on, so each is read back until the labels show it. Whether
a new measurement period begins at once is not established either, so the first line of counts only marks where the
next period begins; it comes over a connection made for the reading, on which nothing older can arrive. Bias is set and
switched for the whole group. The unit of the label BiasVoltage is uncertain and therefore an option.
"""

import json
import math
from typing import Any, Literal

from qhal.devices.declaration import ConnectionSpec, Declaration, Evidence, Identity, IdentityGrade, Options
from qhal.devices.detector import CountReading, Detector, DetectorCapabilities
from qhal.devices.device import Device
from qhal.devices.interface import now
from qhal.errors import DeviceError, ProtocolError, ReplyTimeout
from qhal.transport import replies
from qhal.transport.connection import Connection
from qhal.transport.frames import line

_CHUNK = line(b"\x17")
_LINE = line(b"\n")
_MAX_BIAS_UA = 50.0
_MAX_TRIGGER_MV = 1000.0
_RESOLUTION = 1e-3
"""Resolution of bias and trigger level as a fraction of full scale; that of the converters is not established."""
_MIN_PERIOD_S = 0.01
_DETECTORS = "NumberOfDetectors"
_MOST_DETECTORS = 64
_LATCHED_V = 0.5
"""Some 10 mV stand over a bias line below the switch current, 2 V and more above it."""
_VOLTAGES_V = (-0.1, 20.0)
"""What can stand over a bias line: some noise around 0 V at the least; beyond it the label is invalid."""
_PERIOD = "InptMeasurementPeriod"
_LABELS = {_DETECTORS, "BiasCurrent", "TriggerLevel", "BiasVoltage", "DetectorEnable"}
_LONGEST_PERIOD_MS = 3.6e6
_LATE_S = 2.0
"""How much later than its period a line of counts may come."""
_SETTLE_S = 0.1
_SHOWN_S, _POLL_S = 2.0, 0.05
"""Within what time the labels show a set-up, and how often they are read until then."""


class WebSqOptions(Options):
    """``voltage_unit``: unit of the label BiasVoltage, by which latching is judged."""

    voltage_unit: Literal["mV", "V"] = "mV"


class WebSq(Device, Detector):
    """Up to several superconducting detectors behind one Atlas unit."""

    options_model = WebSqOptions
    options: WebSqOptions
    declaration = Declaration(
        model="Single Quantum Atlas",
        connections={
            "main": ConnectionSpec(("tcp",), timeout_s=1.0),
            "counts": ConnectionSpec(("tcp",), timeout_s=1.0, on_demand=True),
        },
        identity=IdentityGrade.SHAPE,
        evidence=(Evidence.CLIENTS,),
    )

    def _start(self) -> None:
        self.connection.on_unsolicited = self._note
        self._errors: list[str] = []

    def _identify(self) -> Identity:
        count = self._number_of_detectors(self._labels())
        return Identity(manufacturer="Single Quantum", model="Atlas", shape=f"{count} detectors")

    def _read_capabilities(self) -> DetectorCapabilities:
        return DetectorCapabilities(
            channels=self._number_of_detectors(self._labels()),
            min_bias_ua=0.0,
            max_bias_ua=_MAX_BIAS_UA,
            bias_resolution_ua=_RESOLUTION * _MAX_BIAS_UA,
            max_trigger_mv=_MAX_TRIGGER_MV,
            trigger_resolution_mv=_RESOLUTION * _MAX_TRIGGER_MV,
            min_period_s=_MIN_PERIOD_S,
        )

    def _write_bias_ua(self, bias_ua: tuple[float, ...]) -> None:
        self._set("SetAllBiasCurrents", "BiasCurrent", list(bias_ua))

    def _read_bias_ua(self) -> tuple[float, ...]:
        return self._numbers("BiasCurrent")

    def _write_trigger_mv(self, trigger_mv: tuple[float, ...]) -> None:
        self._set("SetAllTriggerLevels", "TriggerLevel", list(trigger_mv))

    def _read_trigger_mv(self) -> tuple[float, ...]:
        return self._numbers("TriggerLevel")

    def _write_enabled(self, on: bool) -> None:
        self._set("DetectorEnable", "DetectorEnable", on)

    def _read_enabled(self) -> bool:
        return replies.as_flag(replies.member(self._labels(), "DetectorEnable"), "DetectorEnable")

    def _read_latched(self) -> tuple[bool | None, ...]:
        scale = 1e-3 if self.options.voltage_unit == "mV" else 1.0
        return tuple(_latched(voltage * scale) for voltage in self._numbers("BiasVoltage"))

    def _read_counts(self, period_s: float) -> CountReading:
        milliseconds = round(period_s * 1e3)
        period_s = milliseconds * 1e-3
        before_s = self._period_s()
        self._set("SetMeasurementPeriod", _PERIOD, milliseconds)
        counts = self.session.open_connection("counts")
        try:
            self._next_line(counts, (period_s, before_s))
            device_time_s, found = self._next_line(counts, (period_s, period_s))
        finally:
            self.session.close_connection("counts")
        if (after_s := self._period_s()) != period_s:
            raise DeviceError(
                f"{self.name}: the measurement period became {after_s:g} s during a reading of {period_s:g} s;"
                " another client sets it"
            )
        return CountReading(time=now(), device_time_s=device_time_s, period_s=period_s, counts=found)

    def _next_line(self, counts: Connection, waits_s: tuple[float, ...]) -> tuple[float, tuple[int, ...]]:
        """Return the next line of counts, which comes within these times one after another."""
        for wait_s in waits_s:
            self.clock.sleep_s(wait_s)
            try:
                return counts.receive(_LINE, timeout_s=wait_s + _LATE_S, parse=_counts)
            except ReplyTimeout:
                continue
        raise ReplyTimeout(f"{self.name}: no line of counts within {sum(waits_s):g} s")

    def _period_s(self) -> float:
        return 1e-3 * replies.as_number(
            replies.member(self._labels(_PERIOD), _PERIOD), _PERIOD, low=0.0, high=_LONGEST_PERIOD_MS
        )

    def _read_temperature_k(self) -> float | None:
        return None

    def _settle(self) -> None:
        self.clock.sleep_s(_SETTLE_S)

    def _set(self, command: str, label: str, value: object) -> None:
        """Send a set-up and read the labels until they show it. Raises DeviceError when they do not in time."""
        self._errors.clear()
        request = json.dumps({"command": command, "label": label, "value": value}).encode() + b"\n"
        self.connection.send(request, frame=_CHUNK)
        left_s = _SHOWN_S
        while (found := self._labels(label).get(label)) != value or self._errors:
            if self._errors:
                raise DeviceError(f"{self.name}: {command} {value}: {'; '.join(self._errors)}")
            if left_s <= 0:
                raise DeviceError(
                    f"{self.name}: {label} is {str(found)[:200]} {_SHOWN_S:g} s after setting {value}"
                )
            self.clock.sleep_s(_POLL_S)
            left_s -= _POLL_S

    def _labels(self, *further: str) -> dict[str, Any]:
        """Read all labels; a broadcast in between differs by its bare value.

        The reply ends with the last of the labels in ``_LABELS`` and of ``further`` ones, so that none of them is left
        to pass for the next reply.
        """
        found: dict[str, Any] = {}

        def complete(chunk: bytes) -> bool:
            for label, value in _objects(chunk):
                if isinstance(value, dict) and "value" in value:
                    found[label] = value["value"]
            return set(found) >= _LABELS.union(further)

        request = json.dumps({"request": "labelProps", "value": "None"}).encode() + b"\n"
        self.connection.exchange(request, _CHUNK, accept=complete)
        return found

    def _number_of_detectors(self, labels: dict[str, Any]) -> int:
        return replies.as_whole_number(labels[_DETECTORS], _DETECTORS, low=1, high=_MOST_DETECTORS)

    def _numbers(self, label: str) -> tuple[float, ...]:
        """Read a label with one number a channel; NaN for one that is not a number."""
        values = replies.as_list(replies.member(self._labels(), label), label, self.capabilities.channels)
        return tuple(_number(value) for value in values)

    def _note(self, chunk: bytes) -> None:
        """Take a chunk that answers nothing; an error in it belongs to the set-up before."""
        self._errors += [str(value)[:200] for label, value in _objects(chunk) if "Error" in label]


def _objects(chunk: bytes) -> list[tuple[str, Any]]:
    """Return label and value of every JSON object in a chunk; several may be glued together."""
    return [
        (replies.as_text(replies.member(each, "label"), "label"), replies.member(each, "value"))
        for each in replies.json_values(chunk)
    ]


def _latched(voltage_v: float) -> bool | None:
    """Return whether a detector with this voltage over it is latched; None where that cannot be its voltage."""
    low, high = _VOLTAGES_V
    return voltage_v > _LATCHED_V if low <= voltage_v <= high else None


def _number(value: Any) -> float:
    try:
        return replies.as_number(value, "a channel's value")
    except ProtocolError:
        return math.nan


def _counts(line: bytes) -> tuple[float, tuple[int, ...]]:
    """Return the unit's time and the counts out of a line."""
    device_time_s, *counts = replies.text(line).split(",")
    return replies.number(device_time_s, low=0.0), tuple(
        replies.whole_number(count, low=0) for count in counts
    )
