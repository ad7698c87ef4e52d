"""The detection window that gives the most key: wide enough for the signal, narrow enough for the background.

Clicks of pulses as bright as in operation are folded on the pulses' own period, the background is counted without
them. A window gains by a step at its edge as long as the density of the signal there is above a level, so that the
best window is where it is: ``f(t) > -(dR/dw) / (dR/dS)`` with the rate R, the fraction S of the signal, and the width
w. R is the asymptotic rate of decoy BB84 (Lo, Ma and Chen, Phys. Rev. Lett. 94, 230504 (2005)) with all yields known.
"""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field, model_validator
from uncertainties import umath

from qhal.calibration.figures.labels import in_unit
from qhal.calibration.figures.style import COLOURS, line, tidy
from qhal.calibration.fitting.clock_phase import Array
from qhal.calibration.fitting.pulse_profile import Profile, agreement, fold, widened
from qhal.calibration.framework.calibration import Calibration
from qhal.calibration.framework.data import Data, Evaluation
from qhal.calibration.framework.plan import CHANNELS, Extent
from qhal.calibration.framework.points import Run
from qhal.calibration.inputs import transmitter_records
from qhal.calibration.optics.count_rate import SETTINGS
from qhal.calibration.optics.played_light import prepare_dark
from qhal.calibration.optics.pulse_train import PulseTrainPlan, play_pulses
from qhal.calibration.optics.setups import TransmitterSetup
from qhal.calibration.optics.tag_recording import input_settings, record_tags
from qhal.link.channel_model import ThresholdLink
from qhal.link.decoy import gllp_rate_per_signal
from qhal.link.link_errors import NotEnoughCounts
from qhal.records.record import Fit, Quantity, Record, Table
from qhal.records.uncertain import Uncertain, statistical

_STEPS = 12
_SMALL = 1e-3


class DetectionWindowPlan(PulseTrainPlan):
    """``recordings`` of ``recording_s`` with the signal and as many of ``background_s`` without it.

    ``rate_hz``: of clicks of the brightest detector by the signal, as in operation; other light (a classical channel)
    is as in operation, too. ``mean_photon_number``: of the signal at the sender's output, ``optical_error``: of its
    photons, both as the link is planned with. Clicks are folded into ``bins`` a period; further from the pulse than
    half of ``span_ps`` they are background. A window ends where the signal is below ``least_fraction`` of its height.
    """

    carve_samples: Annotated[int, Field(ge=1)] = 1
    rate_hz: Annotated[float, Field(gt=0)] = 3000.0
    recordings: Annotated[int, Field(ge=2)] = 12
    recording_s: Annotated[float, Field(ge=0.5, le=10)] = 5.0
    background_s: Annotated[float, Field(gt=0, le=10)] = 5.0
    bins: Annotated[int, Field(ge=100, le=20_000)] = 1600
    span_ps: Annotated[float, Field(gt=0)] = 8000.0
    mean_photon_number: Annotated[float, Field(gt=0, le=1)] = 0.5
    optical_error: Annotated[float, Field(ge=0, lt=0.5)] = 0.015
    least_fraction: Annotated[float, Field(ge=0.005, le=0.5)] = 0.01

    @model_validator(mode="after")
    def _fits(self) -> "DetectionWindowPlan":
        if self.span_ps > 0.6 * self.period_ps:
            raise ValueError(f"span_ps must leave 0.4 of the period ({self.period_ps:g} ps) for background")
        return self

    def extent(self) -> Extent:
        """Return how large the measurement is."""
        seconds = self.recordings * (self.recording_s + self.background_s)
        tags = CHANNELS * self.rate_hz * max(self.recording_s, self.background_s)
        return Extent(2 * self.recordings, seconds, self.recordings * CHANNELS * self.bins, tags)


