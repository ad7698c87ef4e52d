"""What a node can check without asking the world: flags what is hidden in it, and nothing else.

``make pulls`` tries 50 seeds of each; CI two.
"""

from pathlib import Path

import pytest

from qhal.cli.demo.calibrations import calibrate_on_bench
from qhal.cli.demo.reported import reported_checks
from qhal_simulators.physics.scenario import load_scenario
from tests.cli.hidden_link import hidden_link, measure

SECONDS = 0.5
PUBLISHED = load_scenario("wuhan-metro-link")
HIDDEN = {
    "nothing": ({}, None),
    "dark counts x3": (
        {"detectors": {"dark_count_rate_hz": [3 * rate for rate in PUBLISHED.detectors.dark_count_rate_hz]}},
        "dark counts",
    ),
    "Raman x2": ({"classical": {"raman_scale": 2 * PUBLISHED.classical.raman_scale}}, "Raman noise"),
    "1 dB of loss": (
        {"channel": {"connectors_after_db": PUBLISHED.channel.connectors_after_db + 1.0}},
        "signal gain",
    ),
    "optical error x2": (
        {"receiver": {"optical_error": 2 * PUBLISHED.receiver.optical_error}},
        "signal QBER",
    ),
}
pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """Return records of one bench: the parts are the same in all worlds."""
    return calibrate_on_bench(tmp_path_factory.mktemp("bench"), 7, lambda text: None)


@pytest.mark.parametrize("name", HIDDEN)
def test_flags_what_is_hidden(name, bench, tmp_path, request):
    hidden, flagged = HIDDEN[name]
    seeds = range(600, 600 + max(1, request.config.getoption("--seeds") // 2))
    missed, alarms = [], []
    for seed in seeds:
        folder = Path(tmp_path / str(seed))
        folder.mkdir()
        with hidden_link(hidden, seed, bench, folder) as (link, control):
            checks = reported_checks(link, measure(link, control, SECONDS, seed))
        assert all(check.basis == "reported" and check.judged for check in checks)
        bad = [check.name for check in checks if not check.passed]
        if flagged is None:
            alarms += bad
        elif not any(each.startswith(flagged) for each in bad):
            missed.append((seed, [(check.name, check.deviation_sigma) for check in checks]))
    assert not missed
    # Their budgets are of systematic errors that these worlds do not have.
    assert len(alarms) <= len(seeds) // 20, alarms
