"""The filter that follows the sender's clock: position in the pattern and relative frequency."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ClockNoise:
    """How the two clocks and the fibre wander.

    ``phase_ps_per_sqrt_s``: random walk of the phase (1e12 times the Allan deviation at 1 s).
    ``frequency_per_sqrt_s``: random walk of the relative frequency. The defaults are well above those of a
    good quartz oscillator: the filter then forgets within a few ms and follows any real clock.
    """

    phase_ps_per_sqrt_s: float = 100.0
    frequency_per_sqrt_s: float = 1e-8


class ClockFilter:
    """Kalman filter of the symbol coordinate ``u = symbol + fraction`` and the frequency offset y.

    u advances by ``(1 + y) / period`` per ps of the tagger. The whole part is kept as an integer.
    """

    def __init__(self, period_ps: float, noise: ClockNoise) -> None:
        self._period = period_ps
        self._noise = noise
        self.time_ps = 0
        self.symbol = 0
        self.fraction = 0.0
        self.frequency_offset = 0.0
        self._p00 = self._p01 = self._p11 = 0.0

    @property
    def rate(self) -> float:
        """Symbols per ps of the tagger."""
        return (1 + self.frequency_offset) / self._period

    @property
    def position_sigma(self) -> float:
        """Standard uncertainty of the position, in symbols."""
        return float(self._p00**0.5)

    @property
    def frequency_sigma(self) -> float:
        """Standard uncertainty of the relative frequency."""
        return float(self._p11**0.5)

    def loosen_frequency(self, sigma: float) -> None:
        """Make the frequency uncertain by at least ``sigma``."""
        self._p11 = max(self._p11, sigma**2)

    def place(self, time_ps: int, symbol: int, fraction: float, sigma: float) -> None:
        """Take a position found by acquisition; what is known of the frequency is kept."""
        self.time_ps, self.symbol, self.fraction = time_ps, symbol, fraction
        self._p00, self._p01 = sigma**2, 0.0

    def advance(self, time_ps: int) -> None:
        """Predict to another time; going back is exact but for the noise, which is added either way."""
        span = time_ps - self.time_ps
        total = self.fraction + span * self.rate
        whole = int(total // 1)
        self.symbol, self.fraction, self.time_ps = self.symbol + whole, total - whole, time_ps
        h, seconds = span / self._period, abs(span) * 1e-12
        self._p00 += 2 * h * self._p01 + h * h * self._p11
        self._p01 += h * self._p11
        self._p00 += (self._noise.phase_ps_per_sqrt_s / self._period) ** 2 * seconds
        self._p11 += self._noise.frequency_per_sqrt_s**2 * seconds

    def innovation_sigma(self, ahead_ps: float, sigma: float) -> float:
        """Return the standard deviation of a measurement ``ahead_ps`` from now about the prediction."""
        h = ahead_ps / self._period
        return float((self._p00 + 2 * h * self._p01 + h * h * self._p11 + sigma**2) ** 0.5)

    def correct(self, error: float, ahead_ps: float, sigma: float) -> None:
        """Use a measurement: ``ahead_ps`` from now we are ``error`` +- ``sigma`` past the prediction.

        ``error`` and ``sigma`` in symbols.
        """
        h = ahead_ps / self._period
        to_position = self._p00 + h * self._p01
        to_frequency = self._p01 + h * self._p11
        variance = to_position + h * to_frequency + sigma**2
        total = self.fraction + to_position / variance * error
        whole = int(total // 1)
        self.symbol, self.fraction = self.symbol + whole, total - whole
        self.frequency_offset += to_frequency / variance * error
        self._p00 -= to_position**2 / variance
        self._p01 -= to_position * to_frequency / variance
        self._p11 -= to_frequency**2 / variance
