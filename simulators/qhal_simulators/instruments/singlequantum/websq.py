"""Single Quantum Atlas driver electronics ("WebSQ"): JSON over TCP 12000, counts pushed over TCP 12345.

After the vendor's public client and an independent one. Requests are bare JSON objects, with or without a line
end; replies are JSON objects ended by ETB (0x17). Changes of labels are told to every connected client.
"""

import json
import random
from collections.abc import Callable
from typing import Any, Literal

from pydantic import Field

from qhal_simulators.clock import Timer
from qhal_simulators.instrument import Connection, Instrument, Options, Send, Wire
from qhal_simulators.physics.ports import DetectorPort

_ETB = b"\x17"
_MAX_CURRENT_UA = 90.9
_DEFAULT_PERIOD_MS = 100


class WebSqOptions(Options):
    """What the sources leave open.

    ``voltage_unit``: unit of the label BiasVoltage. ``broadcast``: label changes go to all clients, or only to the
    one that asked. ``glued``: several objects come in one chunk. ``unix_start_s``: wall clock of the unit at
    world time 0. ``dark_rate_hz``: standing alone, counts of a biased detector.
    """

    detectors: int = Field(default=4, ge=1, le=4)
    voltage_unit: Literal["mV", "V"] = "mV"
    broadcast: bool = True
    glued: bool = False
    unix_start_s: float = 1_700_000_000.0
    dark_rate_hz: float = Field(default=100.0, ge=0)


