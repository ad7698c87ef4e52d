"""Single Quantum Atlas driver electronics ("WebSQ"): JSON over TCP 12000, counts pushed over TCP 12345.

Rests on the vendor's public client and an independent one; what the unit sends beyond what they read is not
established. Set-ups are not acknowledged in a way to rely on, so every one is read back. Bias is set and
switched for the whole group. The unit of the label BiasVoltage is uncertain and therefore an option.
"""

import json
from collections.abc import Iterator
from typing import Any, Literal

from qhal.devices.declaration import Declaration, Evidence, Identity, IdentityGrade, LinkSpec, Options
from qhal.devices.detector import CountReading, Detector, DetectorCapabilities, Scope
from qhal.devices.device import Device
from qhal.devices.kind import now
from qhal.errors import DeviceError, ProtocolError, ReplyTimeout, WrongDevice
from qhal.transport.frames import line

_CHUNK = line(b"\x17")
_COUNTS = line(b"\n")
_MAX_BIAS_UA = 50.0
_MAX_TRIGGER_MV = 1000.0
_MIN_PERIOD_S = 0.01
_LATCHED_V = 0.5
"""Some 10 mV stand over a bias line below the switch current, 2 V and more above it."""
_LINES_IN_A_PERIOD = 3
_SETTLE_S = 0.1


class WebSqOptions(Options):
    """``voltage_unit``: unit of the label BiasVoltage, by which latching is judged."""

    voltage_unit: Literal["mV", "V"] = "mV"


class WebSq(Device, Detector):
    """Up to several superconducting detectors behind one Atlas unit."""

    options_model = WebSqOptions
    options: WebSqOptions
    declaration = Declaration(
        model="Single Quantum Atlas",
        links={
            "main": LinkSpec(("tcp",), timeout_s=10.0, late_s=10.0),
            "counts": LinkSpec(("tcp",), timeout_s=10.0),
        },
        identity=IdentityGrade.SHAPE,
        evidence=(Evidence.CLIENTS,),
    )

    def _start(self) -> None:
        self.port.on_unsolicited = self._note
        self._errors: list[str] = []

    def _identify(self) -> Identity:
        labels = self._labels()
        if not isinstance(labels.get("NumberOfDetectors"), int):
            raise WrongDevice(f"{self.name}: no label NumberOfDetectors among {sorted(labels)}")
        return Identity(
            manufacturer="Single Quantum", model="Atlas", shape=f"{labels['NumberOfDetectors']} detectors"
        )

    def _read_capabilities(self) -> DetectorCapabilities:
        return DetectorCapabilities(
            channels=int(self._labels()["NumberOfDetectors"]),
            bias_scope=Scope.GROUP,
            enable_scope=Scope.GROUP,
            min_bias_ua=0.0,
            max_bias_ua=_MAX_BIAS_UA,
            max_trigger_mv=_MAX_TRIGGER_MV,
            min_period_s=_MIN_PERIOD_S,
        )

    def _read_settings(self) -> dict[str, Any]:
        return {
            "enabled": self._read_enabled(),
            "bias_ua": self._read_bias_ua(),
            "trigger_mv": self._read_trigger_mv(),
        }

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
        return bool(self._labels()["DetectorEnable"])

    def _read_latched(self) -> tuple[bool, ...]:
        limit = _LATCHED_V * (1000.0 if self.options.voltage_unit == "mV" else 1.0)
        return tuple(voltage > limit for voltage in self._numbers("BiasVoltage"))

    def _read_counts(self, period_s: float) -> CountReading:
        milliseconds = round(period_s * 1e3)
        self._set("SetMeasurementPeriod", "InptMeasurementPeriod", milliseconds)
        counts = self.link_port("counts")
        if counts.state.value == "ready":
            counts.link.discard()
        # The first period that is whole begins after everything that has arrived by now.
        for _ in range(_LINES_IN_A_PERIOD):
            self.clock.sleep_s(period_s)
            try:
                text = counts.receive(_COUNTS, timeout_s=period_s + 2.0)
            except ReplyTimeout:
                continue
            return self._parsed_counts(text, milliseconds * 1e-3)
        raise ReplyTimeout(f"{self.name}: no line of counts within {_LINES_IN_A_PERIOD * period_s:g} s")

    def _read_temperature_k(self) -> float | None:
        return None

    def _settle(self) -> None:
        self.clock.sleep_s(_SETTLE_S)

    def _parsed_counts(self, text: bytes, period_s: float) -> CountReading:
        try:
            device_time_s, *counts = (float(field) for field in text.decode("ascii").split(","))
        except ValueError as error:
            raise ProtocolError(f"{self.name}: {text!r} is no line of counts") from error
        if len(counts) != self.capabilities.channels:
            raise ProtocolError(
                f"{self.name}: {len(counts)} counts for {self.capabilities.channels} channels"
            )
        return CountReading(
            time=now(),
            device_time_s=device_time_s,
            period_s=period_s,
            counts=tuple(round(count) for count in counts),
        )

    def _set(self, command: str, label: str, value: object) -> None:
        """Send a set-up and read the label back until it shows it."""
        self._errors.clear()
        request = json.dumps({"command": command, "label": label, "value": value}).encode() + b"\n"
        self.port.send(request, frame=_CHUNK)
        found = self._labels().get(label)
        if self._errors:
            raise DeviceError(f"{self.name}: {command} {value}: {'; '.join(self._errors)}")
        if found != value:
            raise DeviceError(f"{self.name}: {label} is {found!r} after setting {value!r}")

    def _labels(self) -> dict[str, Any]:
        """Ask for all labels; broadcasts in between are told apart by their bare values."""
        found: dict[str, Any] = {}

        def complete(chunk: bytes) -> bool:
            for label, value in self._objects(chunk):
                if isinstance(value, dict) and "value" in value:
                    found[label] = value["value"]
            return {"NumberOfDetectors", "BiasVoltage", "DetectorEnable"} <= set(found)

        request = json.dumps({"request": "labelProps", "value": "None"}).encode() + b"\n"
        self.port.exchange(request, _CHUNK, accept=complete)
        return found

    def _numbers(self, label: str) -> tuple[float, ...]:
        value = self._labels().get(label)
        if not isinstance(value, list) or not all(isinstance(v, int | float) for v in value):
            raise ProtocolError(f"{self.name}: label {label} is {value!r}, a list of numbers is expected")
        return tuple(float(v) for v in value)

    def _note(self, chunk: bytes) -> None:
        """Take a chunk that answers nothing; an error in it belongs to the set-up before."""
        self._errors += [str(value) for label, value in self._objects(chunk) if "Error" in label]

    def _objects(self, chunk: bytes) -> Iterator[tuple[str, Any]]:
        """Yield label and value of every JSON object in a chunk; several may be glued together."""
        text, decoder = chunk.decode("utf-8", "replace").strip(), json.JSONDecoder()
        while text:
            try:
                message, end = decoder.raw_decode(text)
                yield str(message["label"]), message["value"]
            except (ValueError, KeyError, TypeError) as error:
                raise ProtocolError(f"{self.name}: {text[:80]!r} is no label object") from error
            text = text[end:].lstrip()
