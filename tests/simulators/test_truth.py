"""What a world logs for checks: the latest of it, however long the world runs."""

from types import SimpleNamespace

import pytest

from qhal_simulators.physics.oscillator import Oscillator
from qhal_simulators.physics.truth_log import TruthLog
from tests.physics.bench import Link, scenario


def test_the_log_forgets_what_is_long_ago():
    log = TruthLog(kept=100)
    for n in range(1000):
        log.add(SimpleNamespace(start_s=n * 0.5, stop_s=(n + 1) * 0.5, detected_per_light_s=1.0))
    assert len(log._entries) <= 200
    latest = log.interval(460.0, 499.75)
    assert sum(duration for duration, _ in latest) == pytest.approx(39.75)
    with pytest.raises(ValueError, match=r"0\.0 s to 1\.0 s is not in the log"):
        log.interval(0.0, 1.0)


def test_a_dark_link_takes_no_memory():
    link = Link(scenario(world={"grid_s": 0.01}))
    link.readings.recording = False
    link.world.advance_to(1.0)
    fibre = link.world.fibre.rotation
    link.world.advance_to(3.0)
    log = link.world.truth
    assert len(log._entries) < 10
    assert sum(duration for duration, _ in log.interval(0.5, 2.5)) == pytest.approx(2.0)
    assert (link.world.fibre.rotation != fibre).any(), "it moves nevertheless"
    link.play()
    link.world.advance_to(4.0)
    assert len(log._entries) > 90, "each step of the fibre turns the light"


def test_clocks_of_weeks_take_little_memory():
    clock = Oscillator((1, 2), 1e-7, 1e-11, 0.1, 1e-13)
    readings = [clock.reading_s(0.1 * n + 0.03) for n in range(20_000)]
    kept = sum(len(part) for part in vars(clock).values() if hasattr(part, "__len__"))
    assert kept < 5000
    again = Oscillator((1, 2), 1e-7, 1e-11, 0.1, 1e-13)
    for n in (19_999, 3, 12_345, 5000, 12_344, 19_998):
        assert again.reading_s(0.1 * n + 0.03) == readings[n], "whatever was asked before"
