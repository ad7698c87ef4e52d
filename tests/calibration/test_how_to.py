"""The calibration of docs/how-to/add-a-calibration.md measures, and its picture is drawn."""

import re
import sys
import types
from pathlib import Path

from qhal import published
from tests.calibration.hidden import Case, World, hidden_world, run_case
from tests.calibration.pictures import drawn, faults
from tests.calibration.source_bench import BIAS_UA

PAGE = Path(__file__).parents[2] / "docs/how-to/add-a-calibration.md"


def test_the_calibration_of_the_page(monkeypatch, tmp_path):
    (source,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    module = types.ModuleType("dark_rate")
    monkeypatch.setitem(sys.modules, "dark_rate", module)
    exec(compile(source, PAGE.name, "exec"), vars(module))
    monkeypatch.setattr(
        "qhal.calibration.framework.registry._published",
        lambda: published.Published("calibration", {"dark-rate": "dark_rate"}),
    )
    case = Case(
        calibration=module.CALIBRATION,
        scenario="detector-bench",
        devices={"detectors": "detectors"},
        plan=module.DarkRatePlan(bias_ua=BIAS_UA),
        draw=lambda rng: World({"detectors": {"dark_count_rate_hz": [50.0, 80.0, 120.0, 200.0]}}),
        truth=lambda hidden, record: {},
        misfits={},
    )
    with hidden_world(case, 0) as hidden:
        record = run_case(case, hidden, tmp_path)
    for channel, rate_hz in enumerate((50.0, 80.0, 120.0, 200.0), 1):
        quantity = record.quantity("dark_count_rate", channel=channel)
        assert abs(quantity.value - rate_hz) < 5 * quantity.uncertainty
    assert record.quality == "good"
    assert not faults(drawn(record))
