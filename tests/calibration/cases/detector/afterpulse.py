from qhal.calibration.detector.afterpulse import CALIBRATION, AfterpulsePlan
from tests.calibration.detector_bench import devices
from tests.calibration.hidden import Case, World
from tests.calibration.source_bench import BIAS_UA

PLAN = AfterpulsePlan(
    rate_hz=2e5,
    repetitions=2,
    period_s=0.4,
    range_ns=400.0,
    recovery_time_ns=12.0,
    recovery_uncertainty_ns=2.0,
    bias_ua=BIAS_UA,
)


def draw(rng):
    return World(
        {
            "detectors": {
                "dead_time_ns": rng.uniform(20, 60, 4).round(3).tolist(),
                "recovery_time_ns": max(1.0, rng.normal(PLAN.recovery_time_ns, PLAN.recovery_uncertainty_ns)),
                "afterpulse_probability": rng.uniform(0.005, 0.05, 4).round(5).tolist(),
                "afterpulse_lifetimes_ns": [rng.uniform(30, 60)],
            }
        }
    )


def truth(hidden, record):
    probability = hidden.ask("detectors")["afterpulse_probability"]
    (lifetime_ns,) = hidden.scenario.detectors.afterpulse_lifetimes_ns
    return {("afterpulse_probability", n): value for n, value in enumerate(probability, 1)} | {
        ("afterpulse_lifetime", n): lifetime_ns for n in range(1, 5)
    }


CASE = Case(
    calibration=CALIBRATION,
    scenario="detector-bench",
    devices=devices("meter"),
    plan=PLAN,
    draw=draw,
    truth=truth,
    misfits={
        "two kinds of traps": World(
            {
                "detectors": {
                    "afterpulse_probability": 0.05,
                    "afterpulse_lifetimes_ns": [10.0, 150.0],
                    "afterpulse_shares": [0.5, 0.5],
                }
            }
        ),
    },
)
