import math

from qhal.calibration.detector.dark_counts import CALIBRATION, DarkCountPlan
from tests.calibration.hidden import Case, World

PLAN = DarkCountPlan(first_ua=22.0, last_ua=33.0, step_ua=0.5, period_s=2.0)


def draw(rng):
    operating = rng.uniform(25.5, 28.5, 4)
    reach = rng.uniform(2.5, 3.5, 4)
    return World(
        {
            "detectors": {
                "dark_count_rate_hz": rng.uniform(60, 200, 4).round(1).tolist(),
                "operating_ua": operating.round(2).tolist(),
                "switch_ua": (operating + reach).round(2).tolist(),
                "slope_per_ua": (rng.uniform(3.5, 4.8, 4) / reach).round(3).tolist(),
                "background_hz": rng.uniform(3, 20, 4).round(2).tolist(),
            }
        }
    )


def truth(hidden, record):
    table, found = hidden.scenario.detectors, {}
    for n in range(4):
        background = table.background_hz[n]
        fraction = table.dark_count_rate_hz[n] - background
        channel = n + 1
        found["dark_count_slope", channel] = table.slope_per_ua[n]
        found["dark_count_background", channel] = background
        at = record.quantity("dark_count_rate", channel=channel).at["bias_ua"]
        found["dark_count_rate", channel] = background + fraction * math.exp(
            table.slope_per_ua[n] * (at - table.operating_ua[n])
        )
        found["bias_point", channel] = (
            table.operating_ua[n]
            + math.log((PLAN.target_rate_hz - background) / fraction) / table.slope_per_ua[n]
        )
    return found


CASE = Case(
    calibration=CALIBRATION,
    scenario="detector-bench",
    devices={"detectors": "detectors"},
    plan=PLAN,
    draw=draw,
    truth=truth,
    misfits={
        "afterpulses": World(
            {"detectors": {"afterpulse_probability": 0.4, "afterpulse_lifetimes_ns": [400.0]}}
        )
    },
)
