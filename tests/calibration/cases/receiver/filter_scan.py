import math

from qhal.calibration.receiver.filter_scan import CALIBRATION, FilterScanPlan
from tests.calibration.hidden import Case, World
from tests.calibration.source_bench import BIAS_UA

QUANTUM_THZ = 194.4
PLAN = FilterScanPlan(
    dead_time_ns=35.0,
    dead_time_uncertainty_ns=5.0,
    span_ghz=28.0,
    step_ghz=4.0,
    repetitions=2,
    period_s=0.2,
    dark_s=1.0,
    rate_hz=2e5,
    ripple_db=0.0,
    bias_ua=BIAS_UA,
)


def draw(rng):
    return World(
        {
            "receiver": {
                "filter_order": int(rng.integers(1, 4)),
                "filter_bandwidth_ghz": float(rng.uniform(16, 24)),
                "filter_centre_offset_ghz": float(rng.uniform(-6, 6)),
                "out_of_band_db": float(rng.uniform(27, 60)),
            },
            "detectors": {
                "dark_count_rate_hz": rng.uniform(40, 200, 4).tolist(),
                "dead_time_ns": float(rng.normal(PLAN.dead_time_ns, PLAN.dead_time_uncertainty_ns)),
            },
        },
        {"quantum-laser": {"frequency_error_ghz": float(rng.normal(0, PLAN.frequency_uncertainty_ghz))}},
    )


def prepare(hidden):
    hidden.node.optical_switch("switch").set_pattern({1: 17})
    hidden.node.attenuator("voa").home()
    hidden.node.source("quantum-laser").set_frequency_thz(QUANTUM_THZ)


def truth(hidden, record):
    receiver = hidden.scenario.receiver
    error_ghz = hidden.options["quantum-laser"]["frequency_error_ghz"]
    passed = hidden.ask("light-path")["filter_transmission"]
    return {
        ("filter_centre", None): QUANTUM_THZ + receiver.filter_centre_offset_ghz * 1e-3,
        ("filter_width", None): receiver.filter_bandwidth_ghz,
        ("filter_order", None): receiver.filter_order,
        ("filter_floor", None): 10 ** (-receiver.out_of_band_db / 10),
        ("laser_detuning", None): error_ghz - receiver.filter_centre_offset_ghz,
        ("detuning_loss", None): -10 * math.log10(passed),
    }


CASE = Case(
    calibration=CALIBRATION,
    scenario="wuhan-metro-link",
    devices={"source": "quantum-laser", "attenuator": "voa", "detectors": "detectors"},
    plan=PLAN,
    draw=draw,
    truth=truth,
    prepare=prepare,
    misfits={
        "bad connector": World(
            {"channel": {"connector_flutter_db": 0.5, "connector_flutter_period_s": 10.0}}
        ),
        "polarization that wanders": World(
            {
                "channel": {"polarization_correlation_time_s": 20.0},
                "detectors": {"efficiency": [0.9, 0.4, 0.9, 0.4]},
            }
        ),
    },
)
