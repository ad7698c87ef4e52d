"""Histograms of the intervals between clicks, recorded channel by channel."""

from qhal.calibration.fitting.intervals import TABLE, histogram
from qhal.calibration.framework.points import Run
from qhal.calibration.optics.tag_recording import record_tags
from qhal.devices.time_tagger import TimeTagger


def keep_intervals(run: Run, tagger: TimeTagger, repetitions: int, period_s: float, range_ns: float) -> None:
    """Record tags of all inputs and keep histograms of their intervals, a row for each repetition."""
    bin_ps = tagger.capabilities.resolution_ps
    bins = round(range_ns * 1e3 / bin_ps)
    for point in run.points(TABLE, [{"repetition": n} for n in range(repetitions)]):
        batch = record_tags(tagger, period_s)
        found = [
            histogram(batch, channel, bin_ps, bins) for channel in range(1, tagger.capabilities.channels + 1)
        ]
        run.keep(
            TABLE,
            **point,
            bin_ps=bin_ps,
            period_s=batch.live_time_s(),
            counts=[each[0].tolist() for each in found],
            tail_counts=[each[1] for each in found],
            tail_ns=[each[2] for each in found],
        )
