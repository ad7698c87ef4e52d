"""The control connection of a WebSQ unit: JSON objects in, labels out."""

import json
import re
from collections.abc import Callable
from typing import Any, Protocol

from qhal_simulators.instrument import Send
from qhal_simulators.instruments.singlequantum.bias_scan import BiasScan, BiasSearch
from qhal_simulators.instruments.singlequantum.websq_options import WebSqOptions

_ETB = b"\x17"
_LONGEST_OBJECT = 1 << 16
_MAX_CURRENT_UA = 90.9
_MAX_TRIGGER_MV = 1000.0
_MAX_PERIOD_MS = 3_600_000
_MAX_DARK_COUNTS = 1e9
_SCAN_SETTINGS = ("IVScanStart", "IVScanEnd", "IVScanIncrement")


class LabelledUnit(Protocol):
    """The unit behind a control connection: labels with values, and what they set in motion."""

    options: WebSqOptions
    labels: dict[str, Any]
    shown: dict[str, Any]
    clients: list["Control"]
    scan: BiasScan
    search: BiasSearch

    def set(self, label: str, value: Any, by: "Control | None" = None) -> None:
        """Change a label and send it to the clients."""
        ...

    def apply(self) -> None:
        """Apply bias and trigger levels."""
        ...

    def counting_changed(self) -> None:
        """Take a new measurement period."""
        ...

    def start_scan(self) -> bool:
        """Begin a scan; False if its settings give no points."""
        ...

    def start_search(self, targets: list[float]) -> None:
        """Begin the search for currents with these dark counts."""
        ...

    def stop_sequences(self) -> None:
        """End a scan or search."""
        ...

    def voltages(self) -> list[float]:
        """Return the bias voltages in the unit's unit."""
        ...

    def temperatures(self) -> dict[str, list[Any]]:
        """Return the latest temperatures."""
        ...


class Objects:
    """Cuts a stream into JSON objects, with or without anything between them.

    What is not part of an object, or makes it longer than 64 KiB, comes out as None.
    """

    _special = re.compile(r"""["{}\\\n]""")

    def __init__(self) -> None:
        self._text = ""
        self.clear()

    def clear(self) -> None:
        """Forget an unfinished object."""
        self._text, self._at, self._depth, self._quoted = "", 0, 0, False

    def feed(self, data: bytes) -> list[str | None]:
        """Return the objects that are complete now."""
        found: list[str | None] = []
        text = data.decode("utf-8", "replace")
        for start in range(0, len(text), _LONGEST_OBJECT):
            self._text += text[start : start + _LONGEST_OBJECT]
            self._cut(found)
            if len(self._text) > _LONGEST_OBJECT:
                self.clear()
                found.append(None)
        return found

    def _cut(self, found: list[str | None]) -> None:
        if self._depth == 0:
            self._skip_to_object(found)
        while self._depth and (mark := self._special.search(self._text, self._at)):
            self._at = mark.end()
            if mark[0] == "\\" and self._quoted:
                self._at += 1
            elif mark[0] == "\n" and self._quoted:  # no JSON text holds a line end: the object is broken
                self._end(found, good=False)
            elif mark[0] == '"':
                self._quoted = not self._quoted
            elif mark[0] in "{}" and not self._quoted:
                self._depth += 1 if mark[0] == "{" else -1
                if self._depth == 0:
                    self._end(found, good=True)
        if self._depth:
            self._at = max(self._at, len(self._text))

    def _end(self, found: list[str | None], *, good: bool) -> None:
        found.append(self._text[: self._at] if good else None)
        rest = self._text[self._at :]
        self.clear()
        self._text = rest
        self._skip_to_object(found)

    def _skip_to_object(self, found: list[str | None]) -> None:
        start = self._text.find("{")
        if self._text[: None if start < 0 else start].strip():
            found.append(None)
        self._text = "" if start < 0 else self._text[start:]
        self._at = self._depth = int(start >= 0)


