"""Steady light of a laser that is tuned, on counting detectors: what scans of its frequency have in common."""

from collections.abc import Sequence

from qhal.calibration.framework.points import Run
from qhal.calibration.optics.attenuators import set_total_attenuation
from qhal.calibration.optics.count_rate import approach_rate
from qhal.devices.attenuator import Attenuator
from qhal.devices.detector import Detector
from qhal.devices.source import Source

DARK, LIGHT = "dark", "light"
STEP_THZ = 1e-4
"""Lasers are set in such steps."""
_COUNT_S = 0.1


def on_grid_thz(frequency_thz: float) -> float:
    """Return the next frequency that a laser can be set to."""
    return round(round(frequency_thz / STEP_THZ) * STEP_THZ, 4)


def tune(source: Source, frequency_thz: float) -> None:
    """Turn the light off, tune, and turn it on again: many lasers tune only so."""
    source.disable()
    source.set_frequency_thz(frequency_thz)
    source.enable()


def count_dark(run: Run, detectors: Detector, repetition: int, period_s: float) -> None:
    """Keep counts without light, if that repetition is not there yet. The caller has turned the source off."""
    for point in run.points(DARK, [{"repetition": repetition}]):
        reading = detectors.read_counts(period_s)
        run.store(DARK, **point, counts=list(reading.counts), period_s=reading.period_s)


def open_to_rate(run: Run, attenuators: Sequence[Attenuator], detectors: Detector, rate_hz: float) -> None:
    """Open closed attenuators until all detectors together count a rate; a resumed run takes the attenuation it had."""
    if not run.rows(LIGHT):
        dark = run.rows(DARK)[0]

        def count() -> tuple[float, float]:
            reading = detectors.read_counts(_COUNT_S)
            return float(sum(reading.counts)), reading.period_s

        dark_hz = sum(dark["counts"]) / dark["period_s"]
        run.store(LIGHT, attenuation_db=approach_rate(attenuators, count, rate_hz, dark_hz))
    set_total_attenuation(run.rows(LIGHT)[0]["attenuation_db"], attenuators)
