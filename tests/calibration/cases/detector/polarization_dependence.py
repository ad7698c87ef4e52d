import numpy as np

from qhal.calibration.detector.polarization_dependence import CALIBRATION, PolarizationDependencePlan
from tests.calibration.detector_bench import devices
from tests.calibration.hidden import Case, World
from tests.calibration.source_bench import BIAS_UA

PLAN = PolarizationDependencePlan(
    dead_time_ns=45.0,
    dead_time_uncertainty_ns=10.0,
    settings=12,
    period_s=0.8,
    rate_hz=1e5,
    dark_s=3.0,
    bias_ua=BIAS_UA,
    play_deg=0.3,
    light_uncertainty=1e-4,
)


def draw(rng):
    """A receiver that hardly polarizes, on a patch cord that lies still."""
    return World(
        {
            "channel": {"polarization_correlation_time_s": 1e9},
            "receiver": {
                "leaks": rng.uniform(0.38, 0.48, 4).tolist(),
                "analyser_tilt_deg": rng.uniform(-20, 20, 2).tolist(),
            },
        },
        {"polarization": {"play_deg": PLAN.play_deg, "play_seed": int(rng.integers(2**31))}},
    )


def prepare(hidden):
    for name in ("voa", "second-voa"):
        hidden.node.attenuator(name).home()
    hidden.node.optical_switch("switch").set_pattern({1: 17})


def truth(hidden, record):
    leaks, found = hidden.scenario.receiver.leaks, {}
    for n in range(4):
        most, least = sorted((1 - leaks[n], leaks[n ^ 1]), reverse=True)
        found["polarization_dependence", n + 1] = 10 * np.log10(most / least)
    return found


CASE = Case(
    calibration=CALIBRATION,
    scenario="detector-bench",
    devices=devices("meter", "switch", "tagger"),
    plan=PLAN,
    draw=draw,
    truth=truth,
    prepare=prepare,
    misfits={
        "bad connector": World({"channel": {"connector_flutter_db": 0.2, "connector_flutter_period_s": 7.0}}),
        "fibre that moves": World(
            {"channel": {"polarization_correlation_time_s": 300.0}, "receiver": {"leaks": (0.2,) * 4}}
        ),
    },
)
