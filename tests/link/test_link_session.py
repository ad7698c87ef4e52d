"""Counting a pattern in batches, and what a session does and does not do without a tagger."""

from types import SimpleNamespace

import numpy as np
import pytest

from qhal.errors import DeviceError, OutOfRange
from qhal.link.link_session import LinkDevices, LinkSession, LinkSettings
from qhal.link.measurement import PatternCounter, corrected_rate_hz
from qhal.link.pattern import Intensity, bb84_pattern
from qhal.link.skew import Receiver
from tests.link.link_clicks import Link, cut, ideal_response

WINDOW_PS = 3000.0
SPAN_PS = 200_000_000_000


def test_counts_of_a_pattern_do_not_depend_on_the_batches():
    link = Link(bb84_pattern(3), ideal_response())
    whole = link.batch(np.random.default_rng(5), SPAN_PS)
    results = []
    for parts in ([whole], cut(whole, [SPAN_PS // 3, SPAN_PS // 2])):
        counter = PatternCounter(
            link.pattern, Receiver(), window_ps=WINDOW_PS, dead_time_ps=link.dead_time_ps
        )
        for part in parts:
            counter.push(part)
        results.append(counter.finish())
    one, three = results
    assert (one.counts.clicks == three.counts.clicks).all()
    assert (one.phase_histogram == three.phase_histogram).all()
    assert len(one.qber_over_time) == 1
    assert three.qber_over_time[:, 0] == pytest.approx([0.2 / 3, 0.1, 0.2])
    gain, truth = one.counts.gain(Intensity.SIGNAL), link.truth(WINDOW_PS)["gain"][Intensity.SIGNAL]
    assert abs(gain.value - truth) < 4 * gain.standard_uncertainty
    rates = np.bincount(whole.channels, minlength=5)[1:] / 0.2
    assert list(one.rates_hz.values()) == pytest.approx(rates)
    middle = len(one.phase_histogram) // 2
    assert one.phase_histogram[middle - 7 : middle + 7].sum() > 0.6 * one.phase_histogram.sum()


def test_rates_are_corrected_for_dead_time():
    rng, rate_hz, dead_s, span_s = np.random.default_rng(2), 2e5, 1e-6, 5.0
    counts = np.array([_live_counts(rng, rate_hz, dead_s, span_s) for _ in range(20)])
    rates, uncertainties = corrected_rate_hz(counts, span_s, dead_s)
    pulls = (rates - rate_hz) / uncertainties
    assert abs(pulls.mean()) < 4 / np.sqrt(len(pulls))
    assert 0.5 < pulls.std() < 1.5
    (none,), (uncertainty,) = corrected_rate_hz(np.array([0]), span_s, dead_s)
    assert (none, uncertainty) == (0.0, pytest.approx(1 / span_s))


def _live_counts(rng, rate_hz, dead_s, span_s):
    gaps = rng.exponential(1 / rate_hz, int(rate_hz * span_s * 1.2)) + dead_s
    return int(np.searchsorted(np.cumsum(gaps), span_s))


@pytest.fixture
def session():
    """A session whose source notes what it is told and whose tagger fails."""
    done = []
    source = SimpleNamespace(
        done=done, enable=lambda: done.append("enable"), disable=lambda: done.append("disable")
    )

    def stream():
        raise DeviceError("no recording")

    names = ("attenuator", "generator", "switch", "polarization", "detectors")
    devices = LinkDevices(
        source=source, tagger=SimpleNamespace(stream=stream), **dict.fromkeys(names, SimpleNamespace())
    )
    settings = LinkSettings(
        frequency_thz=194.4, power_dbm=10.0, connections={1: 17}, bias_ua=(25.0,) * 4, dead_time_s=35e-9
    )
    return LinkSession(devices, SimpleNamespace(now_s=lambda: 0.0), settings)


def test_a_pattern_of_another_period_is_refused_before_anything_is_sent(session):
    with pytest.raises(OutOfRange, match=r"5000 ps symbols; 12 samples at 1\.2e\+09 /s are 10000 ps"):
        session.play(bb84_pattern(1, period_ps=5000.0), None)
    with pytest.raises(OutOfRange, match="call play"):
        session.measure(1.0)
    assert session.devices.source.done == []


def test_the_source_stays_off_when_counting_noise_fails(session):
    with pytest.raises(DeviceError, match="no recording"):
        session.measure_noise(1.0)
    assert session.devices.source.done == ["disable"]
