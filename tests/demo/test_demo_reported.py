"""What a node can check without asking the world: flags what is hidden in it, and nothing else.

``make pulls`` tries ten worlds of each; ``make samples`` one with nothing and one with all of it.
"""

from pathlib import Path

import pytest

from qhal.demo.demo_records import calibrate_on_bench
from qhal.demo.reported_checks import reported_checks
from qhal_simulators.physics.scenario_tables import load_scenario
from tests.demo.hidden_link import hidden_link, measure

SECONDS = 0.5
PUBLISHED = load_scenario("wuhan-metro-link")
DARK = {"detectors": {"dark_count_rate_hz": [3 * rate for rate in PUBLISHED.detectors.dark_count_rate_hz]}}
RAMAN = {"classical": {"raman_scale": 2 * PUBLISHED.classical.raman_scale}}
LOSS = {"channel": {"connectors_after_db": PUBLISHED.channel.connectors_after_db + 1.0}}
ERROR = {"receiver": {"optical_error": 2 * PUBLISHED.receiver.optical_error}}
HIDDEN = {
    "nothing": ({}, set()),
    "dark counts x3": (DARK, {"dark counts"}),
    "Raman x2": (RAMAN, {"Raman noise"}),
    "1 dB of loss": (LOSS, {"signal gain"}),
    "optical error x2": (ERROR, {"signal QBER"}),
    "all of it": (
        DARK | RAMAN | LOSS | ERROR,
        {"dark counts", "Raman noise", "signal gain", "signal QBER"},
    ),
}
"""By name: what is changed in the world and not in its data sheet, and the checks that must see it."""
SHORT_CUT = ("nothing", "all of it")
pytestmark = [pytest.mark.long, pytest.mark.timeout(1200), pytest.mark.xdist_group("demo reported")]


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """Return records of one bench: the parts are the same in all worlds."""
    return calibrate_on_bench(tmp_path_factory.mktemp("bench"), 7, lambda text: None)


@pytest.mark.parametrize("name", HIDDEN)
def test_flags_what_is_hidden(name, bench, tmp_path, request):
    wanted = request.config.getoption("--seeds")
    if wanted == 1 and name not in SHORT_CUT:
        pytest.skip("in full by make pulls")
    hidden, flagged = HIDDEN[name]
    seeds = range(600, 600 + (max(1, wanted // 5)))
    missed, alarms = [], []
    for seed in seeds:
        folder = Path(tmp_path / str(seed))
        folder.mkdir()
        with hidden_link(hidden, seed, bench, folder) as (link, control):
            checks = reported_checks(link, measure(link, control, SECONDS, seed))
        assert all(check.basis == "reported" and check.judged for check in checks)
        found = {check.name: check.deviation_sigma for check in checks if not check.passed}
        if not flagged:
            alarms += found.items()
        missed += [(seed, each) for each in flagged if not any(name.startswith(each) for name in found)]
    assert not missed
    # The budgets are of systematic errors that these worlds do not have: only counts can raise an alarm.
    assert len(alarms) <= len(seeds) // 20, alarms
