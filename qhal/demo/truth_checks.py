"""The comparisons of the demonstration with the world's own log: 4 sigma, and judged only if the counts are enough."""

import math
from collections.abc import Sequence

from qhal.demo.check import Check
from qhal.demo.results import State
from qhal.link.pattern import Intensity
from qhal.records.uncertain import nominal, standard_uncertainty

GAIN_PRECISION = (1e-3, 2e-3, 2e-2)
"""Largest relative uncertainty of the gains of signal, decoy, vacuum for a check to prove anything."""
RAMAN_PRECISION = 0.01
_FLOOR_MARGIN = 3e-4
"""How much an aligned error rate may exceed the best that the controller can reach (standard uncertainty)."""


def link_checks(state: State) -> list[Check]:
    """Compare gain and error rate of each intensity, and that the bound is not better than the truth."""
    counts, expected, checks = state.measurement.pattern.counts, state.expected, []
    for level in Intensity:
        name = f"{state.name}, {level.name.lower()}"
        gain, qber = counts.gain(level), counts.qber(level)
        for what, measured, number, promised, precision in (
            ("gain", gain.value, gain.live, expected["gains"][level], GAIN_PRECISION[level]),
            ("QBER", qber.value, qber.sifted, expected["error_rates"][level], math.inf),
        ):
            # Few counts that happen to be fewer seem better known than they are: it is the expectation that scatters.
            sigma = math.sqrt(promised * (1 - promised) / number)
            checks.append(
                Check(
                    name=f"{what}, {name}",
                    basis="truth",
                    measured=measured,
                    uncertainty=sigma,
                    expected=promised,
                    max_relative_uncertainty=precision,
                )
            )
    bound = state.bounds.single_photon_error
    checks.append(
        Check(
            name=f"e1 is not above its bound, {state.name}",
            basis="truth",
            measured=expected["single_photon_error"],
            uncertainty=standard_uncertainty(bound),
            expected=nominal(bound),
            at_most=True,
        )
    )
    return checks


def raman_checks(states: Sequence[State]) -> list[Check]:
    """Compare the background, and what the classical channel adds to it, with darks and integrated Raman."""
    checks = [
        Check(
            name=f"background /s, {state.name}",
            basis="truth",
            measured=state.noise.rate_hz,
            uncertainty=state.noise.standard_uncertainty_hz,
            expected=sum(state.true_noise["rates_hz"]),
        )
        for state in states
    ]
    off = states[0]
    added: list[tuple[float, float, float]] = []
    for state in states[1:]:
        difference = state.noise.rate_hz - off.noise.rate_hz
        sigma = math.hypot(state.noise.standard_uncertainty_hz, off.noise.standard_uncertainty_hz)
        expected = sum(state.true_noise["rates_hz"]) - sum(off.true_noise["rates_hz"])
        added.append((difference, sigma, state.true_noise["classical_w"]))
        checks.append(
            Check(
                name=f"Raman noise (classical on minus off) /s, {state.name}",
                basis="truth",
                measured=difference,
                uncertainty=sigma,
                expected=expected,
                max_relative_uncertainty=RAMAN_PRECISION,
            )
        )
    (low, low_sigma, low_w), (high, high_sigma, high_w) = added[0], added[-1]
    ratio = high / low
    checks.append(
        Check(
            name="Raman is linear in power (ratio)",
            basis="truth",
            measured=ratio,
            uncertainty=ratio * math.hypot(low_sigma / low, high_sigma / high),
            expected=high_w / low_w,
            max_relative_uncertainty=RAMAN_PRECISION,
        )
    )
    return checks


def alignment_check(off: State, aligned_s: float, correlation_time_s: float) -> Check:
    """Compare the aligned error rate with the best that the controller's range allows for this fibre.

    ``aligned_s``: world time of the alignment. Since then the fibre's polarization walks: a Stokes vector loses all
    but 1/e of its direction in ``correlation_time_s``.
    """
    measurement = off.measurement
    qber = measurement.pattern.counts.qber(Intensity.SIGNAL)
    middle_s = (measurement.start_s + measurement.stop_s) / 2
    walk = -math.expm1(-max(0.0, middle_s - aligned_s) / correlation_time_s) / 2
    # A walk from where the alignment left off: in a random direction, by a random amount.
    uncertainty = math.hypot(
        qber.standard_uncertainty, _FLOOR_MARGIN, walk, math.sqrt(2 * _FLOOR_MARGIN * walk)
    )
    return Check(
        name="QBER is at the floor of the alignment",
        basis="truth",
        measured=qber.value,
        uncertainty=uncertainty,
        expected=off.expected["best_error_rates"][Intensity.SIGNAL] + walk,
        at_most=True,
    )
