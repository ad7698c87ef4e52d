"""All settings of a Time Controller: as texts for its replies, and by meaning for its parts."""

from dataclasses import dataclass

from qhal_simulators.instruments.idquantique.blocks import INPUTS
from qhal_simulators.instruments.idquantique.presets import Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Counting:
    """A counter: a running sum, or the events of the last complete period."""

    accumulates: bool
    period_ms: int

    @property
    def period_s(self) -> float:
        """The integration time."""
        return self.period_ms * 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Times of events at one link since the last event at another; NONE: since the begin of the sub-record."""

    stop_link: str
    reference_link: str
    enable_link: str

    @property
    def is_connected(self) -> bool:
        """Whether anything is measured."""
        return "NONE" not in (self.stop_link, self.enable_link)


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Bins of a histogram."""

    times: Measurement
    min_ps: int
    bin_ps: int
    bins: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A row of sub-records; ``number`` as it is set: a text."""

    enabled: bool
    width_ps: int
    period_ps: int
    number: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PulseTrain:
    """A pulse generator; ``pulses`` None: endless. ``trigger_link`` NONE: played by command alone."""

    enabled: bool
    period_ps: int
    pulses: int | None
    trigger_link: str
    trigger_delay_ps: int
    retriggers: bool


class UnitSettings:
    """Texts by block, number and key."""

    def __init__(self, values: Values) -> None:
        self.values = values

    def value(self, block: str, number: int, key: str) -> str:
        """Return a setting as it is answered."""
        return self.values[block, number, key]

    def picoseconds(self, block: str, number: int, key: str) -> int:
        """Return a time."""
        return int(self.value(block, number, key).removesuffix("TB"))

    def is_on(self, block: str, number: int, key: str) -> bool:
        """Return a flag."""
        return self.value(block, number, key) == "ON"

    def is_plain_input(self, n: int) -> bool:
        """Return whether an input shows the pulses at its connector."""
        return 1 <= n <= INPUTS and self.value("INPU", n, "SELE") != "OUTPUT"

    def own_delay_ps(self, n: int) -> int:
        """Return by how much an input's own delay block moves its events."""
        own = self.value("DELA", n, "LINK") == f"INPU{n}"
        return self.picoseconds("DELA", n, "VALU") if own else 0

    def threshold_v(self, n: int) -> float:
        """Return the threshold of an input."""
        return float(self.value("INPU", n, "THRE").removesuffix("V"))

    @property
    def is_high_resolution(self) -> bool:
        """Whether the unit is in its high resolution mode."""
        return self.value("DEVI", 1, "RES") == "HIRES"

    def counting(self, block: str, number: int) -> Counting:
        """Return the settings of a block's counter."""
        return Counting(
            accumulates=self.value(block, number, "COUN:MODE") == "ACCUM",
            period_ms=int(self.value(block, number, "COUN:INTE")),
        )

    def stream(self, n: int) -> Measurement:
        """Return the timestamps of a RAW block."""
        return self._measurement("RAW", n)

    def is_sent(self, n: int) -> bool:
        """Return whether the timestamps of a RAW block are measured and sent."""
        return self.is_on("RAW", n, "SEND") and self.stream(n).is_connected

    def histogram(self, n: int) -> Histogram:
        """Return a histogram."""
        return Histogram(
            times=self._measurement("HIST", n),
            min_ps=self.picoseconds("HIST", n, "MIN"),
            bin_ps=self.picoseconds("HIST", n, "BWID"),
            bins=int(self.value("HIST", n, "BCOU")),
        )

    def record(self) -> Record:
        """Return the recorder's settings."""
        return Record(
            enabled=self.is_on("REC", 1, "ENAB"),
            width_ps=self.picoseconds("REC", 1, "PWID"),
            period_ps=self.picoseconds("REC", 1, "PPER"),
            number=self.value("REC", 1, "NUM"),
        )

    def generator(self, n: int) -> PulseTrain:
        """Return the settings of a pulse generator."""
        number, link = self.value("GEN", n, "NUM"), self.value("GEN", n, "TRIG:LINK")
        return PulseTrain(
            enabled=self.is_on("GEN", n, "ENAB"),
            period_ps=self.picoseconds("GEN", n, "PPER"),
            pulses=None if number == "INF" else int(number),
            trigger_link=link,
            trigger_delay_ps=self.picoseconds("GEN", n, "TRIG:DELA"),
            retriggers=link != "NONE" and self.value("GEN", n, "TRIG:ARM:MODE") == "AUTO",
        )

    def _measurement(self, block: str, n: int) -> Measurement:
        return Measurement(
            stop_link=self.value(block, n, "STOP:LINK"),
            reference_link=self.value(block, n, "REF:LINK"),
            enable_link=self.value(block, n, "ENAB:LINK"),
        )
