"""Timing jitter: when the clicks of a short pulse come, for each detector.

Clicks of a train of pulses are folded on the pulses' own period. What shows is light, detector, electronics and tagger
together: full width at half and at a hundredth of the maximum (ETSI GS QKD 011: timing jitter of the detector's
signal). Variances add, so with the width of the light declared the detector's own jitter is what is left.
"""

from typing import Annotated, Any

import numpy as np
from pydantic import Field, model_validator
from uncertainties import umath

from qhal.calibration.figures.labels import in_unit
from qhal.calibration.figures.style import COLOURS, tidy
from qhal.calibration.fitting.pulse_profile import Profile, agreement, fold, widened
from qhal.calibration.framework.calibration import Calibration
from qhal.calibration.framework.data import Data, Evaluation
from qhal.calibration.framework.plan import CHANNELS, Extent
from qhal.calibration.framework.points import Run
from qhal.calibration.inputs import transmitter_records
from qhal.calibration.optics.count_rate import SETTINGS
from qhal.calibration.optics.pulse_train import PulseTrainPlan, play_pulses
from qhal.calibration.optics.setups import TransmitterSetup
from qhal.calibration.optics.tag_recording import input_settings, record_tags
from qhal.records.record import Fit, Quantity, Record, Table
from qhal.records.uncertain import systematic

_FWHM_PER_SIGMA = 2 * np.sqrt(2 * np.log(2))
_CLEAR = 3.0
"""Standard uncertainties above 0 for a remaining variance to be jitter."""


class TimingProfilePlan(PulseTrainPlan):
    """``recordings`` of ``recording_s``, folded into ``bins`` a period.

    ``span_ps``: about the pulse; what is further away is background. ``light_rms_ps``: standard deviation of the time
    of a photon in the pulse of light, however it is shaped, with its standard uncertainty ``light_rms_uncertainty_ps``:
    from a sampling oscilloscope, or this calibration with a detector that is much faster. Without it (None) the jitter
    of the detectors alone is not reported.
    """

    carve_samples: Annotated[int, Field(ge=1)] = 1
    recordings: Annotated[int, Field(ge=2)] = 4
    recording_s: Annotated[float, Field(ge=0.1, le=10)] = 2.0
    bins: Annotated[int, Field(ge=100, le=20_000)] = 800
    span_ps: Annotated[float, Field(gt=0)] = 8000.0
    light_rms_ps: Annotated[float, Field(ge=0)] | None = None
    light_rms_uncertainty_ps: Annotated[float, Field(ge=0)] = 10.0

    @model_validator(mode="after")
    def _fits(self) -> "TimingProfilePlan":
        if self.span_ps > 0.6 * self.period_ps:
            raise ValueError(f"span_ps must leave 0.4 of the period ({self.period_ps:g} ps) for background")
        return self

    def extent(self) -> Extent:
        """Return how large the measurement is."""
        tags = CHANNELS * self.rate_hz * self.recording_s
        numbers = self.recordings * CHANNELS * self.bins
        return Extent(self.recordings, self.recordings * self.recording_s, numbers, tags)


def measure(run: Run, plan: TimingProfilePlan, setup: TransmitterSetup) -> None:
    """Record the pulses and keep their histograms."""
    play_pulses(run, plan, setup)
    for point in run.points("profile", [{"recording": n + 1} for n in range(plan.recordings)]):
        batch = record_tags(setup.tagger, plan.recording_s)
        counts = fold(batch, setup.detectors.capabilities.channels, plan.period_ps, plan.bins, plan.span_ps)
        run.store(
            "profile",
            **point,
            counts=counts.tolist(),
            resolution_ps=float(setup.tagger.capabilities.resolution_ps),
        )