def measure(run: Run, plan: DetectionWindowPlan, setup: TransmitterSetup) -> None:
    """Count the background without the signal, then record the signal."""
    channels = setup.detectors.capabilities.channels
    inputs = range(1, channels + 1)
    prepare_dark(plan, inputs, setup)
    for point in run.points("background", [{"recording": n + 1} for n in range(plan.recordings)]):
        batch = record_tags(setup.tagger, plan.background_s)
        found = batch.counts()
        run.store("background", **point, counts=[found.get(n, 0) for n in inputs], live_s=batch.live_time_s())
    play_pulses(run, plan, setup)
    for point in run.points("signal", [{"recording": n + 1} for n in range(plan.recordings)]):
        batch = record_tags(setup.tagger, plan.recording_s)
        counts = fold(batch, channels, plan.period_ps, plan.bins, plan.span_ps)
        run.store("signal", **point, counts=counts.tolist(), live_s=batch.live_time_s())


@dataclass(frozen=True, eq=False, slots=True)
class _Link:
    """What a window lets through: ``clicks`` of the signal in a pulse and ``background_per_ps``, of all detectors."""

    plan: DetectionWindowPlan
    detectors: int

    def rate(self, clicks: float, background: float) -> float:
        """Return secret bits per pulse for given clicks of signal and background in a pulse's window."""
        mu = self.plan.mean_photon_number
        link = ThresholdLink(
            min(clicks / mu, 1.0),
            min(background / self.detectors, 1.0),
            self.plan.optical_error,
            self.detectors,
        )
        gain = link.gain(mu)
        return gllp_rate_per_signal(
            mu, gain, link.error_gain(mu) / gain, link.photon_yield(1), link.single_photon_error
        )

    def level_per_ps(
        self, clicks: float, background_per_ps: float, fraction: float, width_ps: float
    ) -> float:
        """Return the density of the signal (of all of it, per ps) at which a window should end."""
        inside, behind = clicks * fraction, background_per_ps * width_ps
        gained = self.rate(inside * (1 + _SMALL), behind) - self.rate(inside * (1 - _SMALL), behind)
        lost = self.rate(inside, behind * (1 - _SMALL)) - self.rate(inside, behind * (1 + _SMALL))
        return lost / width_ps / (gained / fraction)


@dataclass(frozen=True, eq=False, slots=True)
class _Measured:
    """All detectors together, their skews taken off: the profile, and what it holds of signal and background."""

    profile: Profile
    bin_ps: float
    pulses: float
    dark_per_bin: Any
    link: _Link
    fits: tuple[Fit, ...]

    @classmethod
    def of(cls, data: Data, plan: DetectionWindowPlan) -> "_Measured":
        signal, background = data["signal"], data["background"]
        channels = range(signal["counts"].shape[1])
        each = [_together(row["counts"], plan) for row in signal.rows()]
        whole = _together(signal["counts"].sum(axis=0), plan)
        chi2, freedom = agreement(each, whole)
        fits = (
            Fit(model="one pulse on a flat background", chi2=chi2, degrees_of_freedom=freedom),
            _constant(background),
        )
        live_s, dark_s = float(signal["live_s"].sum()), float(background["live_s"].sum())
        counted = float(background["counts"].sum())
        dark = statistical("background", counted, np.sqrt(max(counted, 1.0)))
        return cls(
            whole,
            plan.period_ps / plan.bins,
            live_s / (plan.period_ps * 1e-12),
            dark * (live_s / dark_s / plan.bins),
            _Link(plan, len(channels)),
            fits,
        )

    @property
    def light(self) -> Array:
        """Clicks by the signal in each bin, those of its dim floor too."""
        clicks: Array = self.profile.counts - self.dark_per_bin.nominal_value
        return clicks

    def clicks(self) -> Any:
        """Return clicks of the signal per pulse, wherever they are."""
        counted = float(self.profile.counts.sum())
        bins = len(self.profile.counts)
        return (statistical("signal", counted, np.sqrt(counted)) - self.dark_per_bin * bins) / self.pulses

    def background_per_ps(self) -> Any:
        """Return background clicks per pulse and ps."""
        return self.dark_per_bin / self.bin_ps / self.pulses

    def fraction(self, start_ps: float, stop_ps: float) -> Any:
        """Return the fraction of the signal between two times, with its statistical uncertainty."""
        total, counts = float(self.light.sum()), self.profile.counts
        edges = np.concatenate(
            (self.profile.time_ps - self.bin_ps / 2, [self.profile.time_ps[-1] + self.bin_ps / 2])
        )

        def between(values: Array) -> float:
            cumulative = np.concatenate(([0.0], np.cumsum(values)))
            return float(np.diff(np.interp([start_ps, stop_ps], edges, cumulative))[0])

        inside = between(self.light) / total
        noise = (1 - inside) ** 2 * between(counts) + inside**2 * (counts.sum() - between(counts))
        by_dark = inside * len(counts) - (stop_ps - start_ps) / self.bin_ps
        return (
            statistical("signal", inside, np.sqrt(noise) / total)
            + (self.dark_per_bin - self.dark_per_bin.nominal_value) * by_dark / total
        )

    def mean_ps(self) -> Any:
        """Return the mean phase of the clicks, about which a symbol clock centres its window."""
        counts, period_ps = self.profile.counts, self.bin_ps * len(self.profile.counts)
        turn = 2 * np.pi * self.profile.time_ps / period_ps
        resultant = (self.light * np.exp(1j * turn)).sum()
        phase = np.angle(resultant)
        across = np.sqrt((counts * np.sin(turn - phase) ** 2).sum()) / np.abs(resultant)
        return statistical("signal", float(phase), float(across)) * period_ps / (2 * np.pi)


