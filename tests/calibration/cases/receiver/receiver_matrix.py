import numpy as np

from qhal.calibration.receiver.receiver_matrix import CALIBRATION, ReceiverMatrixPlan
from tests.calibration.hidden import Case, World
from tests.calibration.source_bench import BIAS_UA, DEVICES, prepare
from tests.calibration.uneven_receiver import efficiencies, known_modulators, receiver, seen

PLAN = ReceiverMatrixPlan(
    vpi_uncertainty=0.01,
    symbols=4096,
    settings=10,
    row_s=0.25,
    rate_hz=1e6,
    dark_s=2.0,
    bias_ua=BIAS_UA,
    play_deg=0.2,
)


def draw(rng):
    return World(
        {
            # A patch cord that lies still.
            "channel": {"polarization_correlation_time_s": 1e9},
            "receiver": receiver(rng),
            "detectors": {"efficiency": efficiencies(rng)},
            "transmitter": known_modulators(rng, PLAN.vpi_uncertainty),
        },
        {"polarization": {"play_deg": PLAN.play_deg, "play_seed": int(rng.integers(2**31))}},
    )


def truth(hidden, record):
    table, found = hidden.scenario.receiver, {}
    efficiency = np.array(hidden.scenario.detectors.efficiency)
    tilts, leaks = np.array(table.analyser_tilt_deg), np.array(table.leaks)
    matrix = seen(table, efficiency, tilts.mean() + np.array([0, 180, 90, 270]))
    for state in range(4):
        for detector in range(4):
            found["receiver_matrix", (("state", state), ("detector", detector))] = matrix[state, detector]
    first, second = table.basis_split * efficiency[:2].sum(), (1 - table.basis_split) * efficiency[2:].sum()
    found["basis_split", None] = first / (first + second)
    for basis in (0, 1):
        own = leaks[2 * basis : 2 * basis + 2]
        found["optical_error", ("basis", basis)] = own.mean()
        found["analyser_offset", ("basis", basis)] = own[1] - own[0]
        found["analyser_azimuth", ("basis", basis)] = 90 * basis + tilts[basis]
        found["analyser_elevation", ("basis", basis)] = 0.0
    for n in range(4):
        found["efficiency_balance", n + 1] = efficiency[n] / efficiency[n // 2 * 2 :][:2].mean()
        found["extinction_ratio", n + 1] = 10 * np.log10((1 - leaks[n]) / leaks[n ^ 1])
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
        "fibre that moves": World({"channel": {"polarization_correlation_time_s": 2000.0}}),
        "afterpulses": World(
            {"detectors": {"afterpulse_probability": 0.1, "afterpulse_lifetimes_ns": [400.0]}}
        ),
        "paddles that stop anywhere": World(options={"polarization": {"play_deg": 1.5}}),
    },
)
