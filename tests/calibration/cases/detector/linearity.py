import math

from scipy.integrate import quad
from scipy.optimize import brentq

from qhal.calibration.detector.linearity import CALIBRATION, LinearityPlan
from tests.calibration.detector_bench import devices
from tests.calibration.hidden import Case, World
from tests.calibration.source_bench import BIAS_UA

PLAN = LinearityPlan(
    brightest_hz=8e6,
    span_db=21.0,
    step_db=3.0,
    most_counts=3e4,
    least_s=0.01,
    most_s=0.1,
    dark_s=2.0,
    recovery_time_ns=12.0,
    recovery_uncertainty_ns=4.0,
    bias_ua=BIAS_UA,
)


def draw(rng):
    recovery_ns = max(1.0, rng.normal(PLAN.recovery_time_ns, PLAN.recovery_uncertainty_ns))
    return World(
        {
            "detectors": {
                "dead_time_ns": rng.uniform(20, 60, 4).round(2).tolist(),
                "recovery_time_ns": recovery_ns,
                "dark_count_rate_hz": rng.uniform(20, 300, 4).round(1).tolist(),
            }
        },
        {
            "voa": {
                # So short a ripple gives each set point an error of its own.
                "ripple_db": PLAN.attenuator_uncertainty_db * 2**0.5,
                "ripple_period_db": rng.uniform(0.5, 0.8),
                "ripple_phase_rad": rng.uniform(0, 6.28),
                "repeatability_db": PLAN.repeatability_db,
                "seed": int(rng.integers(2**31)),
            }
        },
    )


def truth(hidden, record):
    told, found = hidden.ask("detectors"), {}
    for n in range(4):
        dead_ns, recovery_ns = told["dead_time_ns"][n], told["recovery_time_ns"][n]
        found["effective_dead_time", n + 1] = dead_ns + recovery_ns
        found["count_rate", n + 1] = 1e9 * compressed_per_ns(dead_ns, recovery_ns)
    return found


def compressed_per_ns(dead_ns, recovery_ns):
    def counted(rate):
        def survival(t):
            return math.exp(-rate * (t - recovery_ns * (1 - math.exp(-t / recovery_ns))))

        return 1 / (dead_ns + quad(survival, 0, 60 / rate, limit=200)[0])

    return brentq(lambda rate: counted(rate) / rate - 10**-0.1, 1e-4, 0.1) * 10**-0.1


CASE = Case(
    calibration=CALIBRATION,
    scenario="detector-bench",
    devices=devices("meter", "tagger"),
    plan=PLAN,
    draw=draw,
    truth=truth,
    misfits={
        "leaking connector": World({"transmitter": {"bypass_db": 70.0}}),
    },
)
