import numpy as np

from qhal.calibration.clock.clock_offset import CALIBRATION, ClockOffsetPlan
from tests.calibration.hidden import Case, World
from tests.calibration.source_bench import BIAS_UA, DEVICES, prepare
from tests.calibration.transmitter import in_plan, transmitter

PLAN = ClockOffsetPlan(
    **in_plan(),
    recordings=3,
    recording_s=0.8,
    block_s=0.02,
    bias_ua=BIAS_UA,
)


def draw(rng):
    sender, receiver = rng.uniform(-1e-6, 1e-6, 2)
    return World(
        {
            "world": {"clock_allan_1s": float(10 ** rng.uniform(-11.3, -10.0))},
            "transmitter": {**transmitter(), "clock_offset": float(sender)},
            "receiver": {"clock_offset": float(receiver)},
            "detectors": {
                "skew_ps": np.rint(rng.uniform(-4000, 4000, 4)).astype(int).tolist(),
                "dead_time_ns": float(rng.uniform(20, 38)),
                "jitter_fwhm_ps": float(rng.uniform(30, 300)),
            },
        }
    )


def truth(hidden, record):
    scenario = hidden.scenario
    skews = np.array(scenario.detectors.skew_ps)
    found = {("detector_skew", n): float(skew) for n, skew in enumerate(skews - skews.mean(), 1)}
    sender, receiver = scenario.transmitter.clock_offset, scenario.receiver.clock_offset
    found["clock_frequency_offset", None] = (1 + sender) / (1 + receiver) - 1
    return found


CASE = Case(
    calibration=CALIBRATION,
    scenario="source-bench",
    devices=DEVICES,
    plan=PLAN,
    draw=draw,
    truth=truth,
    prepare=prepare,
    misfits={
        "clocks that drift": World({"world": {"clock_drift_range_per_s": 1e-9}}),
        "a fibre that warms": World(
            {
                "channel": {
                    "length_km": 10.0,
                    "loss_db_per_km": 0.0,
                    "temperature_swing_k": 3.0,
                    "temperature_period_s": 10.0,
                }
            }
        ),
    },
)
