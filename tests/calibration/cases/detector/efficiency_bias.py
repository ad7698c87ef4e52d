import math

from qhal.calibration.detector.efficiency_bias import CALIBRATION, EfficiencyBiasPlan
from tests.calibration.detector_bench import devices
from tests.calibration.hidden import Case, World
from tests.calibration.source_bench import BIAS_UA

OPERATING_UA = BIAS_UA
PLAN = EfficiencyBiasPlan(
    dead_time_ns=35.0,
    dead_time_uncertainty_ns=5.0,
    operating_ua=OPERATING_UA,
    first_fraction=0.4,
    step_fraction=0.06,
    repetitions=2,
    period_s=0.2,
    rate_hz=1e5,
    departure=0.0,
)


def draw(rng):
    # The knee is at 0.6 of the world's operating currents, which the plan does not know.
    return World(
        {
            "channel": {"polarization_correlation_time_s": 1e7},
            "detectors": {
                "operating_ua": [round(each * rng.uniform(0.95, 1.03), 3) for each in OPERATING_UA],
                "switch_ua": [1.12 * each for each in OPERATING_UA],
                "slope_per_ua": [2.0] * 4,
                "dark_count_rate_hz": rng.uniform(40, 100, 4).tolist(),
                "width_ua": rng.uniform(0.8, 2.5, 4).tolist(),
                "dead_time_ns": float(rng.normal(PLAN.dead_time_ns, PLAN.dead_time_uncertainty_ns)),
                "recovery_time_ns": 0.0,
            },
        }
    )


def prepare(hidden):
    for name in ("voa", "second-voa"):
        hidden.node.attenuator(name).home()
    hidden.node.optical_switch("switch").set_pattern({1: 17})


def truth(hidden, record):
    table, found = hidden.scenario.detectors, {}
    for n, operating_ua in enumerate(OPERATING_UA):
        knee_ua, width_ua = 0.6 * table.operating_ua[n], table.width_ua[n]
        found["knee_bias", n + 1] = knee_ua
        found["knee_width", n + 1] = width_ua
        found["saturation_bias", n + 1] = knee_ua + width_ua * math.log(0.99 / 0.01)
        found["plateau_ratio", n + 1] = 1 / (1 + math.exp(-(operating_ua - knee_ua) / width_ua))
    return found


CASE = Case(
    calibration=CALIBRATION,
    scenario="detector-bench",
    devices=devices("meter", "switch", "tagger"),
    plan=PLAN,
    prepare=prepare,
    draw=draw,
    truth=truth,
    misfits={
        "bad connector": World({"channel": {"connector_flutter_db": 0.3, "connector_flutter_period_s": 7.0}}),
        "polarization that wanders": World({"channel": {"polarization_correlation_time_s": 300.0}}),
    },
)
