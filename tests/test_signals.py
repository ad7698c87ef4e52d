"""Signals while something must be made safe: each raises once, none cuts the making safe short, none is lost."""

import os
import signal
import sys
import threading
import time
import weakref

import pytest

from qhal import signals

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
RAISED = {
    signal.SIGINT: KeyboardInterrupt,
    signal.SIGTERM: signals.Terminated,
    signal.SIGHUP: signals.Terminated,
}


def strike(*numbers):
    for number in numbers:
        os.kill(os.getpid(), number)


@signals.shielded
def struck(*numbers):
    strike(*numbers)


@pytest.fixture(autouse=True)
def handlers_come_back():
    before = [signal.getsignal(number) for number in NUMBERS]
    yield
    assert [signal.getsignal(number) for number in NUMBERS] == before
    assert not signals.take_noted()


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_raises_in_the_block(number):
    with pytest.raises(RAISED[number]) as caught, signals.owned():
        strike(number)
    assert signals.exit_code(caught.value) == 128 + number
    assert signals.name_of(caught.value) == signal.Signals(number).name


@pytest.mark.parametrize("first", NUMBERS)
@pytest.mark.parametrize("second", NUMBERS)
def test_the_second_one_waits_while_the_first_is_handled(first, second):
    ended = []

    def cleaned_up():
        try:
            strike(first)
        finally:
            strike(second)
            try:
                raise ValueError("cleaning up has troubles of its own")
            except ValueError:
                strike(second)
            ended.append(True)

    with pytest.raises((KeyboardInterrupt, SystemExit)) as caught, signals.owned():
        cleaned_up()
    assert ended
    expected = second if first == signal.SIGINT else first
    assert signals.exit_code(caught.value) == 128 + expected


@pytest.mark.parametrize("where", ["__del__", "callback"])
@pytest.mark.parametrize("numbers", [*((each,) for each in NUMBERS), NUMBERS], ids=str)
def test_one_that_python_drops_comes_again(where, numbers):
    """What is raised in ``__del__``, or in a callback of a weak reference, goes nowhere; nor do more signals then."""

    class Thing:
        def __del__(self):
            if where == "__del__":
                strike(*numbers)

    thing = Thing()
    watch = weakref.ref(thing, lambda dead: strike(*numbers) if where == "callback" else None)
    came = []
    with signals.owned():
        try:
            del thing
            wait_for_an_interrupt()
        except RAISED[numbers[0]] as error:
            came.append(error)
    assert came
    assert watch() is None
    assert sys.unraisablehook is not signals._take_back


def wait_for_an_interrupt():
    deadline = time.monotonic() + 30.0
    while time.monotonic() < deadline:
        pass


@pytest.mark.parametrize("number", NUMBERS)
def test_a_shielded_function_ends_and_then_it_is_raised(number):
    ended = []

    @signals.shielded
    def works():
        strike(number)
        ended.append(True)

    with signals.owned():
        with pytest.raises(RAISED[number]):
            works()
        assert ended
        # What was caught is over; the next one raises again.
        with pytest.raises(RAISED[number]):
            strike(number)


def test_a_second_ctrl_c_does_not_come_back_later():
    with signals.owned():
        with pytest.raises(KeyboardInterrupt), signals.owned():
            cleaned_up_twice(signal.SIGINT)
        assert struck() is None

    @signals.owned()
    def works():
        with pytest.raises(KeyboardInterrupt):
            cleaned_up_twice(signal.SIGTERM)
        struck()

    with pytest.raises(signals.Terminated):  # but SIGTERM after Ctrl-C is not lost
        works()


def cleaned_up_twice(second):
    try:
        strike(signal.SIGINT)
    finally:
        struck(second)


def test_a_shield_within_a_shield_and_an_error_lose_nothing():
    ended = []

    @signals.shielded
    def outer():
        struck(signal.SIGTERM)
        ended.append(True)
        raise ValueError("it fails as well")

    with pytest.raises(signals.Terminated), signals.owned():
        outer()
    assert ended


def test_handlers_of_the_program_are_called_and_ignored_signals_stay_ignored():
    came = []
    before = [signal.getsignal(number) for number in NUMBERS]
    signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    own = signal.getsignal(signal.SIGTERM)

    @signals.shielded
    def works():
        strike(signal.SIGTERM, signal.SIGHUP)
        assert came == [signal.SIGTERM]

    with signals.owned():
        strike(signal.SIGTERM, signal.SIGHUP)
        works()
        assert came == [signal.SIGTERM] * 2
    assert signal.getsignal(signal.SIGTERM) is own
    for number, handler in zip(NUMBERS, before, strict=True):
        signal.signal(number, handler)


def test_other_threads_own_nothing():
    owned = []
    thread = threading.Thread(target=lambda: owned.append(signals.own()))
    thread.start()
    thread.join()
    assert owned == [False]


def test_no_moment_is_without_shield():
    """A signal before each single line of a block's end: the end is always reached."""
    reached = []

    class Guarded:
        def __enter__(self):
            return self

        @signals.shielded
        def __exit__(self, *exception):
            for _ in range(3):
                reached[-1] += 1

    def traced(at):
        lines = 0

        def trace(frame, event, argument):
            nonlocal lines
            if event == "line":
                lines += 1
                if lines == at:
                    strike(signal.SIGTERM, signal.SIGHUP)
            return trace

        return trace

    for at in range(1, 40):
        reached.append(0)
        entered = False
        try:
            with signals.owned():
                sys.settrace(traced(at))
                with Guarded():
                    entered = True
                sys.settrace(None)
        except signals.Terminated:
            pass
        finally:
            sys.settrace(None)
        assert reached[-1] == 3 or not entered
