"""Batches of time tags, with the span that they cover and the gaps in it.

A rate is a count divided by the time in which tags were recorded, so a batch carries both.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

_LAST_EPOCH = 2**32 - 1


class Loss(StrEnum):
    """How well the number of tags lost in a gap is known; PAUSED: the tagger does not record in it."""

    PAUSED = "paused"
    EXACT = "exact"
    AT_LEAST = "at least"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Gap:
    """A span ``[start_ps, stop_ps)`` in which tags were lost.

    Attributes
    ----------
    start_ps, stop_ps
        The span.
    missed
        Number of lost tags; 0 if unknown, and in a pause.
    loss
        How well ``missed`` is known.
    channels
        Channels whose tags were lost; empty: all.
    """

    start_ps: int
    stop_ps: int
    missed: int = 0
    loss: Loss = Loss.UNKNOWN
    channels: tuple[int, ...] = ()

    def concerns(self, channel: int) -> bool:
        """Return whether tags of this channel were lost."""
        return not self.channels or channel in self.channels

    def check(self) -> None:
        """Raise ValueError for numbers of another type or out of range."""
        _check_span("a gap", self.start_ps, self.stop_ps)
        _check_whole("missed", self.missed, 0, 0 if Loss(self.loss) is Loss.PAUSED else 2**63 - 1)
        for channel in _list(self.channels):
            _check_whole("a channel of a gap", channel, 0, 255)

    def description(self) -> dict[str, Any]:
        """Return the gap as plain data for JSON."""
        numbers = {"start_ps": int(self.start_ps), "stop_ps": int(self.stop_ps), "missed": int(self.missed)}
        return numbers | {"loss": str(self.loss), "channels": [int(channel) for channel in self.channels]}


@dataclass(frozen=True, slots=True)
class TagBatch:
    """A piece of a tag stream.

    Attributes
    ----------
    times_ps
        Times, int64, ascending, in picoseconds of the tagger's clock since the start of the epoch.
    channels
        Channels, uint8, of the same length, as the instrument numbers its inputs.
    start_ps, stop_ps
        The span that is covered: tags are in ``[start_ps, stop_ps)``.
    epoch
        Number of the recording; times of different epochs have no common origin.
    gaps
        Spans in which tags were lost.

    Examples
    --------
    >>> import numpy as np
    >>> lost = Gap(600, 1000, missed=3, loss=Loss.EXACT)
    >>> batch = TagBatch(np.array([10, 200, 500]), np.array([1, 2, 1], np.uint8), 0, 1000, gaps=(lost,))
    >>> len(batch), batch.missed, batch.complete
    (3, 3, False)
    >>> batch.counts()
    {1: 2, 2: 1}
    >>> batch.live_time_s()
    6e-10
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
        """True if the only gaps are scheduled pauses."""
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
        """Return the parts before and after a time.

        Of a gap that is cut, the first part has the count. Raises ValueError for a time outside the span.
        """
        if not self.start_ps <= at_ps <= self.stop_ps:
            raise ValueError(f"{at_ps} ps is not between {self.start_ps} and {self.stop_ps} ps")
        index = int(np.searchsorted(self.times_ps, at_ps))
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
            replace(self, times_ps=times[:index], channels=channels[:index], stop_ps=at_ps, gaps=before),
            replace(self, times_ps=times[index:], channels=channels[index:], start_ps=at_ps, gaps=after),
        )

    def select(self, channels: Collection[int]) -> Self:
        """Return the tags of some channels, with the gaps that concern them."""
        selected = np.isin(self.channels, list(channels))
        gaps = tuple(gap for gap in self.gaps if not gap.channels or set(gap.channels) & set(channels))
        return replace(self, times_ps=self.times_ps[selected], channels=self.channels[selected], gaps=gaps)

    def check(self, after: tuple[int, int] | None = None) -> None:
        """Raise ValueError for wrong types, numbers out of range, times out of order or outside the span.

        ``after``: epoch and end of the batch before it, which this one must not precede.
        """
        times = self.times_ps
        for name, values, kind in (("times_ps", times, np.int64), ("channels", self.channels, np.uint8)):
            if not isinstance(values, np.ndarray) or values.dtype != kind or values.ndim != 1:
                raise ValueError(f"{name} is not a one-dimensional array of {kind.__name__}")
        if len(times) != len(self.channels):
            raise ValueError(f"{len(times)} times, {len(self.channels)} channels")
        _check_whole("epoch", self.epoch, 0, _LAST_EPOCH)
        _check_span("the span", self.start_ps, self.stop_ps)
        for gap in self.gaps:
            gap.check()
        if after is not None and (self.epoch, self.start_ps) < after:
            raise ValueError(
                f"a batch from {self.start_ps} ps of epoch {self.epoch} on comes after one that ends at "
                f"{after[1]} ps of epoch {after[0]}"
            )
        if (times[1:] < times[:-1]).any():
            index = int(np.flatnonzero(times[1:] < times[:-1])[0])
            raise ValueError(f"tags are out of order: {times[index + 1]} ps comes after {times[index]} ps")
        if len(times) and not self.start_ps <= times[0] <= times[-1] < self.stop_ps:
            raise ValueError(
                f"tags from {times[0]} to {times[-1]} ps are not in their span, {self.start_ps} to {self.stop_ps} ps"
            )

    def description(self) -> dict[str, Any]:
        """Return span, epoch and gaps as plain data for JSON."""
        return {
            "start_ps": int(self.start_ps),
            "stop_ps": int(self.stop_ps),
            "epoch": int(self.epoch),
            "gaps": [gap.description() for gap in self.gaps],
        }

    @classmethod
    def described(
        cls,
        times_ps: NDArray[np.int64],
        channels: NDArray[np.uint8],
        description: Mapping[str, Any],
        after: tuple[int, int] | None = None,
    ) -> Self:
        """Return the batch of two columns and a :meth:`description`.

        Raises ValueError for a description with other names, and as :meth:`check` does.
        """
        content = _content(description, "batch", ("start_ps", "stop_ps", "epoch", "gaps"))
        gaps = tuple(Gap(**_gap(each)) for each in _list(content.pop("gaps")))
        batch = cls(times_ps, channels, **content, gaps=gaps)
        batch.check(after)
        return batch

    @classmethod
    def of_gap(cls, gap: Gap, epoch: int) -> Self:
        """Return a batch without tags whose span is one gap."""
        return cls(np.empty(0, np.int64), np.empty(0, np.uint8), gap.start_ps, gap.stop_ps, epoch, (gap,))

    @classmethod
    def concatenate(cls, batches: Iterable[Self]) -> Self:
        """Join adjacent batches of one epoch. Raises ValueError if one does not begin where the last one ends."""
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


def _gap(described: Any) -> dict[str, Any]:
    content = _content(described, "gap", [each.name for each in fields(Gap)])
    return content | {"loss": Loss(content["loss"]), "channels": tuple(_list(content["channels"]))}


def _content(described: Any, what: str, names: Collection[str]) -> dict[str, Any]:
    if not isinstance(described, Mapping) or set(described) != set(names):
        raise ValueError(f"not a description of a {what}: {str(described)[:80]}")
    return dict(described)


def _check_span(what: str, start_ps: Any, stop_ps: Any) -> None:
    for name, value in (("start_ps", start_ps), ("stop_ps", stop_ps)):
        _check_whole(f"{name} of {what}", value, -(2**63), 2**63 - 1)
    if start_ps > stop_ps:
        raise ValueError(f"{what} goes from {start_ps} to {stop_ps} ps")


def _check_whole(name: str, value: Any, lowest: int, highest: int) -> None:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or not lowest <= value <= highest:
        raise ValueError(
            f"{name} is {str(value)[:40]}, a whole number from {lowest} to {highest} is expected"
        )


def _list(value: Any) -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"{str(value)[:80]} is not a list")
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
