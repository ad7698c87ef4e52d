"""A count does not keep the device from other threads: what makes safe, and closing, must not wait for it."""

import threading

import pytest

from qhal.devices.interface import SafeState
from qhal.errors import DeviceError, Disconnected, ReplyTimeout

COUNTING = {"singlequantum.websq": SafeState.VERIFIED, "idquantique.id900": SafeState.UNTOUCHED}


class Count:
    """A count of 10 s in a thread, whose waiting ends on demand; the other threads' waiting does nothing."""

    def __init__(self, device, monkeypatch):
        self.outcome = []
        self._begun, self._ends = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._count, args=(device,))
        monkeypatch.setattr(device.clock, "sleep_s", self._wait)
        self._thread.start()
        assert self._begun.wait(30)

    def _wait(self, duration_s):
        if threading.current_thread() is self._thread and duration_s > 1:
            self._begun.set()
            assert self._ends.wait(50)

    def _count(self, device):
        try:
            self.outcome.append(device.read_counts(10.0))
        except (DeviceError, Disconnected, ReplyTimeout) as error:
            self.outcome.append(error)

    def end(self):
        self._ends.set()
        self._thread.join(30)
        (outcome,) = self.outcome
        return outcome


@pytest.mark.parametrize("driver", COUNTING)
def test_making_safe_does_not_wait_for_a_count(driver, bench, monkeypatch):
    device, _ = bench(driver)
    if driver == "singlequantum.websq":
        device.enable()
    device.connection.timeout_s = 20.0
    count = Count(device, monkeypatch)
    assert device.make_safe() is COUNTING[driver]
    assert not count.outcome
    if driver == "singlequantum.websq":
        assert not device._read_enabled()
    device.close()
    assert not count.outcome
    assert isinstance(count.end(), (DeviceError, Disconnected))


def test_a_count_during_which_another_thread_changed_a_setting_is_discarded(bench, monkeypatch):
    device, _ = bench("idquantique.id900")
    count = Count(device, monkeypatch)
    device.set_threshold_v(1, 0.3)
    error = count.end()
    assert isinstance(error, DeviceError)
    assert "another thread changed a setting" in str(error)
    monkeypatch.undo()
    assert len(device.read_counts(0.1).counts) == device.capabilities.channels


@pytest.mark.parametrize("verb", ["close", "make_safe"])
def test_a_thread_that_holds_a_device_is_not_waited_for_without_limit(verb, bench, monkeypatch):
    for limit in ("qhal.devices.session.CLOSE_S", "qhal.devices.interface._HELD_BY_ANOTHER_S"):
        monkeypatch.setattr(limit, 0.1)
    device, _ = bench("purephotonics.ppcl550")
    held, done = threading.Event(), threading.Event()

    def hold():
        with device.locked():
            held.set()
            done.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(30)
    with pytest.raises(ReplyTimeout, match=r"another thread uses .* for 0\.1 s"):
        getattr(device, verb)()
    done.set()
    thread.join()
    assert device.make_safe() is SafeState.VERIFIED