def evaluate(data: Data, plan: TimingProfilePlan) -> Evaluation:
    """Find the widths of all recordings together; the recordings must agree, and the background must be flat."""
    table, quantities, fits, remarks = data["profile"], [], [], []
    light: Any = None
    if plan.light_rms_ps is None:
        remarks.append("light_rms_ps is not given, so the jitter is not separated from the light's own width")
    else:
        light = systematic("width of the light", plan.light_rms_ps, plan.light_rms_uncertainty_ps)
    # Sheppard: values rounded to steps have a variance that is greater by a twelfth of the step squared.
    folded_ps2 = (plan.period_ps / plan.bins) ** 2 / 12
    tagger_ps2 = float(table["resolution_ps"][0]) ** 2 / 12
    for column in range(table["counts"].shape[1]):
        channel = column + 1
        fit = _agreement(table, column, plan)
        wider = np.sqrt(fit.chi2 / fit.degrees_of_freedom) if fit.poor else 1.0
        fits.append(fit.model_copy(update={"scaled": fit.poor}))
        profile = Profile.of(table["counts"][:, column].sum(axis=0), plan.period_ps, plan.span_ps)
        whole = widened(profile.variance_ps2(), wider) - folded_ps2
        for name, fraction in (("timing_fwhm", 0.5), ("timing_fw100m", 0.01)):
            width = widened(profile.full_width_ps(fraction), wider)
            quantities.append(Quantity.of(name, "ps", width, channel=channel))
        quantities.append(Quantity.of("timing_rms", "ps", umath.sqrt(whole), channel=channel))
        if light is None:
            continue
        left = whole - light**2 - tagger_ps2
        quantities.append(Quantity.of("detector_jitter_variance", "ps^2", left, channel=channel))
        if left.nominal_value > _CLEAR * left.std_dev:
            fwhm = _FWHM_PER_SIGMA * umath.sqrt(left)
            quantities.append(Quantity.of("detector_jitter_fwhm", "ps", fwhm, channel=channel))
        else:
            most = _FWHM_PER_SIGMA * np.sqrt(max(left.nominal_value, 0.0) + 2 * left.std_dev)
            remarks.append(
                f"channel {channel}: the jitter does not show beside the light's own width;"
                f" its FWHM is below {most:.3g} ps (95 %)"
            )
    settings = {"detectors": SETTINGS, "tagger": input_settings(table["counts"].shape[1])}
    return Evaluation(quantities, fits, remarks, settings)


def _agreement(table: Table, column: int, plan: TimingProfilePlan) -> Fit:
    """Return how well the recordings agree on the variance, and how flat the background is."""
    each = [Profile.of(row["counts"][column], plan.period_ps, plan.span_ps) for row in table.rows()]
    together = Profile.of(table["counts"][:, column].sum(axis=0), plan.period_ps, plan.span_ps)
    chi2, freedom = agreement(each, together)
    return Fit(
        model="one pulse on a flat background",
        at={"channel": column + 1},
        chi2=chi2,
        degrees_of_freedom=freedom,
    )


def draw(figure: Any, record: Record) -> None:
    """Show the histograms in units of their heights, with the widths."""
    plan = TimingProfilePlan(**record.inputs)
    table = record.tables["profile"]
    counts = table["counts"].sum(axis=0)
    grid = figure.subplots((len(counts) + 1) // 2, 2, sharex=True, sharey=True, squeeze=False)
    for n, axes in enumerate(grid.ravel()[: len(counts)]):
        profile = Profile.of(counts[n], plan.period_ps, plan.span_ps)
        tidy(axes, "time about the mean / ns" if n >= len(counts) - 2 else "", "clicks / height")
        shown = np.abs(profile.time_ps) < 0.75 * plan.span_ps
        height = np.convolve(profile.counts, np.full(5, 0.2), "same").max() - profile.background
        t, y = profile.time_ps[shown] * 1e-3, (profile.counts[shown] - profile.background) / height
        sigma = np.sqrt(np.maximum(profile.counts[shown], 1)) / height
        axes.step(t, y, where="mid", linewidth=1, color=COLOURS[n % len(COLOURS)])
        axes.fill_between(
            t, y - sigma, y + sigma, step="mid", alpha=0.25, linewidth=0, color=COLOURS[n % len(COLOURS)]
        )
        at = {"channel": float(n + 1)}
        lines = [f"channel {n + 1}"]
        for name, words in (("timing_fwhm", "FWHM"), ("timing_fw100m", "FW1/100M")):
            width = record.quantity(name, **at)
            lines.append(f"{words} {in_unit(width)}")
        found = [q for q in record.quantities if q.name == "detector_jitter_fwhm" and q.at == at]
        lines += [f"detector {in_unit(q)} FWHM" for q in found]
        axes.text(0.02, 0.97, "\n".join(lines), transform=axes.transAxes, fontsize=7.5, va="top")
        for level in (0.5, 0.01):
            label = "half and hundredth of the height" if level == 0.5 and n == 0 else None
            axes.axhline(level, color="0.6", linewidth=0.7, linestyle=":", label=label)
        axes.set_yscale("symlog", linthresh=0.01, linscale=0.4)
        axes.set_ylim(-0.01, 2)
    figure.legend(frameon=False, fontsize=8, loc="upper right")


CALIBRATION = Calibration(
    name="timing-profile",
    title="Timing jitter and temporal profile",
    method="clicks folded on the period of short pulses (ETSI GS QKD 011); variances subtracted",
    plan=TimingProfilePlan,
    setup=TransmitterSetup,
    measure=measure,
    evaluate=evaluate,
    draw=draw,
    from_node=(transmitter_records.modulator_volts,),
    uses=(transmitter_records.MODULATOR, transmitter_records.POLARIZATION),
)
