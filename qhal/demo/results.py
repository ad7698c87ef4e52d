"""The results of the demonstration."""

from dataclasses import dataclass, field
from typing import Any

from qhal.demo.check import Check, all_passed, verdict
from qhal.link.decoy import DecoyBounds
from qhal.link.estimates import ClickMatrix
from qhal.link.link_session import LinkMeasurement
from qhal.link.measurement import NoiseRate
from qhal.link.polarization import AlignmentResult
from qhal.records.record import Record
from qhal.records.uncertain import Uncertain

SCENARIO = "wuhan-metro-link"


@dataclass(frozen=True, eq=False, kw_only=True)
class State:
    """The link with the classical channel off, or at one power.

    ``classical_dbm``: at the multiplexer's input; ``classical_laser_dbm``: as the laser reports it; None: off.
    ``expected`` and ``true_noise``: from the world's own log.
    """

    classical_dbm: float | None
    classical_laser_dbm: float | None
    measurement: LinkMeasurement
    noise: NoiseRate
    expected: dict[str, Any]
    true_noise: dict[str, Any]
    bounds: DecoyBounds
    key_rate: Uncertain

    @property
    def name(self) -> str:
        """Name of the state in tables and checks."""
        return "classical off" if self.classical_dbm is None else f"classical {self.classical_dbm:+.0f} dBm"


@dataclass(kw_only=True, slots=True)
class Results:
    """All results of one run; ``reported``: value and standard uncertainty of quantities that rest on records."""

    seed: int
    seconds: float
    window_ps: float
    skews_ps: tuple[int, ...]
    before_alignment: ClickMatrix
    alignment: AlignmentResult
    states: list[State]
    checks: list[Check]
    reported: dict[str, tuple[float, float]]
    records: list[Record]
    timings_s: dict[str, float] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return the content of ``--json``."""
        return {
            "scenario": SCENARIO,
            "seed": self.seed,
            "seconds": self.seconds,
            "note": "test pattern, no key is made",
            "checks": [check.document() for check in self.checks],
            "passed": all_passed(self.checks),
            "verdict": verdict(self.checks),
            "reported": self.reported,
            "records": [each.id for each in self.records],
            "timings_s": self.timings_s,
        }
