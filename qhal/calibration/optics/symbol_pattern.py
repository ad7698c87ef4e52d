"""A known pattern that a transmitter plays, for calibrations that sort clicks by symbols."""

from typing import Annotated

from pydantic import Field, model_validator

from qhal.calibration.framework.plan import Positive
from qhal.calibration.optics.played_light import TransmitterPlan
from qhal.devices.pattern_generator import PatternGenerator
from qhal.link.modulation import waveforms
from qhal.link.pattern import SymbolPattern, bb84_pattern

INPUTS = (1, 2, 3, 4)
"""Inputs of the tagger, in the order of the states ``2 * basis + bit``."""
CARVE_SAMPLES = 2
"""Samples of a symbol in which the carver is open."""
_OUTPUTS = 4
"""Of the generator: two intensity modulators, polarization, randomiser."""


class PatternPlan(TransmitterPlan):
    """A BB84 pattern, and which clicks belong to a symbol.

    ``pattern_seed``, ``symbols`` and ``fractions`` (of signal, decoy, vacuum): of the pattern, with a symbol each
    ``period_ps``, in ``samples_per_symbol``. ``window_ps`` lies about the pulse. ``hold_off_ps``: time after a click in
    which a detector may be dead, at least.
    """

    pattern_seed: int = 1
    symbols: Annotated[int, Field(ge=1024)] = 16384
    fractions: tuple[float, float, float] = (0.5, 0.25, 0.25)
    period_ps: Positive = 10_000.0
    samples_per_symbol: Annotated[int, Field(ge=4)] = 12
    window_ps: Positive = 3000.0
    hold_off_ps: Positive = 40_000.0
    dark_s: Positive = 10.0

    @property
    def intensities(self) -> tuple[float, float, float]:
        """Relative mean photon numbers that are wanted of signal, decoy and vacuum."""
        return (0.5, 0.1, 0.0)

    def pattern(self) -> SymbolPattern:
        """Return the pattern. Raises OutOfRange when the fractions of the symbols do not come out even."""
        return bb84_pattern(
            self.pattern_seed,
            self.symbols,
            self.fractions,
            period_ps=self.period_ps,
            mean_photon_numbers=self.intensities,
        )

    @model_validator(mode="after")
    def _has_pattern(self) -> "PatternPlan":
        self.pattern()
        return self

    def samples_to_play(self) -> int:
        """Return the samples of all outputs."""
        return _OUTPUTS * self.symbols * self.samples_per_symbol

    def play(self, generator: PatternGenerator) -> None:
        """Let the generator play it."""
        volts = waveforms(self.pattern(), self.transmitter(), self.samples_per_symbol, CARVE_SAMPLES)
        generator.play(dict(volts), self.samples_per_symbol / self.period_ps * 1e12)
