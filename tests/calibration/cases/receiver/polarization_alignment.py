import base64

import numpy as np
from scipy.spatial.transform import Rotation

from qhal.calibration.receiver.polarization_alignment import CALIBRATION, PolarizationAlignmentPlan
from tests.calibration.hidden import Case, World
from tests.calibration.source_bench import BIAS_UA, DEVICES, prepare
from tests.calibration.uneven_receiver import efficiencies, known_modulators

PLAN = PolarizationAlignmentPlan(
    vpi_uncertainty=0.01,
    symbols=4096,
    row_s=0.2,
    rate_hz=1e6,
    dark_s=1.0,
    bias_ua=BIAS_UA,
    play_deg=0.2,
    repetitions=3,
    correlation_time_s=1e6,
)


def draw(rng):
    return World(
        {
            "channel": {"polarization_correlation_time_s": PLAN.correlation_time_s},
            "receiver": {"optical_error": float(rng.uniform(0.005, 0.015))},
            "detectors": {"efficiency": efficiencies(rng)},
            "transmitter": known_modulators(rng, PLAN.vpi_uncertainty) | {"intensity_noise": 0.0},
        },
        {"polarization": {"play_deg": PLAN.play_deg, "play_seed": int(rng.integers(2**31))}},
    )


def truth(hidden, record):
    told, pattern = hidden.ask("receiver"), PLAN.pattern()
    # Each row by itself: between two of them it may have been interrupted, and something else played.
    rates = [
        hidden.ask(
            "expect",
            start_s=at_s - PLAN.row_s,
            stop_s=at_s,
            intensity=base64.b64encode(pattern.intensity.tobytes()).decode(),
            states=base64.b64encode(pattern.states.tobytes()).decode(),
            window_s=PLAN.window_ps * 1e-12,
        )["error_rates"][0]
        for at_s in record.tables["aligned"]["at_s"]
    ]
    found = {("error_rate", None): np.mean(rates), ("twist", None): 0.0}
    for n, retardance in enumerate(told["retardances_rad"]):
        found["retardance", n + 1] = retardance
    for basis in (0, 1):
        found["optical_error", ("basis", basis)] = hidden.scenario.receiver.optical_error
    # The sender's phases count from its V0.
    modulator = hidden.scenario.transmitter.polarization
    zero = Rotation.from_rotvec([0, 0, -np.pi * modulator.v0_v / modulator.vpi_v])
    vector = (Rotation.from_matrix(told["fibre"]) * zero).as_rotvec()
    found_vector = np.array([record.quantity("fibre_rotation", axis=axis).value for axis in (1, 2, 3)])
    if vector @ found_vector < 0:  # nearly half a turn is one about the opposite axis, too
        vector *= 1 - 2 * np.pi / np.linalg.norm(vector)
    for n, component in enumerate(vector):
        found["fibre_rotation", ("axis", n + 1)] = component
    return found


CASE = Case(
    calibration=CALIBRATION,
    scenario="source-bench",
    devices=DEVICES | {"polarization": "polarization"},
    plan=PLAN,
    draw=draw,
    truth=truth,
    prepare=prepare,
    misfits={
        "fibre that moves": World({"channel": {"polarization_correlation_time_s": 100.0}}),
        "skewed receiver": World({"receiver": {"analyser_tilt_deg": (10.0, -10.0), "optical_error": 0.002}}),
    },
)
