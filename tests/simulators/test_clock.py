"""World time: order of what is due, stepping, and late ends that move the world."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qhal_simulators.simulated_time import SLICE_S, SimulationClock


class World:
    pace_s = 0.02

    def __init__(self):
        self.times = []

    def advance_to(self, t_s):
        self.times.append(t_s)


class SlowWorld(World):
    """Takes ``cost`` seconds of the wall for each of its own."""

    def __init__(self, wall, cost):
        super().__init__()
        self.wall, self.cost, self.now_s = wall, cost, 0.0

    def advance_to(self, t_s):
        super().advance_to(t_s)
        self.wall.return_value += (t_s - self.now_s) * self.cost
        self.now_s = t_s


@pytest.fixture
def wall(mocker):
    return mocker.patch("qhal_simulators.simulated_time.time.monotonic", return_value=100.0)


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


def test_wall_time_runs_faster_on_request(wall):
    slow, fast = SimulationClock(), SimulationClock(speed=1000.0)
    wall.return_value += 0.5
    for clock in (slow, fast):
        assert clock.now_s() == 0.0, "as it was when something was asked last"
        clock.refresh()
    assert (slow.now_s(), fast.now_s()) == (0.5, 500.0)


def test_what_the_wall_brings_late_finds_the_world_as_it_was_when_it_was_due(wall):
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
    assert {0.1, 0.2} < set(world.times)
    assert world.times == sorted(world.times)
    assert (world.times[-1], clock.now_s()) == (1.0, 1.0)


def test_a_slow_world_is_moved_in_slices_and_lags(wall):
    clock = SimulationClock(world=SlowWorld(wall, cost=4.0))
    wall.return_value += 0.2
    slices = []
    for _ in range(400):
        before_s = wall.return_value
        assert clock.catch_up() == 0.0, "at once again"
        assert clock.behind
        slices.append(wall.return_value - before_s)
    assert max(slices[10:]) <= 2 * SLICE_S
    elapsed_s = wall.return_value - 100.0
    assert clock.now_s() == pytest.approx(elapsed_s / 4, rel=0.1), "as fast as it can"
    assert clock.lag_s == pytest.approx(elapsed_s - clock.now_s(), abs=2 * SLICE_S)


def test_what_is_far_behind_is_given_up_and_the_rest_made_up_for(wall):
    clock = SimulationClock(speed=2.0, world=SlowWorld(wall, cost=0.1))
    ended = []
    clock.call_at(1.0, lambda: ended.append(clock.now_s()))
    wall.return_value += 600.0  # stopped meanwhile
    while clock.catch_up() == 0.0:
        pass
    assert ended == [1.0], "due in the world's own time"
    assert clock.lag_s == pytest.approx(2 * (600.0 - 2.0), rel=1e-3)
    assert clock.now_s() == pytest.approx(2 * 2.0, rel=0.3)
    wall.return_value += 1.0
    before_s, lag_s = clock.now_s(), clock.lag_s
    while clock.catch_up() == 0.0:
        pass
    assert clock.now_s() - before_s == pytest.approx(2.0, rel=0.3)
    assert clock.lag_s == lag_s


def test_who_asks_while_the_world_is_behind_does_not_wait_for_it(wall):
    clock = SimulationClock(world=SlowWorld(wall, cost=4.0))
    wall.return_value += 1.0
    clock.catch_up()
    asked_s = wall.return_value
    for _ in range(100):
        clock.refresh()
    assert wall.return_value == asked_s
    done = []
    clock.after(0.0, lambda: done.append(clock.now_s()))
    assert done == [clock.now_s()], "what ends at once does so while the world is behind, too"


def test_commands_have_the_time_of_the_world(wall):
    clock = SimulationClock(world=SlowWorld(wall, cost=0.0))
    wall.return_value += 0.5
    assert clock.now_s() == 0.0
    clock.refresh()
    assert clock.now_s() == 0.5
    ended = []
    clock.after(0.25, lambda: ended.append(clock.now_s()))
    wall.return_value += 1.0
    clock.refresh()
    assert ended == [0.75]


def test_a_lone_instrument_that_nobody_asks_does_not_lag(wall):
    clock, ended = SimulationClock(), []
    wall.return_value += 600.0
    clock.refresh()
    assert (clock.now_s(), clock.lag_s) == (600.0, 0.0)
    clock.call_at(1200.0, lambda: ended.append(clock.now_s()))
    wall.return_value += 600.5
    clock.refresh()
    assert ended == [1200.0]
    assert (clock.now_s(), clock.lag_s) == (1200.5, 0.0)
