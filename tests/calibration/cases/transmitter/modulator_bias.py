import math

from qhal.calibration.transmitter.modulator_bias import CALIBRATION, ModulatorBiasPlan
from tests.calibration.hidden import Case, World
from tests.calibration.source_bench import BIAS_UA, DEVICES, prepare

PLAN = ModulatorBiasPlan(
    dead_time_ns=35.0, dead_time_uncertainty_ns=5.0, start_v=-1.2, held_v={1: 0.0, 2: 0.3}, vpi_uncertainty_v=0.02,
    steps=6, row_s=0.15, interval_s=2.0, dead_band_v=0.002,
    rate_hz=4e4, dark_s=2.0, bias_ua=BIAS_UA,
)  # fmt: skip


def draw(rng):
    vpi_v = 2 * rng.normal(PLAN.vpi_v, PLAN.vpi_uncertainty_v)
    return World(
        {
            "transmitter": {
                "carver": {
                    "channel": 4,
                    "v0_v": float(2 * rng.normal(PLAN.start_v, 0.06) + vpi_v),
                    "vpi_v": float(vpi_v),
                    "extinction_db": float(rng.uniform(22, 32)),
                    "amplifier_gain": 2.0,
                    "v0_drift_v_per_hour": float(rng.uniform(-5, 5)),
                }
            },
            "detectors": {
                "dead_time_ns": float(rng.normal(PLAN.dead_time_ns, PLAN.dead_time_uncertainty_ns))
            },
        }
    )


def truth(hidden, record):
    carver, table = hidden.scenario.transmitter.carver, record.tables["hold"]
    vpi_v = carver.vpi_v / carver.amplifier_gain
    drift = carver.v0_drift_v_per_hour / carver.amplifier_gain
    nulls = (carver.v0_v - carver.vpi_v) / carver.amplifier_gain + drift * table["at_s"] / 3600
    floor = 10 ** (-carver.extinction_db / 10)
    off = [
        (math.pi * (centre - null) / (2 * vpi_v)) ** 2
        for centre, null in zip(table["centre_v"], nulls, strict=True)
    ][1:]
    return {
        ("null_voltage", 4): nulls[-1],
        ("bias_drift", 4): drift,
        ("extinction_ratio", 4): carver.extinction_db,
        ("held_extinction_ratio", 4): -10 * math.log10(floor + sum(off) / len(off)),
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
        "long recovery": World({"detectors": {"recovery_time_ns": 20_000.0}}),
    },
)
