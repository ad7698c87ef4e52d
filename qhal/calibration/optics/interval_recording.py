"""Histograms of the intervals between clicks in steady light, recorded channel by channel."""

from typing import Annotated

from pydantic import Field

from qhal.calibration.fitting.intervals import TABLE, histogram
from qhal.calibration.framework.plan import BIN_PS, CHANNELS, Extent, Positive
from qhal.calibration.framework.points import Run
from qhal.calibration.optics.setups import TaggedSetup
from qhal.calibration.optics.steady_light import SteadyLightPlan, light_detectors
from qhal.calibration.optics.tag_recording import record_tags


class IntervalPlan(SteadyLightPlan):
    """Light of ``rate_hz`` clicks on the mean input, recorded ``repetitions`` times for ``period_s``.

    Intervals up to ``range_ns`` are binned, longer ones give the rate.
    """

    rate_hz: Positive
    repetitions: Annotated[int, Field(ge=1)]
    period_s: Positive
    range_ns: Positive = 500.0

    def extent(self) -> Extent:
        """Return how large the measurement is."""
        bins = CHANNELS * self.range_ns * 1e3 / BIN_PS
        tags = CHANNELS * self.rate_hz * self.period_s
        return Extent(self.repetitions, self.repetitions * self.period_s, self.repetitions * bins, tags)


def measure_intervals(run: Run, plan: IntervalPlan, setup: TaggedSetup) -> None:
    """Light all detectors and keep histograms of the intervals of all inputs, a row for each repetition."""
    light_detectors(plan.rate_hz, plan, setup)
    limits = setup.tagger.capabilities
    bins = round(plan.range_ns * 1e3 / limits.resolution_ps)
    for point in run.points(TABLE, [{"repetition": n} for n in range(plan.repetitions)]):
        batch = record_tags(setup.tagger, plan.period_s)
        histograms = [
            histogram(batch, channel, limits.resolution_ps, bins) for channel in range(1, limits.channels + 1)
        ]
        run.store(
            TABLE,
            **point,
            bin_ps=limits.resolution_ps,
            period_s=batch.live_time_s(),
            counts=[counts.tolist() for counts, _, _ in histograms],
            tail_counts=[count for _, count, _ in histograms],
            tail_ns=[duration_ns for _, _, duration_ns in histograms],
        )