def _together(counts: Any, plan: DetectionWindowPlan) -> Profile:
    """Add the detectors up, each turned until its pulse is in the middle."""
    turned = [Profile.of(each, plan.period_ps, plan.span_ps).counts for each in counts]
    return Profile.of(np.sum(turned, axis=0).astype(np.int64), plan.period_ps, plan.span_ps)


def _constant(table: Table) -> Fit:
    """Return whether the background is the same in all recordings."""
    counts, live_s = table["counts"].sum(axis=1), table["live_s"]
    expected = counts.sum() * live_s / live_s.sum()
    chi2 = float(((counts - expected) ** 2 / np.maximum(expected, 1e-9)).sum())
    return Fit(model="constant background", chi2=chi2, degrees_of_freedom=len(counts) - 1)


def evaluate(data: Data, plan: DetectionWindowPlan) -> Evaluation:
    """Find the window whose edges are where the signal falls to the level that pays."""
    measured = _Measured.of(data, plan)
    start, stop, limited = _best(measured)
    wider = max([1.0, *(np.sqrt(f.chi2 / f.degrees_of_freedom) for f in measured.fits if f.poor)])
    clicks, background = measured.clicks(), measured.background_per_ps()
    fraction = measured.fraction(start.nominal_value, stop.nominal_value)
    width = stop - start
    inside, behind = clicks * fraction, background * width.nominal_value
    rate = _with(measured.link.rate, inside, behind)
    if rate.nominal_value <= 0:
        raise NotEnoughCounts(
            f"no window gives key: {clicks.nominal_value:.3g} clicks of signal and"
            f" {background.nominal_value * plan.period_ps:.3g} of background in a period"
        )
    found = [
        ("window_width", "ps", width),
        ("window_offset", "ps", (start + stop) / 2 - measured.mean_ps()),
        ("signal_fraction", "1", fraction),
        ("signal_click_probability", "1", clicks),
        ("background_click_probability", "1", behind),
        ("key_rate_per_pulse", "1", rate),
    ]
    quantities = [Quantity.of(name, unit, widened(value, wider)) for name, unit, value in found]
    remarks = [
        "window_offset: of the window's middle from the mean phase of the pulse, each detector's own",
        "signal_click_probability: per pulse, without a window; background and key rate: with the window",
    ]
    if limited:
        remarks.append(
            f"the background is so low that the window ends where the signal is {plan.least_fraction:g} of its"
            " height; more would still be better"
        )
    fits = [fit.model_copy(update={"scaled": fit.poor}) for fit in measured.fits]
    settings = {"detectors": SETTINGS, "tagger": input_settings(data["signal"]["counts"].shape[1])}
    return Evaluation(quantities, fits, remarks, settings)


