"""Time tags as arrays that carry their gaps.

A rate or an error rate is a count divided by the time in which the counter could count, so a
batch always says which span it covers and what is missing in it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


class Loss(StrEnum):
    """How well the number of tags lost in a gap is known; PAUSED: the tagger does not record there."""

    PAUSED = "paused"
    EXACT = "exact"
    AT_LEAST = "at least"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Gap:
    """A span ``[start_ps, stop_ps)`` in which tags were lost.

    ``channels`` is empty when all channels are affected. ``missed`` counts the tags lost, to the
    grade that ``loss`` says (0 when unknown).
    """

    start_ps: int
    stop_ps: int
    missed: int = 0
    loss: Loss = Loss.UNKNOWN
    channels: tuple[int, ...] = ()

    def concerns(self, channel: int) -> bool:
        """Tell whether tags of this channel were lost."""
        return not self.channels or channel in self.channels


@dataclass(frozen=True, slots=True)
class TagBatch:
    """A piece of a tag stream.

    ``times_ps``: int64, ascending, picoseconds of the tagger's clock since the start of its epoch.
    ``channels``: uint8, same length, 1..N as the instrument numbers its inputs.
    ``start_ps``, ``stop_ps``: the span covered; tags lie in ``[start_ps, stop_ps)``.
    ``epoch``: times of different epochs have no common origin.
    ``gaps``: what is missing inside the span.
    """

    times_ps: NDArray[np.int64]
    channels: NDArray[np.uint8]
    start_ps: int
    stop_ps: int
    epoch: int = 0
    gaps: tuple[Gap, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.times_ps)

    @property
    def missed(self) -> int:
        """Tags known to be lost; with a gap of unknown size this is a lower bound."""
        return sum(gap.missed for gap in self.gaps)

    @property
    def complete(self) -> bool:
        """Whether nothing is missing in the span but where the tagger pauses."""
        return all(gap.loss is Loss.PAUSED for gap in self.gaps)

    def live_time_s(self, channel: int | None = None) -> float:
        """Return the time in which tags of a channel (of all channels by default) were recorded."""
        spans = [
            (max(gap.start_ps, self.start_ps), min(gap.stop_ps, self.stop_ps))
            for gap in self.gaps
            if channel is None or gap.concerns(channel)
        ]
        return (self.stop_ps - self.start_ps - _union_length(spans)) / 1e12

    def counts(self) -> dict[int, int]:
        """Return the number of tags of each channel that has any."""
        histogram = np.bincount(self.channels)
        return {int(channel): int(histogram[channel]) for channel in np.flatnonzero(histogram)}

    def rates_hz(self) -> dict[int, float]:
        """Return tags per second of live time for each channel that has any."""
        return {channel: count / self.live_time_s(channel) for channel, count in self.counts().items()}

    def split(self, at_ps: int) -> tuple[Self, Self]:
        """Return what lies before a time and what lies from it on.

        Of a gap that is cut, the first part keeps the count. Raises ValueError for a time outside the span.
        """
        if not self.start_ps <= at_ps <= self.stop_ps:
            raise ValueError(f"{at_ps} ps is not between {self.start_ps} and {self.stop_ps} ps")
        place = int(np.searchsorted(self.times_ps, at_ps))
        before = tuple(
            replace(gap, stop_ps=min(gap.stop_ps, at_ps)) for gap in self.gaps if gap.start_ps < at_ps
        )
        after = tuple(
            gap if gap.start_ps >= at_ps else replace(gap, start_ps=at_ps, missed=0)
            for gap in self.gaps
            if gap.stop_ps > at_ps or gap.start_ps >= at_ps  # a gap may have no length, only a count
        )
        times, channels = self.times_ps, self.channels
        return (
            replace(self, times_ps=times[:place], channels=channels[:place], stop_ps=at_ps, gaps=before),
            replace(self, times_ps=times[place:], channels=channels[place:], start_ps=at_ps, gaps=after),
        )

    def select(self, channels: Collection[int]) -> Self:
        """Return the tags of some channels, with the gaps that concern them."""
        kept = np.isin(self.channels, list(channels))
        gaps = tuple(gap for gap in self.gaps if not gap.channels or set(gap.channels) & set(channels))
        return replace(self, times_ps=self.times_ps[kept], channels=self.channels[kept], gaps=gaps)

    def check_order(self) -> None:
        """Raise ValueError unless the times ascend within the span."""
        times = self.times_ps
        if len(times) != len(self.channels):
            raise ValueError(f"{len(times)} times, {len(self.channels)} channels")
        if len(times) and (times[1:] < times[:-1]).any():
            place = int(np.flatnonzero(times[1:] < times[:-1])[0])
            raise ValueError(f"tags are out of order: {times[place + 1]} ps comes after {times[place]} ps")
        if len(times) and not self.start_ps <= times[0] <= times[-1] < self.stop_ps:
            raise ValueError(
                f"tags from {times[0]} to {times[-1]} ps are not in their span, {self.start_ps} to {self.stop_ps} ps"
            )

    def description(self) -> dict[str, Any]:
        """Return what the columns do not tell, as plain data: span, epoch, gaps."""
        gaps = [asdict(gap) for gap in self.gaps]
        return {"start_ps": self.start_ps, "stop_ps": self.stop_ps, "epoch": self.epoch, "gaps": gaps}

    @classmethod
    def described(
        cls, times_ps: NDArray[np.int64], channels: NDArray[np.uint8], description: Mapping[str, Any]
    ) -> Self:
        """Return the batch of these columns and this :meth:`description`.

        Raises ValueError for a description of other names or types, or numbers that cannot be; and for times that do
        not ascend within the span.
        """
        if not isinstance(description, Mapping) or set(description) != {
            "start_ps",
            "stop_ps",
            "epoch",
            "gaps",
        }:
            raise ValueError(f"no description of a batch: {str(description)[:80]}")
        batch = cls(times_ps, channels, *_span(description), tuple(map(_gap, _list(description["gaps"]))))
        batch.check_order()
        return batch

    @classmethod
    def concatenate(cls, batches: Iterable[Self]) -> Self:
        """Join adjacent batches of one epoch. Raises ValueError when they do not follow each other."""
        parts: Sequence[Self] = tuple(batches)
        if not parts:
            raise ValueError("no batches to join")
        for before, after in zip(parts, parts[1:], strict=False):
            if before.epoch != after.epoch or before.stop_ps != after.start_ps:
                raise ValueError(
                    f"batch ending at {before.stop_ps} ps of epoch {before.epoch} is followed by one "
                    f"starting at {after.start_ps} ps of epoch {after.epoch}"
                )
        return cls(
            np.concatenate([part.times_ps for part in parts]),
            np.concatenate([part.channels for part in parts]),
            parts[0].start_ps,
            parts[-1].stop_ps,
            parts[0].epoch,
            tuple(gap for part in parts for gap in part.gaps),
        )


def _span(description: Mapping[str, Any]) -> tuple[int, int, int]:
    start, stop = (_whole(description, name, -(2**63), 2**63 - 1) for name in ("start_ps", "stop_ps"))
    if start > stop:
        raise ValueError(f"a span from {start} to {stop} ps")
    return start, stop, _whole(description, "epoch", 0, 2**32 - 1)


def _gap(described: Any) -> Gap:
    if not isinstance(described, Mapping) or set(described) != {each.name for each in fields(Gap)}:
        raise ValueError(f"no description of a gap: {str(described)[:80]}")
    start, stop = (_whole(described, name, -(2**63), 2**63 - 1) for name in ("start_ps", "stop_ps"))
    if start > stop:
        raise ValueError(f"a gap from {start} to {stop} ps")
    channels = tuple(_whole({"channel": each}, "channel", 0, 255) for each in _list(described["channels"]))
    return Gap(start, stop, _whole(described, "missed", 0, 2**63 - 1), Loss(described["loss"]), channels)


def _whole(content: Mapping[str, Any], name: str, least: int, most: int) -> int:
    value = content[name]
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{name} is {str(value)[:40]}, a whole number from {least} to {most} is expected")
    return value


def _list(value: Any) -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"{str(value)[:80]} is no list")
    return value


def _union_length(spans: Sequence[tuple[int, int]]) -> int:
    covered, reach = 0, None
    for start, stop in sorted(spans):
        if reach is not None:
            start = max(start, reach)
        if stop > start:
            covered += stop - start
            reach = stop
    return covered
