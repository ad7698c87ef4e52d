"""Every calibration, interrupted: devices safe, settings restored, what was measured kept, resumed to the truth.

``make samples`` interrupts every second calibration in the middle, by one of the four causes in turn;
``--interruptions 5`` all of them at five steps from the first to the last by every cause, ``0`` at each step (``make
interruptions``).
"""

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from qhal.calibration.framework.device_state import NotRestored
from qhal.calibration.framework.journal import SUFFIX, Journal
from qhal.devices.attenuator import Attenuator
from qhal.devices.detector import Detector
from qhal.devices.optical_switch import OpticalSwitch
from qhal.devices.polarization_controller import PolarizationController
from qhal.devices.source import Source
from qhal.devices.time_tagger import TimeTagger
from qhal.errors import QhalError
from qhal.records.store import RecordStore
from tests.calibration.hidden import (
    UNDISTURBED,
    Counter,
    World,
    devices_of,
    hidden_world,
    pulls_of,
    run_case,
    run_undisturbed,
    shown,
)
from tests.calibration.test_cases import CASES, INTERRUPTED, NAMES

SEED = 0
pytestmark = pytest.mark.long
STRIKES = [
    (name, part, event)
    for name, case in CASES.items()
    for part, event in (("detectors", "latch_at_s"), ("tagger", "overflow_at_s"))
    if part in case.devices and not (part == "detectors" and case.calibration.allows_latching)
]


class Stop(Counter):
    """Counts the steps, and strikes at one."""

    def __init__(self, at, strike):
        super().__init__()
        self._at, self._strike = at, strike

    def __call__(self, progress):
        super().__call__(progress)
        if self.steps == self._at:
            self._strike()


def interrupt():
    raise KeyboardInterrupt


def settings_of(devices, exact=True):
    """What must come back in any case: everything but light, bias, attenuation and the generator's waveforms."""
    found = {}
    for role, kind in devices.items():
        status = kind.status().model_dump(exclude={"time"})
        if isinstance(kind, Source):
            found[role] = {key: status[key] for key in ("set_power_dbm", "frequency_thz")}
            if kind.device.carries_traffic:
                found[role]["emitting"] = status["emitting"]
        elif isinstance(kind, Detector):
            found[role] = {key: status[key] for key in ("bias_ua", "trigger_mv")}
        elif isinstance(kind, TimeTagger):
            found[role] = status["inputs"]
        elif isinstance(kind, OpticalSwitch):
            found[role] = status["pattern"]
        elif isinstance(kind, PolarizationController):
            found[role] = status["angles_deg"] if exact else pytest.approx(status["angles_deg"], abs=0.5)
    return found


def assert_safe(devices):
    for kind in devices.values():
        status = kind.status().model_dump()
        if isinstance(kind, Source):
            assert kind.device.carries_traffic or not status["emitting"]
        elif isinstance(kind, Detector):
            assert set(status["states"]) == {"off"}
        elif isinstance(kind, Attenuator):
            assert status["attenuation_db"] in (None, kind.capabilities.max_attenuation_db)


def undisturbed(name):
    """Return how many steps a case has, and the time of the world at its end."""
    if name not in UNDISTURBED:
        with hidden_world(CASES[name], SEED) as hidden, TemporaryDirectory() as folder:
            run_undisturbed(name, CASES[name], hidden, Path(folder))
    return UNDISTURBED[name]


