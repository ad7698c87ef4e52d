from qhal.calibration.transmitter.modulator import CALIBRATION, ModulatorPlan
from tests.calibration.hidden import Case, World
from tests.calibration.source_bench import BIAS_UA, DEVICES, modulator, phase_modulator, prepare

PLAN = ModulatorPlan(
    dead_time_ns=35.0,
    channel=4,
    held_v={1: 0.0, 2: 0.3},
    repetitions=2,
    row_s=0.4,
    rate_hz=6e4,
    dead_time_uncertainty_ns=3.0,
    dark_s=2.0,
    bias_ua=BIAS_UA,
)


def draw(rng):
    return World(
        {
            "transmitter": {
                "carver": modulator(rng, 4),
                "decoy": modulator(rng, 1),
                "polarization": phase_modulator(rng, 2),
            },
            "detectors": {
                "dead_time_ns": float(rng.normal(PLAN.dead_time_ns, PLAN.dead_time_uncertainty_ns))
            },
        }
    )


def truth(hidden, record):
    carver = hidden.scenario.transmitter.carver
    return {
        ("v0", 4): carver.v0_v / carver.amplifier_gain,
        ("vpi", 4): carver.vpi_v / carver.amplifier_gain,
        ("extinction_ratio", 4): carver.extinction_db,
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
        "slow response": World({"transmitter": {"pattern_effect": 0.005, "pattern_memory_ns": 40_000.0}}),
        "long recovery": World({"detectors": {"recovery_time_ns": 2000.0}}),
    },
)
