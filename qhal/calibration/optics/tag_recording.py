"""Tags for calibrations: complete ones, or an error."""

from collections.abc import Iterator, Sequence

from qhal.devices.time_tagger import TimeTagger
from qhal.errors import DeviceError
from qhal.tags.batch import Loss, TagBatch


def prepare_inputs(tagger: TimeTagger, threshold_v: float, channels: Sequence[int] | None = None) -> None:
    """Turn inputs on (all by default) at one threshold, and all others off."""
    every = range(1, tagger.capabilities.channels + 1)
    for channel in every:
        on = channels is None or channel in channels
        if on:
            tagger.set_threshold_v(channel, threshold_v)
        tagger.set_enabled(channel, on)


def input_settings(channels: int) -> tuple[str, ...]:
    """Return the names of a tagger's settings on which the times of its tags rest."""
    names = ("threshold_v", "edge", "coupling", "delay_ps")
    return tuple(f"input_{channel}_{name}" for channel in range(1, channels + 1) for name in names)


def batches(tagger: TimeTagger, duration_s: float) -> Iterator[TagBatch]:
    """Yield batches that cover a time of the tagger. Raises DeviceError when tags are missing in one."""
    with tagger.stream() as tags:
        for batch in tags.for_seconds(duration_s):
            lost = [gap for gap in batch.gaps if gap.loss is not Loss.PAUSED]
            if lost:
                raise DeviceError(
                    f"{tagger.device.name}: {batch.missed} tags or more are missing"
                    f" from {lost[0].start_ps} to {lost[-1].stop_ps} ps of the recording"
                )
            yield batch


def record_tags(tagger: TimeTagger, duration_s: float) -> TagBatch:
    """Return the tags of a time of the tagger; its pauses between sub-records are gaps of the batch.

    Raises DeviceError when tags are missing.
    """
    return TagBatch.concatenate(batches(tagger, duration_s))