def _best(measured: _Measured) -> tuple[Any, Any, bool]:
    """Return beginning and end of the best window, and whether ``least_fraction`` limits it."""
    profile, plan = measured.profile, measured.link.plan
    clicks, background = measured.clicks(), measured.background_per_ps()
    height = profile.log_height()
    least = height + float(np.log(plan.least_fraction))
    floor = profile.background - measured.dark_per_bin
    unit = clicks * measured.pulses * measured.bin_ps
    # Turning each detector by whole bins smears the sum once more by a bin.
    smear_ps2 = measured.bin_ps**2 / 12
    level, limited = height + float(np.log(0.1)), False
    for _ in range(_STEPS):
        start, stop = profile.edges_ps(level, smear_ps2)
        fraction, width = (
            measured.fraction(start.nominal_value, stop.nominal_value),
            (stop - start).nominal_value,
        )

        def wanted(clicks: float, background: float, fraction: Any = fraction, width: float = width) -> float:
            return measured.link.level_per_ps(clicks, background, fraction.nominal_value, width)

        above = _with(wanted, clicks, background) * unit - floor
        limited = above.nominal_value < np.exp(least.nominal_value)
        level = least if limited else umath.log(above)
    start, stop = profile.edges_ps(level, smear_ps2)
    return start, stop, bool(limited)


def _with(function: Any, *values: Any) -> Any:
    """Return a function of uncertain numbers, to first order."""
    at = [value.nominal_value for value in values]
    result: Uncertain = function(*at)
    for n, value in enumerate(values):
        step = _SMALL * at[n]
        high, low = ([*at[:n], at[n] + sign * step, *at[n + 1 :]] for sign in (1, -1))
        result = result + (function(*high) - function(*low)) / (2 * step) * (value - at[n])
    return result


def draw(figure: Any, record: Record) -> None:
    """Show the profile with the window, and the key rate over the width about the window's middle."""
    plan = DetectionWindowPlan(**record.inputs)
    measured = _Measured.of(Data(record.tables), plan)
    width = record.quantity("window_width")
    mean_ps = measured.mean_ps().nominal_value
    middle_ps = mean_ps + record.quantity("window_offset").value
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    tidy(left, "time about the mean phase / ns", "clicks in a bin")
    tidy(right, "width / ns", "secret bits per pulse")
    t_ps = measured.profile.time_ps
    shown = np.abs(t_ps - middle_ps) < max(1.5 * width.value, 0.4 * plan.span_ps)
    left.step(
        (t_ps - mean_ps)[shown] * 1e-3,
        measured.profile.counts[shown],
        where="mid",
        linewidth=1,
        color=COLOURS[0],
        label="signal and background",
    )
    left.axhline(measured.dark_per_bin.nominal_value, color=COLOURS[1], linewidth=1.2, label="background")
    edges_ns = [(middle_ps - mean_ps + sign * width.value / 2) * 1e-3 for sign in (-1, 1)]
    left.axvspan(*edges_ns, color="0.92", zorder=0, label="best window")
    left.set_yscale("log")
    left.legend(frameon=False, fontsize=8, loc="upper right")
    clicks, background = measured.clicks().nominal_value, measured.background_per_ps().nominal_value
    widths = np.linspace(0.25, 2.5, 120) * width.value
    fractions = [measured.fraction(middle_ps - w / 2, middle_ps + w / 2).nominal_value for w in widths]
    rates = np.array(
        [measured.link.rate(clicks * s, background * w) for s, w in zip(fractions, widths, strict=True)]
    )
    line(right, widths * 1e-3, np.maximum(rates, 0), 0)
    rate = record.quantity("key_rate_per_pulse")
    right.errorbar(
        [width.value * 1e-3],
        [rate.value],
        [rate.uncertainty],
        [width.uncertainty * 1e-3],
        fmt="o",
        color=COLOURS[1],
    )
    right.set_title(f"best width {in_unit(width)}", fontsize=9)


CALIBRATION = Calibration(
    name="detection-window",
    title="Detection window that gives the most key",
    method="folded clicks; window where the signal's density pays in the asymptotic decoy rate (Lo, Ma, Chen 2005)",
    plan=DetectionWindowPlan,
    setup=TransmitterSetup,
    measure=measure,
    evaluate=evaluate,
    draw=draw,
    from_node=(transmitter_records.modulator_volts,),
    uses=(transmitter_records.MODULATOR, transmitter_records.POLARIZATION),
)