class Control:
    """One client."""

    def __init__(self, unit: LabelledUnit, send: Send) -> None:
        self._unit = unit
        self._send = send
        self._objects = Objects()
        unit.clients.append(self)
        self.commands: dict[str, Callable[[Any], None]] = {
            "SetMeasurementPeriod": self._period,
            "SetAllBiasCurrents": lambda value: self._currents("BiasCurrent", value, _MAX_CURRENT_UA),
            "SetAllTriggerLevels": lambda value: self._currents("TriggerLevel", value, _MAX_TRIGGER_MV),
            "DetectorEnable": self._enable,
            "DarkCountsAutoIV": self._dark_counts,
            "AutoCaliBiasCurrents": self._search,
            "IVScanEnable": self._scan,
        }

    def receive(self, data: bytes) -> None:
        """Run what is complete."""
        for text in self._objects.feed(data):
            try:
                message = None if text is None else json.loads(text)
            except (ValueError, RecursionError):
                message = None
            if isinstance(message, dict):
                self._handle(message)
            else:
                self.refuse("no JSON object")

    def failed(self) -> None:
        """Start afresh after a fault of the simulator."""
        self._objects.clear()
        self.refuse("internal error")

    def closed(self) -> None:
        """Leave the unit."""
        self._unit.clients.remove(self)

    def send_label(self, label: str, value: Any) -> None:
        """Send a label."""
        self._send_labels([(label, value)])

    def refuse(self, reason: str) -> None:
        """Send an error."""
        self.send_label("ErrorMessage", reason)

    def _handle(self, message: dict[str, Any]) -> None:
        command, label = message.get("command"), message.get("label")
        if "request" in message:
            self._request(str(message["request"]))
        elif isinstance(command, str) and command in self.commands:
            self.commands[command](message.get("value"))
        elif isinstance(label, str) and label in _SCAN_SETTINGS:
            self._scan_setting(label, message.get("value"))
        else:
            self.refuse(f"unknown command {str(command)[:80]!r}")

    def _request(self, name: str) -> None:
        unit = self._unit
        if name == "labelProps":
            objects = [(label, {"value": value}) for label, value in unit.shown.items()]
            objects.append(("BiasVoltage", {"value": unit.voltages()}))
            if unit.options.label_order == "voltages first":
                objects.reverse()
            self._send_labels(objects)
        elif name == "BiasVoltage":
            self.send_label(name, unit.voltages())
        elif name == "IVHistory":
            self._send_labels(
                [(label, unit.shown[label]) for label in ("ic_scan_history", "iv_scan_history")]
            )
        elif name == "TemperatureHistory":
            self.send_label("temperature_long_memory", unit.temperatures())
        elif name in unit.shown:
            self.send_label(name, unit.shown[name])
        else:
            self.refuse(f"unknown request {name[:80]!r}")

    def _period(self, value: Any) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or not 10 <= value <= _MAX_PERIOD_MS:
            self.refuse(f"the measurement period is a whole number of 10 to {_MAX_PERIOD_MS} ms")
            return
        self._unit.set("InptMeasurementPeriod", value, self)
        self._unit.counting_changed()

    def _currents(self, label: str, value: Any, limit: float) -> None:
        if not self._is_list(value, -limit, limit):
            self.refuse(f"{label}: {self._unit.options.detectors} numbers up to {limit} are needed")
        elif self._busy() and label == "BiasCurrent":
            self.refuse(f"{label}: a bias scan is running")
        else:
            self._unit.set(label, [float(v) for v in value], self)
            if not self._busy():
                self._unit.apply()

    def _enable(self, value: Any) -> None:
        if not isinstance(value, bool):
            self.refuse("DetectorEnable: true or false")
            return
        self._unit.stop_sequences()
        self._unit.set("DetectorEnable", value, self)
        self._unit.apply()

    def _dark_counts(self, value: Any) -> None:
        if self._is_list(value, 0, _MAX_DARK_COUNTS):
            self._unit.set("DarkCountsAutoIV", [float(v) for v in value], self)
        else:
            self.refuse(f"DarkCountsAutoIV: {self._unit.options.detectors} numbers from 0 are needed")

    def _search(self, value: Any) -> None:
        if value is False:
            self._unit.stop_sequences()
        elif value is not True or self._busy():
            self.refuse("AutoCaliBiasCurrents: true or false, and no scan that is running")
        else:
            self._unit.start_search(self._unit.labels["DarkCountsAutoIV"])

    def _scan(self, value: Any) -> None:
        if value is False:
            self._unit.stop_sequences()
        elif value is not True or self._busy():
            self.refuse("IVScanEnable: true or false, and no scan that is running")
        elif not self._unit.start_scan():
            self.refuse("IVScanEnable: the increment does not lead from start to end in 1 to 10000 points")

    def _scan_setting(self, label: str, value: Any) -> None:
        if _is_number(value, -_MAX_CURRENT_UA, _MAX_CURRENT_UA):
            self._unit.set(label, float(value), self)
        else:
            self.refuse(f"{label}: -90.9 to 90.9 uA")

    def _busy(self) -> bool:
        return self._unit.scan.running or self._unit.search.running

    def _is_list(self, value: Any, low: float, high: float) -> bool:
        good = isinstance(value, list) and len(value) == self._unit.options.detectors
        return good and all(_is_number(each, low, high) for each in value)

    def _send_labels(self, objects: list[tuple[str, Any]]) -> None:
        texts = [json.dumps({"label": label, "value": value}).encode() for label, value in objects]
        if self._unit.options.glued:
            self._send(b"".join(texts) + _ETB)
        else:
            for text in texts:
                self._send(text + _ETB)


def _is_number(value: Any, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
