"""Superconducting nanowire detectors against their bias current.

Figures of a real sweep of four detectors in the dark: the dark rate grows as ``exp(a (I - Isw))`` and reaches
some thousand counts in 200 ms at the switch current; the bias line shows a few millivolts below the switch
and about 0.1 MOhm above it. Scaled here so that a chosen operating point has a chosen efficiency and dark rate.
"""

import math
from dataclasses import dataclass

_RESISTANCE_V_PER_UA = 0.1
_CREEP_V_PER_UA = 0.3e-3
_FASTEST_DARK_HZ = 1e5


@dataclass(frozen=True, slots=True)
class Nanowire:
    """One detector. ``efficiency`` and ``dark_count_rate_hz`` are those at ``operating_ua``.

    ``switch_ua``: current at which it latches; ``slope_per_ua``: growth of the dark rate; ``width_ua``: width of
    the efficiency's sigmoid, which saturates well below the switch.
    """

    efficiency: float
    dark_count_rate_hz: float
    switch_ua: float
    operating_ua: float
    slope_per_ua: float
    background_hz: float = 5.0
    width_ua: float = 1.0

    def efficiency_at(self, bias_ua: float) -> float:
        """Return the detection efficiency at a bias current; none when latched."""
        return self.efficiency * self._saturation(bias_ua)

    def dark_count_rate_at_hz(self, bias_ua: float) -> float:
        """Return the dark count rate at a bias current: stray photons, and what grows; none when latched."""
        if bias_ua >= self.switch_ua or bias_ua <= 0:
            return 0.0
        share = self.dark_count_rate_hz - self.background_hz
        # Just below the switch a wire oscillates instead of counting ever more.
        grown = share * math.exp(self.slope_per_ua * (bias_ua - self.operating_ua))
        grown = min(grown, max(share, _FASTEST_DARK_HZ))
        return self.background_hz * self._saturation(bias_ua) + grown

    def voltage_v(self, bias_ua: float) -> float:
        """Return the voltage over the bias line."""
        if bias_ua < self.switch_ua:
            return _CREEP_V_PER_UA * bias_ua
        return _RESISTANCE_V_PER_UA * (bias_ua - 0.2 * self.switch_ua)

    def _saturation(self, bias_ua: float) -> float:
        """Return the efficiency relative to that at the operating point; none when latched."""
        if bias_ua >= self.switch_ua:
            return 0.0
        knee_ua = 0.6 * self.operating_ua

        def sigmoid(at_ua: float) -> float:
            return 1 / (1 + math.exp(-(at_ua - knee_ua) / self.width_ua))

        return sigmoid(bias_ua) / sigmoid(self.operating_ua)