def cause_of(name):
    """Return the cause by which ``make samples`` interrupts a calibration: each has its turn."""
    causes = ["ctrl_c", "device_lost", *(event for other, _, event in STRIKES if other == name)]
    return causes[list(CASES).index(name) // 2 % len(causes)]


def steps_of(name, cause, request):
    """Return the steps at which to strike: one in the middle, some, or all of them."""
    count = request.config.getoption("--interruptions")
    if count == 1 and (name not in INTERRUPTED or cause != cause_of(name)):
        pytest.skip("make interruptions tries every cause")
    steps, _ = undisturbed(name)
    if count == 1:
        return [(steps + 1) // 2]
    return sorted({round(step) for step in np.linspace(1, steps, count or steps)})


def finish(case, hidden, folder):
    """Resume the one journal there is; it must keep what was measured, and the result must be the truth."""
    (path,) = folder.glob(f"*{SUFFIX}")
    journal, _ = Journal.resume(path)
    kept = list(journal.rows)
    journal.close()
    record = run_case(case, hidden, folder, resume=path)
    for table, row in kept:
        assert any(
            all(_plain(found[name]) == value for name, value in row.items())
            for found in record.tables[table].rows()
        ), (table, row)
    assert not path.exists()
    assert_true(case, hidden, record)


def assert_true(case, hidden, record):
    """The result must be the truth, within five of its own uncertainties."""
    worst = max(
        abs(pull) for pulls in pulls_of(record, case.truth(hidden, record)).values() for pull in pulls
    )
    assert worst < 5, shown(record)


def _plain(cell):
    return cell.tolist() if hasattr(cell, "tolist") else cell


@pytest.mark.parametrize("name", NAMES)
def test_ctrl_c(name, tmp_path, request):
    case = CASES[name]
    for step in steps_of(name, "ctrl_c", request):
        folder = tmp_path / str(step)
        with hidden_world(case, SEED) as hidden:
            case.prepare(hidden)
            devices = devices_of(case, hidden)
            before = settings_of(devices, exact=False)
            with pytest.raises(KeyboardInterrupt) as caught:
                run_case(case, hidden, folder, on_progress=Stop(step, interrupt))
            assert any("resume" in note for note in caught.value.__notes__)
            assert not any("not safe" in note for note in caught.value.__notes__), caught.value.__notes__
            assert_safe(devices)
            assert settings_of(devices) == before
            finish(case, hidden, folder)


@pytest.mark.parametrize("name", NAMES)
def test_device_lost(name, tmp_path, request):
    case = CASES[name]
    # The device that counts is lost: without it nothing goes on.
    lost = case.devices.get("tagger") or case.devices.get("detectors") or case.devices["meter"]
    for step in steps_of(name, "device_lost", request):
        folder = tmp_path / str(step)
        with hidden_world(case, SEED) as hidden:
            case.prepare(hidden)
            devices = devices_of(case, hidden)
            strike = partial(cut, hidden, lost)
            failure = failure_of(case, hidden, folder, on_progress=Stop(step, strike))
            plug(hidden, lost)
            if failure is None:
                # It had been measured already, but could not be put back.
                case.prepare(hidden)
                assert_kept(case, hidden, folder)
                continue
            assert lost in str(failure)
            assert_safe({role: kind for role, kind in devices.items() if kind.device.name != lost})
            finish(case, hidden, folder)


@pytest.mark.parametrize(
    ("name", "part", "event"),
    [pytest.param(*strike, marks=pytest.mark.xdist_group(strike[0])) for strike in STRIKES],
)
def test_detector_latches_or_tagger_overflows(name, part, event, tmp_path, request):
    case = CASES[name]
    for step in steps_of(name, event, request):
        steps, ended_s = undisturbed(name)
        folder = tmp_path / str(step)
        at_s = ended_s * step / (steps + 1)
        with hidden_world(case, SEED, World({part: {event: at_s}})) as hidden:
            devices = devices_of(case, hidden)
            failure = failure_of(case, hidden, folder)
            if failure is None:
                # Nothing was biased, or recorded, at that moment; then nothing may be wrong with the result either.
                assert_kept(case, hidden, folder)
                continue
            assert case.devices[part] in str(failure)
            assert_safe(devices)
            if part == "tagger":  # after an overflow the real unit must be switched off and on, too
                hidden.background.run(lambda: hidden.background.simulation.restart("tagger"))
            finish(case, hidden, folder)


def cut(hidden, name):
    hidden.background.do(lambda: hidden.background.simulation.unplug(name))


def plug(hidden, name):
    hidden.background.run(lambda: hidden.background.simulation.plug(name))


def failure_of(case, hidden, folder, **options):
    """Run a case; return with which error it ended, None when it left a record."""
    try:
        run_case(case, hidden, folder, **options)
    except QhalError as error:
        return error
    except NotRestored:
        return None
    return None


def assert_kept(case, hidden, folder):
    (found,) = RecordStore(folder).list()
    assert_true(case, hidden, found.record)
