import math

from qhal.calibration.clock.clock_stability import CALIBRATION, ClockStabilityPlan
from tests.calibration.hidden import Case, World
from tests.calibration.source_bench import BIAS_UA, DEVICES, prepare
from tests.calibration.transmitter import in_plan, transmitter

PLAN = ClockStabilityPlan(**in_plan(), recordings=2, recording_s=2.5, rate_hz=6e4, bias_ua=BIAS_UA)


def draw(rng):
    return World(
        {
            "world": {"clock_allan_1s": float(10 ** rng.uniform(-10.3, -9.6))},
            "transmitter": transmitter(),
        }
    )


def truth(hidden, record):
    # Two clocks alike, independent of each other.
    return {("clock_allan_deviation", None): math.sqrt(2) * hidden.scenario.world.clock_allan_1s}


CASE = Case(
    calibration=CALIBRATION,
    scenario="source-bench",
    devices=DEVICES,
    plan=PLAN,
    draw=draw,
    truth=truth,
    prepare=prepare,
    misfits={
        "a fibre that warms": World(
            {
                "world": {"clock_allan_1s": 5e-11},
                "channel": {
                    "length_km": 10.0,
                    "loss_db_per_km": 0.0,
                    "temperature_swing_k": 3.0,
                    "temperature_period_s": 10.0,
                },
            }
        )
    },
)
