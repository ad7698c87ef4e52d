"""Suite of time taggers."""

import pytest

from qhal.devices.time_tagger import InputSettings, TimeTagger, TimeTaggerStatus
from qhal.errors import OutOfRange, Unsupported


def _first_input(status: TimeTaggerStatus) -> InputSettings:
    assert status.inputs[0] is not None, status.problems
    return status.inputs[0]


@pytest.mark.reads
def test_status_covers_every_input(time_tagger: TimeTagger) -> None:
    """The status has settings of every input; no tags are recorded."""
    status = time_tagger.status()
    assert len(status.inputs) == time_tagger.capabilities.channels
    assert not status.streaming


@pytest.mark.reads
def test_wrong_requests_send_nothing(time_tagger: TimeTagger) -> None:
    """A threshold, delay or period beyond the limits and an input too many are refused."""
    limits, before = time_tagger.capabilities, time_tagger.device.health.exchanges
    with pytest.raises(OutOfRange, match="threshold"):
        time_tagger.set_threshold_v(1, limits.max_threshold_v + 1)
    with pytest.raises(OutOfRange, match="delay"):
        time_tagger.set_delay_ps(1, limits.max_delay_ps + 1)
    with pytest.raises(OutOfRange, match="period"):
        time_tagger.read_counts(limits.max_period_s * 2)
    with pytest.raises(Unsupported, match="input"):
        time_tagger.set_enabled(limits.channels + 1, True)
    assert time_tagger.device.health.exchanges == before


@pytest.mark.moves
def test_inputs_are_set_and_go_back(time_tagger: TimeTagger) -> None:
    """Threshold and delay are achieved within the unit's steps, for one input alone."""
    limits, before = time_tagger.capabilities, time_tagger.status()
    first = _first_input(before)
    try:
        achieved = time_tagger.set_threshold_v(1, limits.max_threshold_v / 2)
        assert achieved == pytest.approx(limits.max_threshold_v / 2, abs=limits.threshold_step_v)
        assert time_tagger.set_delay_ps(1, 3000) == 3000
        assert time_tagger.status().inputs[1:] == before.inputs[1:]
    finally:
        time_tagger.set_threshold_v(1, first.threshold_v)
        time_tagger.set_delay_ps(1, first.delay_ps)


@pytest.mark.moves
def test_streams_follow_each_other(time_tagger: TimeTagger) -> None:
    """Batches are adjacent, ascending, within their spans and of enabled inputs; counters and tags agree."""
    before = _first_input(time_tagger.status())
    time_tagger.set_enabled(1, True)
    try:
        rates = time_tagger.read_counts(0.2).rates_hz
        with time_tagger.stream() as tags:
            batches = list(tags.for_seconds(0.7))
        assert batches[-1].stop_ps - batches[0].start_ps == 700_000_000_000
        for batch, following in zip(batches, [*batches[1:], None], strict=True):
            assert following is None or batch.stop_ps == following.start_ps
            assert (batch.times_ps[1:] >= batch.times_ps[:-1]).all()
            assert (
                len(batch) == 0 or batch.start_ps <= batch.times_ps[0] <= batch.times_ps[-1] < batch.stop_ps
            )
        assert tags.delivered == sum(map(len, batches))
        counted_hz = sum(batch.counts().get(1, 0) for batch in batches) / 0.7
        statistics_hz = 6 * (rates[0] / 0.2 + rates[0] / 0.7 + 1) ** 0.5
        assert counted_hz == pytest.approx(rates[0], rel=0.02, abs=statistics_hz)
        assert not time_tagger.status().streaming
    finally:
        time_tagger.set_enabled(1, before.enabled)
