"""Suite of pattern generators. Playing moves modulators, so it is marked ``moves``."""

import numpy as np
import pytest

from qhal.devices.pattern_generator import PatternGenerator
from qhal.errors import OutOfRange, Unsupported


@pytest.mark.reads
def test_wrong_patterns_send_nothing(pattern_generator: PatternGenerator) -> None:
    """What does not fit is refused as a whole, before anything is sent."""
    limits, before = pattern_generator.capabilities, pattern_generator.device.health.exchanges
    rate, good = limits.max_sample_rate_hz, np.zeros(max(limits.min_points, 960))
    wrong = {
        "too fast": ({1: good}, 2 * rate),
        "too short": ({1: good[: limits.min_points - 1]}, rate)
        if limits.min_points > 1
        else ({1: good[:0]}, rate),
        "too high": ({1: np.append(good[1:], 1000.0)}, rate),
        "no number": ({1: np.append(good[1:], np.nan)}, rate),
        "of two lengths": ({1: good, 2: np.append(good, good)}, rate)
        if limits.channels > 1
        else ({1: good}, 0.0),
        "no channel": ({limits.channels + 1: good}, rate),
        "nothing": ({}, rate),
    }
    taken = []
    for name, (volts, sample_rate_hz) in wrong.items():
        try:
            pattern_generator.play(volts, sample_rate_hz)
        except (OutOfRange, Unsupported):
            continue
        taken.append(name)
    assert taken == []
    assert pattern_generator.device.health.exchanges == before


@pytest.mark.moves
def test_plays_stops_and_is_safe(pattern_generator: PatternGenerator) -> None:
    """A pattern plays until it is stopped; made safe, nothing runs."""
    limits = pattern_generator.capabilities
    points = max(limits.min_points, 960)
    wave = 0.1 * np.sin(2 * np.pi * np.arange(points) / points)
    pattern_generator.play({1: wave}, limits.max_sample_rate_hz)
    assert pattern_generator.read_running()
    pattern_generator.stop()
    assert not pattern_generator.read_running()
    pattern_generator.start()
    assert pattern_generator.read_running()
    pattern_generator.make_safe()
    assert not pattern_generator.read_running()
