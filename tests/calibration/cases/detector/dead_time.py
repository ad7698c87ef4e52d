from qhal.calibration.detector.dead_time import CALIBRATION, DeadTimePlan
from tests.calibration.detector_bench import devices
from tests.calibration.hidden import Case, World
from tests.calibration.source_bench import BIAS_UA

PLAN = DeadTimePlan(
    rate_hz=1.2e6,
    repetitions=3,
    period_s=0.1,
    range_ns=400.0,
    afterpulse_lifetime_uncertainty_ns=4.0,
    bias_ua=BIAS_UA,
)


def draw(rng):
    return World(
        {
            "detectors": {
                "dead_time_ns": rng.uniform(20, 60, 4).round(3).tolist(),
                "recovery_time_ns": rng.uniform(5, 20, 4).round(3).tolist(),
                "afterpulse_probability": rng.uniform(0.0005, 0.004, 4).round(5).tolist(),
                "afterpulse_lifetimes_ns": [
                    max(
                        5.0,
                        rng.normal(PLAN.afterpulse_lifetime_ns, PLAN.afterpulse_lifetime_uncertainty_ns),
                    )
                ],
                "jitter_fwhm_ps": max(5.0, rng.normal(PLAN.jitter_fwhm_ps, PLAN.jitter_uncertainty_ps)),
            }
        }
    )


def truth(hidden, record):
    told, found = hidden.ask("detectors"), {}
    for n in range(4):
        found["dead_time", n + 1] = told["dead_time_ns"][n]
        found["recovery_time", n + 1] = told["recovery_time_ns"][n]
    return found


CASE = Case(
    calibration=CALIBRATION,
    scenario="detector-bench",
    devices=devices("meter"),
    plan=PLAN,
    draw=draw,
    truth=truth,
    misfits={
        "gates": World({"detectors": {"gate_period_ps": 10e3, "gate_width_ps": 5e3}}),
        "afterpulses": World(
            {"detectors": {"afterpulse_probability": 0.05, "afterpulse_lifetimes_ns": [150.0]}}
        ),
    },
)
