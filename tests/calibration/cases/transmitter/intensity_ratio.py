import base64
import math

from qhal.calibration.transmitter.intensity_ratio import CALIBRATION, IntensityRatioPlan
from tests.calibration.hidden import Case, World
from tests.calibration.source_bench import BIAS_UA, DEVICES, prepare

PLAN = IntensityRatioPlan(
    symbols=4096, repetitions=2, row_s=0.25, rate_hz=2.5e5, dark_s=2.0, decoy_ratio=0.25, bias_ua=BIAS_UA
)


def drifted(rng, channel, extinction_db=30.0, sigma_v=0.15):
    """A modulator that is nearly what the plan takes it for."""
    return {
        "channel": channel,
        "v0_v": float(rng.normal(0, sigma_v)),
        "vpi_v": float(4 * rng.normal(1, 0.02)),
        "extinction_db": extinction_db,
        "amplifier_gain": 2.0,
    }


def draw(rng):
    polarization = drifted(rng, 2)
    del polarization["extinction_db"]
    return World(
        {
            "transmitter": {
                "carver": drifted(rng, 4, float(rng.uniform(26, 32)), 0.06),
                "decoy": drifted(rng, 1, float(rng.uniform(18, 26))),
                "polarization": polarization,
                "intensity_noise": 0.0,
            }
        }
    )


def truth(hidden, record):
    """From the gains that a perfect analysis finds, which another model than the calibration's computes."""
    pattern = PLAN.pattern()
    stop_s = record.tables["symbols"]["at_s"][-1]
    expected = hidden.ask(
        "expect",
        start_s=stop_s - PLAN.row_s / 2,
        stop_s=stop_s - PLAN.row_s / 4,
        intensity=base64.b64encode(pattern.intensity.tobytes()).decode(),
        states=base64.b64encode(pattern.states.tobytes()).decode(),
        window_s=PLAN.window_ps * 1e-12,
    )
    dark = -math.log1p(-expected["background_yield"])
    signal, decoy, vacuum = (-math.log1p(-gain) - dark for gain in expected["gains"])
    return {
        ("intensity_ratio", ("intensity", 1)): decoy / signal,
        ("intensity_ratio", ("intensity", 2)): vacuum / signal,
    }


CASE = Case(
    calibration=CALIBRATION,
    scenario="source-bench",
    devices=DEVICES,
    plan=PLAN,
    draw=draw,
    truth=truth,
    prepare=prepare,
    misfits={
        "pattern effect": World({"transmitter": {"pattern_effect": 0.05}}),
        "afterpulses": World(
            {"detectors": {"afterpulse_probability": 0.02, "afterpulse_lifetimes_ns": [1500.0]}}
        ),
    },
)
