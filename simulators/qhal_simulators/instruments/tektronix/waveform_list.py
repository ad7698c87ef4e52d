"""The waveform list of the AWG5014: words, lengths, markers."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from qhal_simulators.scpi_commands import ScpiError

_HALF_SCALE = 8191
_DATA = 0x3FFF
_REAL = np.dtype([("value", "<f4"), ("marker", "u1")])
MAX_POINTS = 16_200_000
ALL_POINTS = 4 * MAX_POINTS
"""Points of all waveforms together that this simulator holds."""
MAX_WAVEFORMS = 32_000
LONGEST_NAME = 255
LONGEST_BLOCK = MAX_POINTS * 5
"""Bytes of the longest waveform, of real values with markers."""


@dataclass(slots=True)
class Waveform:
    """One waveform. ``values``: -1 to +1, float32; ``markers``: bit 6 marker 1, bit 7 marker 2."""

    kind: str
    values: NDArray[np.float32]
    markers: NDArray[np.uint8]
    predefined: bool = False

    def write(self, start: int, size: int | None, data: bytes) -> None:
        """Take sample words from a place on. Raises ScpiError; then nothing is written."""
        width = 2 if self.kind == "INT" else _REAL.itemsize
        if len(data) % width or (size is not None and size * width != len(data)):
            raise ScpiError(-161)
        points = len(data) // width
        if start < 0 or start + points > len(self.values):
            raise ScpiError(-223)
        place = slice(start, start + points)
        if self.kind == "INT":
            words = np.frombuffer(data, "<u2")
            self.values[place] = ((words & _DATA).astype(np.float32) - _HALF_SCALE) / _HALF_SCALE
            self.markers[place] = (words >> 8 & 0xC0).astype(np.uint8)
        else:
            records = np.frombuffer(data, _REAL)
            self.values[place] = records["value"]
            self.markers[place] = records["marker"] & 0xC0

    def read(self, start: int, size: int | None) -> bytes:
        """Return sample words."""
        stop = len(self.values) if size is None else start + size
        if not 0 <= start <= stop <= len(self.values):
            raise ScpiError(-222)
        values, markers = self.values[start:stop], self.markers[start:stop]
        if self.kind == "INT":
            words = np.rint(values * _HALF_SCALE).astype(np.int32) + _HALF_SCALE
            return bytes(words.astype("<u2") | markers.astype("<u2") << 8)
        records = np.zeros(len(values), _REAL)
        records["value"], records["marker"] = values, markers
        return records.tobytes()


@dataclass(slots=True)
class WaveformList:
    """All waveforms by name, predefined ones first; these cannot be deleted."""

    entries: dict[str, Waveform] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for points in (10, 100, 1000):
            angle = 2 * np.pi * np.arange(points) / points
            for name, values in (("Sine", np.sin(angle)), ("Square", np.sign(np.sin(angle + 1e-9)))):
                self.entries[f"*{name}{points}"] = Waveform(
                    "INT", values.astype(np.float32), np.zeros(points, np.uint8), predefined=True
                )

    def find(self, name: str) -> Waveform:
        """Return a waveform. Raises ScpiError."""
        if name not in self.entries:
            raise ScpiError(-224)
        return self.entries[name]

    def new(self, name: str, points: int, kind: str) -> None:
        """Add an empty waveform; one of that name stays as it is."""
        if not 1 <= points <= MAX_POINTS or len(name) > LONGEST_NAME:
            raise ScpiError(-222)
        if name and name not in self.entries:
            held = sum(len(wave.values) for wave in self.entries.values())
            if held + points > ALL_POINTS or len(self.entries) >= MAX_WAVEFORMS:
                raise ScpiError(-225)
            self.entries[name] = Waveform(kind, np.zeros(points, np.float32), np.zeros(points, np.uint8))

    def delete(self, name: str) -> None:
        """Remove a waveform. Raises ScpiError for an unknown or predefined one."""
        if self.find(name).predefined:
            raise ScpiError(-221)
        del self.entries[name]

    def delete_all(self) -> None:
        """Remove all but the predefined ones."""
        self.entries = {name: wave for name, wave in self.entries.items() if wave.predefined}
