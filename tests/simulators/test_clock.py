"""World time: order of what is due, stepping, and late ends that move the world."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qhal_simulators.clock import SimulationClock


class World:
    def __init__(self):
        self.times = []

    def advance_to(self, t_s):
        self.times.append(t_s)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a busy machine all is slow
@given(st.lists(st.floats(0, 10), max_size=20), st.lists(st.floats(0.01, 3), min_size=1, max_size=8))
def test_what_is_due_comes_in_order_however_time_is_stepped(dues, steps):
    clock = SimulationClock(stepped=True, world=(world := World()))
    seen = []
    for due in dues:
        clock.call_at(due, lambda due=due: seen.append((due, clock.now_s())))
    for step in steps:
        clock.advance_to(clock.now_s() + step)
    assert [due for due, _ in seen] == sorted(due for due in dues if due <= clock.now_s())
    assert all(due == now for due, now in seen)
    assert world.times == sorted(world.times)


def test_stepped_time_stands_still_until_something_ends_late():
    clock = SimulationClock(stepped=True)
    ended = []
    assert clock.catch_up() is None
    assert clock.now_s() == 0.0
    clock.after(0.25, lambda: ended.append(clock.now_s()))
    assert ended == [0.25]
    assert clock.now_s() == 0.25


def test_a_cancelled_timer_does_nothing():
    clock = SimulationClock(stepped=True)
    ended = []
    clock.call_later(1.0, lambda: ended.append(1)).cancel()
    clock.advance_to(2.0)
    assert ended == []


def test_wall_time_runs_faster_on_request():
    slow, fast = SimulationClock(), SimulationClock(speed=1000.0)
    while slow.now_s() == 0.0:
        pass
    assert fast.now_s() > slow.now_s()


def test_what_the_wall_brings_late_finds_the_world_as_it_was_when_it_was_due(mocker):
    wall = mocker.patch("qhal_simulators.clock.time.monotonic", return_value=100.0)
    clock = SimulationClock(speed=2.0, world=(world := World()))
    seen = []

    def every_tenth():
        seen.append(clock.now_s())
        if len(seen) < 3:
            clock.call_later(0.1, every_tenth)

    clock.call_at(0.1, every_tenth)
    clock.call_at(0.35, clock.catch_up)  # a command that ends at once, meanwhile
    wall.return_value = 100.5
    clock.catch_up()
    assert seen == [0.1, 0.2, pytest.approx(0.3)]
    assert world.times[:2] == [0.1, 0.2]
    assert (world.times[-1], clock.now_s()) == (1.0, 1.0)
