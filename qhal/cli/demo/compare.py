"""The comparisons of the demonstration.

``truth``: against the world's own log, 4 sigma, and only if the statistics are decisive. ``reported``: against
what instruments and data sheets say, within their tolerances, k = 2.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from uncertainties import umath

from qhal.cli.demo.bench import MetroLink
from qhal.cli.demo.checks import Check
from qhal.link.pattern import Intensity
from qhal.records.uncertain import from_db, nominal, standard_uncertainty, systematic

if TYPE_CHECKING:
    from qhal.cli.demo.run import Results, State

GAIN_PRECISION = (1e-3, 2e-3, 2e-2)
"""Largest relative uncertainty of the gains of signal, decoy, vacuum for a check to prove anything."""
RAMAN_PRECISION = 0.01
_LASER_DRIFT_DB = 0.02
"""How much the laser's power may move between two readings a second apart."""
_WINDOW_TOLERANCE = 0.02
_FLOOR_MARGIN = 3e-4
"""How much an aligned error rate may exceed the best that the controller can reach (standard uncertainty)."""


def link_checks(state: "State") -> list[Check]:
    """Compare gain and error rate of each intensity, and that the bound is not better than the truth."""
    counts, expected, checks = state.measurement.counts, state.expected, []
    for level in Intensity:
        name = f"{state.name}, {level.name.lower()}"
        gain, qber = counts.gain(level), counts.qber(level)
        checks.append(
            Check(
                f"gain, {name}",
                "truth",
                gain.value,
                gain.standard_uncertainty,
                expected["gains"][level],
                GAIN_PRECISION[level],
            )
        )
        checks.append(
            Check(
                f"QBER, {name}",
                "truth",
                qber.value,
                qber.standard_uncertainty,
                expected["error_rates"][level],
            )
        )
    bound = state.bounds.single_photon_error
    checks.append(
        Check(
            f"e1 is not above its bound, {state.name}",
            "truth",
            expected["single_photon_error"],
            bound.standard_uncertainty,
            bound.value,
            at_most=True,
        )
    )
    return checks


def raman_checks(states: "Sequence[State]") -> list[Check]:
    """Compare the background, and what the classical channel adds to it, with darks and integrated Raman."""
    checks = [
        Check(
            f"background /s, {state.name}",
            "truth",
            state.background.rate_hz,
            state.background.standard_uncertainty_hz,
            sum(state.true_background["rates_hz"]),
        )
        for state in states
    ]
    off = states[0]
    added: list[tuple[float, float, float]] = []
    for state in states[1:]:
        difference = state.background.rate_hz - off.background.rate_hz
        sigma = math.hypot(state.background.standard_uncertainty_hz, off.background.standard_uncertainty_hz)
        expected = sum(state.true_background["rates_hz"]) - sum(off.true_background["rates_hz"])
        added.append((difference, sigma, state.true_background["classical_w"]))
        checks.append(
            Check(
                f"Raman on less off /s, {state.name}", "truth", difference, sigma, expected, RAMAN_PRECISION
            )
        )
    (low, low_sigma, low_w), (high, high_sigma, high_w) = added[0], added[-1]
    ratio = high / low
    checks.append(
        Check(
            "Raman is linear in power (ratio)",
            "truth",
            ratio,
            ratio * math.hypot(low_sigma / low, high_sigma / high),
            high_w / low_w,
            RAMAN_PRECISION,
        )
    )
    return checks


def alignment_check(off: "State") -> Check:
    """Compare the aligned error rate with the best that the controller's range allows for this fibre."""
    qber = off.measurement.counts.qber(Intensity.SIGNAL)
    return Check(
        "QBER is at the floor of the alignment",
        "truth",
        qber.value,
        math.hypot(qber.standard_uncertainty, _FLOOR_MARGIN),
        off.expected["best_error_rates"][Intensity.SIGNAL],
        at_most=True,
    )


def reported_checks(results: "Results", link: MetroLink) -> list[Check]:
    """Compare with what the instruments report and the data sheets say."""
    off = results.states[0]
    gain = off.measurement.counts.gain(Intensity.SIGNAL)
    expected = _gain_from_reports(link)
    detectors = link.node.detector("detectors")
    counted = detectors.read_counts(1.0)
    tagged = link.node.time_tagger("tagger").read_counts(1.0)
    drift = sum(tagged.rates_hz) * math.log(10) / 10 * _LASER_DRIFT_DB
    return [
        Check(
            "signal gain from laser, losses and records",
            "reported",
            gain.value,
            standard_uncertainty(expected),
            nominal(expected),
        ),
        Check(
            "detectors' counter and tagger's counter agree /s",
            "reported",
            sum(counted.rates_hz),
            math.hypot(
                math.sqrt(sum(counted.counts)) / counted.period_s,
                math.sqrt(sum(tagged.counts)) / tagged.period_s,
                drift,
            ),
            sum(tagged.rates_hz),
        ),
    ]


def _gain_from_reports(link: MetroLink) -> Any:
    """Return the signal gain that records and the node's path map promise, with its budget."""
    parts = list(link.node.path("quantum"))
    behind = parts[[part.name for part in parts].index("pad") + 1 :]
    loss_db = sum(systematic(f"loss of {p.name}", p.loss_db, p.tolerance_db) for p in behind if p.loss_db)
    window_share = systematic("window", 1 - _WINDOW_TOLERANCE / 2, _WINDOW_TOLERANCE)
    mean = link.mean_photon_number * from_db(-loss_db) * link.bench.mean_efficiency * window_share
    return 1 - umath.exp(-mean)
