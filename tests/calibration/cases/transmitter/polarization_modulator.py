import numpy as np

from qhal.calibration.transmitter.polarization_modulator import CALIBRATION, PolarizationModulatorPlan
from tests.calibration.hidden import Case, World
from tests.calibration.source_bench import BIAS_UA, DEVICES, phase_modulator, prepare
from tests.calibration.uneven_receiver import efficiencies, fractions, receiver

PLAN = PolarizationModulatorPlan(
    dead_time_ns=35.0,
    held_v={1: -0.1, 4: 0.2},
    repetitions=2,
    row_s=0.4,
    rate_hz=6e4,
    dead_time_uncertainty_ns=3.0,
    bias_ua=BIAS_UA,
)


def draw(rng):
    """A modulator, fibre (of the world's seed) and receiver at random; the fibre lies still, for its contrasts."""
    return World(
        {
            "transmitter": {"polarization": phase_modulator(rng, 2)},
            "channel": {"polarization_correlation_time_s": 1e9},
            "receiver": receiver(rng),
            "detectors": {
                "dead_time_ns": float(rng.normal(PLAN.dead_time_ns, PLAN.dead_time_uncertainty_ns)),
                "efficiency": efficiencies(rng),
            },
        }
    )


def truth(hidden, record):
    modulator = hidden.scenario.transmitter.polarization
    found = {("vpi", 2): modulator.vpi_v / modulator.amplifier_gain}
    # The sender's states go round s3.
    angles = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    circle = np.stack((np.cos(angles), np.sin(angles), 0 * angles))
    seen = np.array(
        [
            fractions(hidden.scenario.receiver, state)
            for state in (np.array(hidden.ask("receiver")["rotation"]) @ circle).T
        ]
    )
    for n, (least, most) in enumerate(zip(seen.min(axis=0), seen.max(axis=0), strict=True), 1):
        found["modulation_contrast", ("input", n)] = (most - least) / (most + least)
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
        "long recovery": World({"detectors": {"recovery_time_ns": 40_000.0}}),
        "late afterpulses": World(
            {"detectors": {"afterpulse_probability": 0.3, "afterpulse_lifetimes_ns": (20_000.0,)}}
        ),
    },
)
