import math

from qhal.calibration.detector.efficiency_spectrum import CALIBRATION, EfficiencySpectrumPlan
from tests.calibration.detector_bench import devices
from tests.calibration.hidden import Case, World
from tests.calibration.source_bench import BIAS_UA

PLAN = EfficiencySpectrumPlan(
    dead_time_ns=35.0,
    dead_time_uncertainty_ns=5.0,
    first_thz=192.0,
    last_thz=195.0,
    step_thz=0.6,
    repetitions=2,
    period_s=0.2,
    dark_s=1.0,
    rate_hz=4e5,
    bias_ua=BIAS_UA,
)


def draw(rng):
    return World(
        {
            "channel": {"polarization_correlation_time_s": 1e7},
            "receiver": {"filter_bandwidth_ghz": 20_000.0},
            "detectors": {
                "efficiency_per_thz": float(rng.uniform(-0.05, 0.05)),
                "dead_time_ns": float(rng.normal(PLAN.dead_time_ns, PLAN.dead_time_uncertainty_ns)),
                "recovery_time_ns": 0.0,
            },
        },
        {
            "laser": {
                "power_error_db_per_thz": float(
                    rng.normal(0, PLAN.flatness_uncertainty_per_thz) * 10 / math.log(10)
                ),
                "frequency_error_ghz": float(rng.normal(0, 1.5)),
            }
        },
    )


def prepare(hidden):
    for name in ("voa", "second-voa"):
        hidden.node.attenuator(name).home()
    hidden.node.optical_switch("switch").set_pattern({1: 17})


def truth(hidden, record):
    per_thz = hidden.scenario.detectors.efficiency_per_thz
    reference_thz = hidden.scenario.receiver.quantum_frequency_thz
    found = {("efficiency_slope", n): per_thz for n in (1, 2, 3, 4)}
    found["total_efficiency_slope", None] = per_thz
    for frequency_thz in PLAN.frequencies_thz():
        if frequency_thz != reference_thz:
            relative = 1 + per_thz * (frequency_thz - reference_thz)
            found["total_relative_efficiency", ("frequency_thz", frequency_thz)] = relative
    return found


CASE = Case(
    calibration=CALIBRATION,
    scenario="detector-bench",
    devices=devices("switch", "tagger", meter="laser"),
    plan=PLAN,
    prepare=prepare,
    draw=draw,
    truth=truth,
    misfits={
        "bad connector": World({"channel": {"connector_flutter_db": 0.3, "connector_flutter_period_s": 5.0}}),
        "filter in the way": World({"receiver": {"filter_bandwidth_ghz": 4000.0, "filter_order": 1}}),
    },
)
