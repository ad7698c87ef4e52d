import math

from qhal.calibration.detector.threshold_scan import CALIBRATION, ThresholdPlan
from tests.calibration.detector_bench import devices
from tests.calibration.hidden import Case, World
from tests.calibration.source_bench import BIAS_UA

PLAN = ThresholdPlan(
    highest_v=0.66,
    lowest_v=0.03,
    step_v=0.008,
    repetitions=1,
    rate_hz=4e4,
    period_s=0.05,
    largest_rate_hz=1e6,
    noise_rate_hz=10.0,
    bias_ua=BIAS_UA,
)


def draw(rng):
    return World(
        {
            "detectors": {
                "pulse_v": rng.uniform(0.3, 0.45, 4).round(4).tolist(),
                "pulse_sigma_v": rng.uniform(0.02, 0.05),
                "noise_v": rng.uniform(0.014, 0.025),
                "noise_bandwidth_hz": rng.uniform(3e8, 3e9),
            }
        }
    )


def truth(hidden, record):
    table, found = hidden.scenario.detectors, {}
    turns = table.noise_bandwidth_hz / math.sqrt(3) / PLAN.noise_rate_hz
    for n in range(4):
        found["pulse_height", n + 1] = table.pulse_v[n]
        found["pulse_height_spread", n + 1] = table.pulse_sigma_v
        found["noise_threshold", n + 1] = table.noise_v * math.sqrt(2 * math.log(turns))
    return found


CASE = Case(
    calibration=CALIBRATION,
    scenario="detector-bench",
    devices=devices("meter"),
    plan=PLAN,
    draw=draw,
    truth=truth,
    misfits={
        "bad connector": World({"channel": {"connector_flutter_db": 1.0, "connector_flutter_period_s": 5.0}}),
    },
)
