import numpy as np

from qhal.calibration.detector.timing_profile import CALIBRATION, TimingProfilePlan
from tests.calibration import pulse_shape
from tests.calibration.hidden import Case, World
from tests.calibration.source_bench import BIAS_UA, DEVICES, prepare
from tests.calibration.transmitter import in_plan, transmitter

PLAN = TimingProfilePlan(
    **in_plan(),
    recordings=2,
    recording_s=1.0,
    span_ps=7000.0,
    light_rms_ps=350.0,
    light_rms_uncertainty_ps=7.0,
    bias_ua=BIAS_UA,
)
TAGGER_PS = 100


def draw(rng):
    width_ps = rng.normal(PLAN.light_rms_ps, PLAN.light_rms_uncertainty_ps)
    bandwidth_hz = pulse_shape.bandwidth_for(PLAN, float(width_ps))
    return World(
        {
            "transmitter": {**transmitter(), "bandwidth_hz": bandwidth_hz},
            "detectors": {
                "skew_ps": np.rint(rng.uniform(-4000, 4000, 4)).astype(int).tolist(),
                "jitter_fwhm_ps": rng.uniform(500, 900, 4).tolist(),
            },
        }
    )


def truth(hidden, record):
    light = pulse_shape.light(PLAN, hidden.scenario.transmitter.bandwidth_hz)
    found = {}
    for channel, jitter_ps in enumerate(hidden.ask("detectors")["jitter_fwhm_ps"], 1):
        clicks = pulse_shape.detected(light, jitter_ps, TAGGER_PS)
        found["timing_fwhm", channel] = pulse_shape.full_width_ps(clicks, 0.5)
        found["timing_fw100m", channel] = pulse_shape.full_width_ps(clicks, 0.01)
        found["timing_rms", channel] = pulse_shape.rms_ps(clicks)
        found["detector_jitter_fwhm", channel] = jitter_ps
        found["detector_jitter_variance", channel] = (jitter_ps / pulse_shape.FWHM_PER_SIGMA) ** 2
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
        "afterpulses": World(
            {"detectors": {"afterpulse_probability": 0.1, "afterpulse_lifetimes_ns": [20.0]}}
        )
    },
)
