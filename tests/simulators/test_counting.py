"""Who counts, and when: counters that nobody watches cost nothing and are right when somebody looks."""

import numpy as np
import pytest

from qhal_simulators.physics.scenario_tables import load_scenario
from qhal_simulators.scenario_units import build
from qhal_simulators.simulated_time import SimulationClock

DARK_HZ = 400.0


@pytest.fixture
def rack():
    """Detectors biased in the dark, tagger inputs on: unit by name, the clock, and a way to ask the tagger."""
    scenario = load_scenario("wuhan-metro-link")
    detectors = scenario.detectors.model_copy(update={"dark_count_rate_hz": (DARK_HZ,) * 4})
    clock = SimulationClock(stepped=True)
    units, _, _ = build(scenario.model_copy(update={"detectors": detectors}), {}, clock, 5)
    found = {unit.name: unit.instrument for unit in units}
    found["detectors"].port.update(enabled=True, bias_ua=detectors.operating_ua)
    replies = []
    link = found["tagger"].connect("main", replies.append)

    def ask(text):
        link.receive(text.encode())
        return replies[-1].decode()

    for n in range(1, 5):
        ask(f"INPU{n}:ENAB ON")
        ask(f"INPU{n}:THRE 0.2V")
    return found, clock, ask


def test_an_unwatched_counter_shows_the_last_complete_period(rack):
    found, clock, ask = rack
    readings = found["tagger"].readings
    counts = []
    for n in range(1, 13):
        clock.advance_to(12.0 * n + 0.3)
        assert not readings.counting
        counts.append([int(ask(f"INPU{channel}:COUN?")) for channel in range(1, 5)])
        assert [int(ask(f"INPU{channel}:COUN?")) for channel in range(1, 5)] == counts[-1], (
            "one period, one number"
        )
        clock.advance_to(clock.now_s() + 0.5)
        assert readings.counting, "for a while after a look"
    counts = np.array(counts)
    sigma = np.sqrt(DARK_HZ)
    assert np.abs(counts.mean(axis=0) - DARK_HZ).max() < 4 * sigma / np.sqrt(len(counts))
    assert 0.65 * sigma < counts.std() < 1.4 * sigma


def test_a_change_within_the_period_is_seen(rack):
    found, clock, ask = rack
    clock.advance_to(12.25)
    found["detectors"].port.update(enabled=False)
    clock.advance_to(13.1)
    count = int(ask("INPU1:COUN?"))
    assert count == pytest.approx(DARK_HZ / 4, abs=5 * np.sqrt(DARK_HZ / 4)), "periods begin at whole seconds"


def test_a_watched_counter_and_a_running_sum_count_all(rack):
    found, clock, ask = rack
    clock.advance_to(2.0)
    ask("INPU1:COUN:RESE")
    sums = 0
    for n in range(1, 11):
        clock.advance_to(2.0 + n)
        sums += int(ask("INPU1:COUN?"))
    assert sums == found["tagger"].readings.counts()[0]
    ask("INPU2:COUN:MODE ACCU")
    before = found["tagger"].readings.counts()[1]
    clock.advance_to(42.0)
    assert found["tagger"].readings.counting, "however long nobody asks"
    assert int(ask("INPU2:COUN?")) == found["tagger"].readings.counts()[1] - before
    assert int(ask("INPU2:COUN?")) == pytest.approx(30 * DARK_HZ, rel=0.05)


def test_detectors_count_only_for_listeners(rack):
    found, clock, _ = rack
    unit, lines = found["detectors"], []
    clock.advance_to(1.0)
    assert not unit.readings.counting
    listener = unit.connect("counts", lines.append)
    clock.advance_to(2.05)
    counts = np.array([[int(word) for word in line.split(b",")[1:]] for line in lines])
    assert counts.shape == (10, 4)
    assert counts.sum() == pytest.approx(4 * DARK_HZ, abs=5 * np.sqrt(4 * DARK_HZ))
    listener.closed()
    assert not unit.readings.counting
    total = sum(unit.readings.counts())
    clock.advance_to(3.0)
    assert sum(unit.readings.counts()) == total
