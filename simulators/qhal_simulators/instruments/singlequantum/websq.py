"""Single Quantum Atlas driver electronics ("WebSQ"): JSON over TCP 12000, counts pushed over TCP 12345.

After the vendor's public client and an independent one. Requests are bare JSON objects, with or without a line
end; replies are JSON objects ended by ETB (0x17). Changes of labels are told to every connected client.
"""

import time
from typing import Any

from qhal_simulators.instrument import Connection, Instrument, Send, Wire
from qhal_simulators.instruments.singlequantum.bias_scan import BiasScan, BiasSearch
from qhal_simulators.instruments.singlequantum.control_connection import Control
from qhal_simulators.instruments.singlequantum.standalone_detectors import StandaloneDetectors
from qhal_simulators.instruments.singlequantum.websq_options import WebSqOptions
from qhal_simulators.physics.ports import DetectorSettings, Part, Port
from qhal_simulators.physics.readings import DetectorReadings
from qhal_simulators.simulated_time import Timer

_DEFAULT_PERIOD_MS = 100
_HISTORY_POINTS = 200
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class WebSq(Instrument):
    """Labels with values, a line of counts per measurement period, scans of the bias."""

    wires = {"main": Wire.TCP, "counts": Wire.TCP}
    settings_type = DetectorSettings
    options_model = WebSqOptions
    options: WebSqOptions
    port: Port[DetectorSettings]
    readings: DetectorReadings
    scan: BiasScan
    search: BiasSearch

    def standalone(self) -> Part:
        """Return detectors in the dark."""
        detectors = StandaloneDetectors(self.clock, self.options.dark_rate_hz)
        return Part(detectors.port, detectors)

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
            "DarkCountsAutoIV": [100.0] * n,
            "ic_scan_history": [],
            "iv_scan_history": [],
        }
        self.shown = dict(self.labels)
        if not hasattr(self, "clients"):
            self.clients: list[Control] = []
            self.listeners: list[_Counts] = []
            self._timer: Timer | None = None
        else:
            self.scan.stop()
            self.search.stop()
        self.scan = BiasScan(self, self._scanned)
        self.search = BiasSearch(self, self._searched)
        self._temperatures: list[tuple[float, float, float]] = []
        self.apply()
        self.restart_counting()

    def connect(self, name: str, send: Send) -> Connection:
        """Return the unit's end of a client's control or counts connection."""
        return Control(self, send) if name == "main" else _Counts(self, send)

    def apply(self) -> None:
        """Let the detectors see bias and trigger as set."""
        self._update(self.labels["DetectorEnable"], self.labels["BiasCurrent"])

    def bias(self, currents_ua: list[float] | None) -> None:
        """Bias the detectors with currents (None: as set, if enabled), after a moment without bias."""
        self._update(False, self.labels["BiasCurrent"])
        if currents_ua is None:
            self.apply()
        else:
            self._update(True, currents_ua)

    def set(self, label: str, value: Any, by: Control | None = None) -> None:
        """Change a label and tell every client (or, by option, only the one that did it)."""
        self.labels[label] = value

        def show() -> None:
            self.shown[label] = self.labels[label]
            for client in [by] if by is not None and not self.options.broadcast else tuple(self.clients):
                client.send_label(label, self.labels[label])

        if self.options.shown_after_s:
            self.clock.call_later(self.options.shown_after_s, show)
        else:
            show()

    def start_scan(self) -> bool:
        """Begin a scan; False if its settings give no points."""
        if not self.scan.points():
            return False
        self.set("IVScanEnable", True)
        self.scan.start()
        return True

    def start_search(self, targets: list[float]) -> None:
        """Begin the search for currents that give these dark counts."""
        per_period = 1.0 if self.options.search_counts == "period" else self.period_s
        self.set("StartAutoIV", True)
        self.search.start([count * per_period for count in targets])

    def stop_sequences(self) -> None:
        """End a scan or search before its end."""
        for sequence, label in ((self.scan, "IVScanEnable"), (self.search, "StartAutoIV")):
            if sequence.running:
                sequence.stop()
                self.set(label, False)

    def temperatures(self) -> dict[str, list[Any]]:
        """Return the last temperatures, each request adding one."""
        now_s = self.options.unix_start_s + self.clock.now_s()
        self._temperatures = [*self._temperatures, (now_s, *self.readings.temperatures_k())][
            -_HISTORY_POINTS:
        ]
        times_s, cold_k, shield_k = zip(*self._temperatures, strict=True)
        return {
            "T": list(cold_k),
            "T2": list(shield_k),
            "V_avrg": [0.0] * len(times_s),
            "BoardTemp1": [30.0] * len(times_s),
            "BoardTemp2": [30.0] * len(times_s),
            "x": [_time_text(time_s) for time_s in times_s],
        }

    def _scanned(self) -> None:
        self.set("ic_scan_history", self.scan.counts)
        scale = 1e3 if self.options.voltage_unit == "mV" else 1.0
        voltages = [
            {name: value if name == "biasCurrent" else value * scale for name, value in point.items()}
            for point in self.scan.voltages
        ]
        self.set("iv_scan_history", voltages)
        self.set("IVScanEnable", False)

    def _searched(self, currents_ua: list[float] | None, problem: str) -> None:
        if currents_ua is None:
            for client in self.clients:
                client.send_label("ErrorMessage", f"no bias current gives the dark counts: {problem}")
        else:
            self.set("BiasCurrent", currents_ua)
            self.set("BiasCurrentAutoIV", currents_ua)
            self.apply()
        self.set("StartAutoIV", False)

    def _update(self, enabled: bool, currents_ua: list[float]) -> None:
        pad = (0.0,) * (4 - self.options.detectors)
        self.port.apply(
            DetectorSettings(
                enabled=enabled,
                bias_ua=(*currents_ua, *pad),
                trigger_mv=(*self.labels["TriggerLevel"], *pad),
            )
        )
        self.rest()

    def restart_counting(self) -> None:
        """Begin a measurement period now, if a client wants its counts or the unit always counts."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.rest()
        if self._counts_for_clients:
            self._last = self.totals()
            self._timer = self.clock.call_later(self.period_s, self._count)

    def voltages(self) -> list[float]:
        """Return the bias voltages in the unit's unit."""
        scale = 1e3 if self.options.voltage_unit == "mV" else 1.0
        return [value * scale for value in self.voltages_v()]

    def voltages_v(self) -> list[float]:
        """Return the bias voltages."""
        return list(self.readings.voltages_v()[: self.options.detectors])

    def totals(self) -> list[int]:
        """Return the counts of each detector so far; they count until there is a :meth:`rest`."""
        self.readings.counting = True
        return list(self.readings.counts()[: self.options.detectors])

    def rest(self) -> None:
        """Count clicks only for a client that needs them."""
        self.readings.counting = self._counts_for_clients or self.scan.running or self.search.running

    def counting_changed(self) -> None:
        """Begin a period, for a new length or a first client, or let the one that runs end first."""
        if self.options.new_period == "at once":
            self.restart_counting()

    @property
    def _counts_for_clients(self) -> bool:
        return bool(self.listeners) or self.options.new_period == "next"

    @property
    def period_s(self) -> float:
        """The measurement period."""
        return float(self.labels["InptMeasurementPeriod"]) * 1e-3

    def _count(self) -> None:
        assert self._timer is not None
        due_s = self._timer.due_s
        totals = self.totals()
        counts = [now - before for now, before in zip(totals, self._last, strict=True)]
        self._last = totals
        line = ",".join([f"{self.options.unix_start_s + due_s:.6f}", *map(str, counts)])
        for listener in tuple(self.listeners):
            listener.send(line.encode() + b"\n")
        self._timer = self.clock.call_at(due_s + self.period_s, self._count)


class _Counts:
    def __init__(self, unit: WebSq, send: Send) -> None:
        self._unit = unit
        self.send = send
        unit.listeners.append(self)
        if len(unit.listeners) == 1:
            unit.counting_changed()

    def receive(self, data: bytes) -> None:
        """Ignore what a client says here."""

    def failed(self) -> None:
        """There is nothing to answer."""

    def closed(self) -> None:
        self._unit.listeners.remove(self)
        if not self._unit.listeners:
            self._unit.counting_changed()


def _time_text(unix_s: float) -> str:
    """Return a time as the unit writes it, in universal time and English: ``17-May-24 07:01:57.250000``."""
    parts = time.gmtime(unix_s)
    clock = time.strftime("%H:%M:%S", parts)
    return f"{parts.tm_mday:02}-{_MONTHS[parts.tm_mon - 1]}-{parts.tm_year % 100:02} {clock}.{int(unix_s % 1 * 1e6):06}"
