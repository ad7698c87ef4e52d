"""Frequency offset of the sender's clock against the receiver's, and the skew of each detector against their mean.

A train of equal pulses is recorded. The phase of the pulses within their period, block by block, moves with the
frequency offset and walks at random with the noise of both clocks (:mod:`qhal.calibration.fitting.clock_phase`).
Between detectors the phases differ by their skews: of optical paths, detectors, cables and inputs together.
"""

from typing import Annotated, Any

import numpy as np
from pydantic import Field

from qhal.calibration.figures.style import points, tidy
from qhal.calibration.fitting.clock_phase import Array, Phases, fit_clock
from qhal.calibration.framework.calibration import Calibration
from qhal.calibration.framework.data import Data, Evaluation
from qhal.calibration.inputs import transmitter_records
from qhal.calibration.optics.count_rate import SETTINGS
from qhal.calibration.optics.phase_recording import TABLE, PhasePlan, measure_phases
from qhal.calibration.optics.setups import TransmitterSetup
from qhal.calibration.optics.tag_recording import input_settings
from qhal.records.record import Fit, Quantity, Record
from qhal.records.uncertain import statistical, uniform

_GINI_OF_GAUSSIAN = 1 / (2 * np.sqrt(np.pi))
"""A quarter of the mean difference of two clicks' times, in standard deviations of one."""


class ClockOffsetPlan(PhasePlan):
    """``recordings`` of ``recording_s`` each, in which the phase is taken every ``block_s``.

    A frequency offset must not move pulses by half their period within half a millisecond.
    """

    recordings: Annotated[int, Field(ge=2)] = 5
    recording_s: Annotated[float, Field(gt=0, le=10)] = 1.0
    block_s: Annotated[float, Field(ge=1e-3, le=0.1)] = 0.02


def evaluate(data: Data, plan: ClockOffsetPlan) -> Evaluation:
    """Fit the phases of all detectors together over time, and compare the detectors."""
    table = data[TABLE]
    recordings = plan.phases(table)
    clock = fit_clock(recordings, plan.period_ps)
    quantities = [Quantity.of("clock_frequency_offset", "1", clock.frequency_offset)]
    skews, fit = _skews(recordings, float(table["live_s"].mean()))
    quantities += [
        Quantity.of("detector_skew", "ps", skew, channel=channel) for channel, skew in enumerate(skews, 1)
    ]
    remarks = [
        "frequency offset: of the sender's clock over the receiver's, less one",
        f"skews are against the mean of the detectors, modulo {plan.period_ps:g} ps",
        f"the clocks walk by {clock.walk_ps:.2uS} ps in 1 s (Allan deviation of white frequency noise)",
    ]
    settings = {"detectors": SETTINGS, "tagger": input_settings(len(skews))}
    return Evaluation(quantities, [clock.fit, fit], remarks, settings)


def _skews(recordings: list[Phases], live_s: float) -> tuple[list[Any], Fit]:
    """Return each detector's skew against their mean, and whether all recordings agree on them."""
    relative, sigma = _relative(recordings)
    weight = 1 / sigma**2
    mean = (relative * weight).sum(axis=0) / weight.sum(axis=0)
    # What is common to all detectors was taken off each recording, with it one of their degrees of freedom.
    centre = ((relative - mean) * weight).sum(axis=1) / weight.sum(axis=1)
    chi2 = float((((relative - mean - centre[:, None]) / sigma) ** 2).sum())
    channels = relative.shape[1]
    fit = Fit(
        model="skews are the same in all recordings",
        chi2=chi2,
        degrees_of_freedom=(len(recordings) - 1) * (channels - 1),
    )
    wider = np.sqrt(chi2 / fit.degrees_of_freedom) if fit.poor else 1.0
    if fit.poor:
        fit = fit.model_copy(update={"scaled": True})
    first = _first_click(recordings, live_s)
    times: list[Any] = [
        statistical(f"times of the clicks of channel {n + 1}", mean[n], wider / np.sqrt(weight[:, n].sum()))
        + first[n]
        for n in range(channels)
    ]
    middle = sum(times) / channels
    return [time - middle for time in times], fit


