"""Every calibration, interrupted: devices safe, settings restored, what was measured kept, resumed to the truth.

CI interrupts in the middle; ``--every-step`` at each step.
"""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from qhal.calibration.journal import SUFFIX, Journal
from qhal.devices.attenuator import Attenuator
from qhal.devices.detector import Detector
from qhal.devices.polarization_controller import PolarizationController
from qhal.devices.source import Source
from qhal.devices.time_tagger import TimeTagger
from qhal.errors import QhalError
from tests.calibration.hidden import World, devices_of, hidden_world, pulls_of, run_case, shown
from tests.calibration.test_cases import CASES

SEED = 3
pytestmark = pytest.mark.timeout(240)


class Stop:
    """Tells progress to nobody, and strikes at a step."""

    def __init__(self, at=None, strike=None):
        self.steps, self._at, self._strike = 0, at, strike

    def __call__(self, progress):
        self.steps += 1
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
        elif isinstance(kind, Detector):
            found[role] = {key: status[key] for key in ("bias_ua", "trigger_mv")}
        elif isinstance(kind, TimeTagger):
            found[role] = status["inputs"]
        elif isinstance(kind, PolarizationController):
            found[role] = status["angles_deg"] if exact else pytest.approx(status["angles_deg"], abs=0.5)
    return found


def assert_safe(devices):
    for kind in devices.values():
        status = kind.status().model_dump()
        if isinstance(kind, Source):
            assert not status["emitting"]
        elif isinstance(kind, Detector):
            assert set(status["states"]) == {"off"}
        elif isinstance(kind, Attenuator):
            assert status["attenuation_db"] in (None, kind.capabilities.max_attenuation_db)


@cache
def undisturbed(name):
    """Run it once: how many steps it tells, and the world's time at its end."""
    case, counter = CASES[name], Stop()
    with hidden_world(case, SEED) as hidden, TemporaryDirectory() as folder:
        run_case(case, hidden, Path(folder), tell=counter)
        return counter.steps, hidden.node.clock.now_s()


def steps_of(name, request):
    """Return the steps at which to strike: one in the middle, or all of them."""
    steps, _ = undisturbed(name)
    return range(1, steps + 1) if request.config.getoption("--every-step") else [(steps + 1) // 2]


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


@pytest.mark.parametrize("name", CASES)
def test_ctrl_c(name, tmp_path, request):
    case = CASES[name]
    for step in steps_of(name, request):
        folder = tmp_path / str(step)
        with hidden_world(case, SEED) as hidden:
            case.prepare(hidden)
            devices = devices_of(case, hidden)
            before = settings_of(devices, exact=False)
            with pytest.raises(KeyboardInterrupt) as caught:
                run_case(case, hidden, folder, tell=Stop(step, interrupt))
            assert any("resume" in note for note in caught.value.__notes__)
            assert not any("not safe" in note for note in caught.value.__notes__), caught.value.__notes__
            assert_safe(devices)
            assert settings_of(devices) == before
            finish(case, hidden, folder)


@pytest.mark.parametrize("name", CASES)
def test_device_lost(name, tmp_path):
    case = CASES[name]
    step = (undisturbed(name)[0] + 1) // 2
    # The device that counts is lost in the middle: without it nothing goes on.
    lost = case.devices.get("tagger") or case.devices.get("detectors") or case.devices["meter"]
    with hidden_world(case, SEED) as hidden:
        case.prepare(hidden)
        devices = devices_of(case, hidden)
        background = hidden.background

        def strike():
            background.do(lambda: background.simulation.unplug(lost))

        with pytest.raises(QhalError) as caught:
            run_case(case, hidden, tmp_path, tell=Stop(step, strike))
        assert lost in str(caught.value)
        assert_safe({role: kind for role, kind in devices.items() if kind.device.name != lost})
        background.run(lambda: background.simulation.plug(lost))
        finish(case, hidden, tmp_path)


STRIKES = [
    *((name, "detectors", "latch_at_s") for name, case in CASES.items() if not case.calibration.latches),
    *((name, "tagger", "overflow_at_s") for name in CASES),
]


@pytest.mark.parametrize(
    ("name", "part", "event"), [strike for strike in STRIKES if strike[1] in CASES[strike[0]].devices]
)
def test_detector_latches_or_tagger_overflows(name, part, event, tmp_path):
    case = CASES[name]
    _, ended_s = undisturbed(name)
    with hidden_world(case, SEED, World({part: {event: ended_s / 2}})) as hidden:
        devices = devices_of(case, hidden)
        failure = None
        try:
            record = run_case(case, hidden, tmp_path)
        except QhalError as error:
            failure = error
        if failure is None:
            # Nothing was biased, or recorded, at that moment; then nothing may be wrong with the result either.
            assert_true(case, hidden, record)
            return
        assert case.devices[part] in str(failure)
        assert_safe(devices)
        if part == "tagger":  # after an overflow the real unit must be switched off and on, too
            hidden.background.run(lambda: hidden.background.simulation.restart("tagger"))
        finish(case, hidden, tmp_path)