class WebSq(Instrument):
    """Labels with values, and a line of counts per measurement period."""

    wires = {"main": Wire.TCP, "counts": Wire.TCP}
    port_type = DetectorPort
    options_model = WebSqOptions
    options: WebSqOptions
    port: DetectorPort

    def power_on(self) -> None:
        """Take the state after power-up: bias off, currents at zero."""
        n = self.options.detectors
        self.labels: dict[str, Any] = {
            "NumberOfDetectors": n,
            "InptMeasurementPeriod": _DEFAULT_PERIOD_MS,
            "BiasCurrent": [0.0] * n,
            "TriggerLevel": [100.0] * n,
            "DetectorEnable": False,
            "StartAutoIV": False,
            "BiasCurrentAutoIV": [0.0] * n,
            "IVScanEnable": False,
            "IVScanStart": 0.0,
            "IVScanEnd": 35.0,
            "IVScanIncrement": 0.1,
        }
        if not hasattr(self, "clients"):
            self.clients: list[_Control] = []
            self.listeners: list[_Counts] = []
            self._alone = random.Random(1)
        self._timer: Timer | None = getattr(self, "_timer", None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._alone_counts = [0] * n
        self.apply()
        self.restart_counting()

    def connect(self, link: str, send: Send) -> Connection:
        """Return the unit's end of a client's control or counts connection."""
        return _Control(self, send) if link == "main" else _Counts(self, send)

    def apply(self) -> None:
        """Let the detectors see bias and trigger."""
        pad = (0.0,) * (4 - self.options.detectors)
        self.port.update(
            enabled=self.labels["DetectorEnable"],
            bias_ua=(*self.labels["BiasCurrent"], *pad),
            trigger_mv=(*self.labels["TriggerLevel"], *pad),
        )

    def restart_counting(self) -> None:
        """Begin a measurement period now, if anybody listens."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.listeners:
            self._last = self._totals()
            self._timer = self.clock.call_later(self._period_s, self._count)

    def voltages(self) -> list[float]:
        """Return the bias voltages in the unit's unit."""
        scale = 1e3 if self.options.voltage_unit == "mV" else 1.0
        return [value * scale for value in self.port.read_voltages_v()[: self.options.detectors]]

    @property
    def _period_s(self) -> float:
        return float(self.labels["InptMeasurementPeriod"]) * 1e-3

    def _count(self) -> None:
        assert self._timer is not None
        due_s = self._timer.due_s
        totals = self._totals()
        counts = [now - before for now, before in zip(totals, self._last, strict=True)]
        self._last = totals
        line = ",".join([f"{self.options.unix_start_s + due_s:.6f}", *map(str, counts)])
        for listener in tuple(self.listeners):
            listener.send(line.encode() + b"\n")
        self._timer = self.clock.call_at(due_s + self._period_s, self._count)

    def _totals(self) -> list[int]:
        if self.port.alone and self.labels["DetectorEnable"]:
            mean = self.options.dark_rate_hz * self._period_s
            for n in range(self.options.detectors):
                self._alone_counts[n] += max(0, round(self._alone.gauss(mean, mean**0.5)))
            return list(self._alone_counts)
        return list(self.port.read_clicks()[: self.options.detectors])


class _Counts:
    def __init__(self, unit: WebSq, send: Send) -> None:
        self._unit = unit
        self.send = send
        unit.listeners.append(self)
        if len(unit.listeners) == 1:
            unit.restart_counting()

    def receive(self, data: bytes) -> None:
        """Ignore what a client says here."""

    def closed(self) -> None:
        self._unit.listeners.remove(self)


class _Control:
    def __init__(self, unit: WebSq, send: Send) -> None:
        self._unit = unit
        self._send = send
        self._buffer = ""
        unit.clients.append(self)
        self._commands: dict[str, Callable[[Any], None]] = {
            "SetMeasurementPeriod": self._period,
            "SetAllBiasCurrents": lambda value: self._currents("BiasCurrent", value, _MAX_CURRENT_UA),
            "SetAllTriggerLevels": lambda value: self._currents("TriggerLevel", value, 1000.0),
            "DetectorEnable": self._enable,
            "DarkCountsAutoIV": lambda value: None,
            "AutoCaliBiasCurrents": lambda value: self._set(
                "BiasCurrentAutoIV", self._unit.labels["BiasCurrent"]
            ),
            "IVScanEnable": lambda value: self._set("IVScanEnable", bool(value)),
        }

    def receive(self, data: bytes) -> None:
        self._buffer += data.decode("utf-8", "replace")
        decoder = json.JSONDecoder()
        while text := self._buffer.lstrip():
            try:
                message, end = decoder.raw_decode(text)
            except ValueError as error:
                if isinstance(error, json.JSONDecodeError) and error.pos >= len(text) - 1:
                    return  # more is to come
                if not text.startswith("{"):
                    self._buffer = ""
                    self._tell("ErrorMessage", "no JSON object")
                return
            self._buffer = text[end:]
            self._handle(message)

    def closed(self) -> None:
        self._unit.clients.remove(self)

    def _handle(self, message: Any) -> None:
        if not isinstance(message, dict):
            self._tell("ErrorMessage", "no JSON object")
        elif "request" in message:
            self._request(str(message["request"]))
        elif (command := message.get("command")) in self._commands:
            self._commands[command](message.get("value"))
        elif message.get("label") in ("IVScanStart", "IVScanEnd", "IVScanIncrement"):
            self._scan_setting(message["label"], message.get("value"))
        else:
            self._tell("ErrorMessage", f"unknown command {command!r}")

    def _request(self, name: str) -> None:
        unit = self._unit
        if name == "labelProps":
            objects = [(label, {"value": value}) for label, value in unit.labels.items()]
            objects.append(("BiasVoltage", {"value": unit.voltages()}))
            self._tell_all(objects)
        elif name == "BiasVoltage":
            self._tell(name, unit.voltages())
        elif name == "IVHistory":
            self._tell_all([("ic_scan_history", []), ("iv_scan_history", [])])
        elif name == "TemperatureHistory":
            cold, shield = unit.port.read_temperatures_k()
            history = {
                "T": [cold],
                "T2": [shield],
                "V_avrg": [0.0],
                "BoardTemp1": [30.0],
                "BoardTemp2": [30.0],
            }
            unit.clock.call_later(0.0, lambda: self._tell("temperature_long_memory", history))
        elif name in unit.labels:
            self._tell(name, unit.labels[name])
        else:
            self._tell("ErrorMessage", f"unknown request {name!r}")

    def _period(self, value: Any) -> None:
        if not isinstance(value, int) or value < 10:
            self._tell("ErrorMessage", "the measurement period is a whole number of at least 10 ms")
            return
        self._set("InptMeasurementPeriod", value)
        self._unit.restart_counting()

    def _currents(self, label: str, value: Any, limit: float) -> None:
        good = isinstance(value, list) and len(value) == self._unit.options.detectors
        if not good or not all(isinstance(v, int | float) and abs(v) <= limit for v in value):
            self._tell(
                "ErrorMessage", f"{label}: {self._unit.options.detectors} numbers up to {limit} are needed"
            )
            return
        self._set(label, [float(v) for v in value])
        self._unit.apply()

    def _enable(self, value: Any) -> None:
        self._set("DetectorEnable", bool(value))
        self._unit.apply()

    def _scan_setting(self, label: str, value: Any) -> None:
        if isinstance(value, int | float) and abs(value) <= _MAX_CURRENT_UA:
            self._set(label, float(value))
        else:
            self._tell("ErrorMessage", f"{label}: -90.9 to 90.9 uA")

    def _set(self, label: str, value: Any) -> None:
        self._unit.labels[label] = value
        clients = self._unit.clients if self._unit.options.broadcast else [self]
        for client in clients:
            client._tell(label, value)

    def _tell(self, label: str, value: Any) -> None:
        self._tell_all([(label, value)])

    def _tell_all(self, objects: list[tuple[str, Any]]) -> None:
        texts = [json.dumps({"label": label, "value": value}).encode() for label, value in objects]
        if self._unit.options.glued:
            self._send(b"".join(texts) + _ETB)
        else:
            for text in texts:
                self._send(text + _ETB)