def _relative(recordings: list[Phases]) -> tuple[Array, Array]:
    """Return skews (recordings, channels), those of later recordings within half a period of the first's."""
    skew = np.array([recording.skew_ps for recording in recordings])
    period = recordings[0].period_ps
    skew[0] = skew[0, 0] + (skew[0] - skew[0, 0] + period / 2) % period - period / 2
    skew[1:] = skew[0] + (skew[1:] - skew[0] + period / 2) % period - period / 2
    return skew, np.array([recording.skew_sigma_ps for recording in recordings])


def _first_click(recordings: list[Phases], live_s: float) -> list[Any]:
    """Return by how much clicks come later than it seems, because of several photons the first one clicks.

    With m of them on average it is earlier by m / 4 of two photons' mean difference. A detector that sees all states
    alike has m clicks per pulse; one that sees only some of them has up to 1.5 times as many in these.
    """
    clicks = np.mean([recording.clicks for recording in recordings], axis=0)
    width = np.mean([recording.width_ps for recording in recordings], axis=0)
    per_pulse = clicks / live_s * recordings[0].period_ps * 1e-12
    return [
        uniform("several photons in one pulse", early * 1.25, early * 0.25)
        for early in per_pulse * width * _GINI_OF_GAUSSIAN
    ]


def draw(figure: Any, record: Record) -> None:
    """Show the phase less the mean frequency over time, and the skews by recording."""
    plan = ClockOffsetPlan(**record.inputs)
    recordings = plan.phases(record.tables[TABLE])
    offset = record.quantity("clock_frequency_offset").value
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    tidy(left, "time in the recording / s", "phase less that of the mean frequency / ps")
    tidy(right, "channel", "skew less the mean of all recordings / ps")
    for n, recording in enumerate(recordings):
        t = (np.arange(len(recording.delay_ps)) + 0.5) * recording.block_s
        folded = recording.period_ps / plan.period_ps - 1
        rest = recording.delay_ps + (folded / (1 + folded) + offset) * t * 1e12
        label = f"recording {n + 1}" if n < 6 else ""
        points(left, t, rest - rest.mean(), recording.sigma_ps, n, label)
    relative, sigma = _relative(recordings)
    rest = relative - (relative / sigma**2).sum(axis=0) / (1 / sigma**2).sum(axis=0)
    rest -= rest.mean(axis=1, keepdims=True)
    channels = np.arange(1, relative.shape[1] + 1)
    for n in range(len(recordings)):
        shift = (n - (len(recordings) - 1) / 2) * 0.5 / len(recordings)
        points(right, channels + shift, rest[n], sigma[n], n)
    right.set_xticks(channels)
    for channel in channels:
        skew = record.quantity("detector_skew", channel=float(channel))
        right.annotate(
            f"{skew.value:+.1f} ps\n± {skew.uncertainty:.1f}",
            (channel, 0.98),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="top",
            fontsize=7.5,
        )
    low, high = right.get_ylim()
    right.set_ylim(low, high + 0.2 * (high - low))
    right.set_xlim(0.4, len(channels) + 0.6)
    low, high = left.get_ylim()
    left.set_ylim(low, high + 0.15 * (high - low))
    left.legend(frameon=False, fontsize=8, ncols=3, loc="upper left")


CALIBRATION = Calibration(
    name="clock-offset",
    title="Frequency offset of the clocks, and skews of the detectors",
    method="phases of a train of pulses in blocks; frequency and white frequency noise, restricted maximum likelihood",
    plan=ClockOffsetPlan,
    setup=TransmitterSetup,
    measure=measure_phases,
    evaluate=evaluate,
    draw=draw,
    from_node=(transmitter_records.modulator_volts,),
    uses=(transmitter_records.MODULATOR, transmitter_records.POLARIZATION),
)
