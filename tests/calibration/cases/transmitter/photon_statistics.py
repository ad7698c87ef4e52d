from qhal.calibration.transmitter.photon_statistics import CALIBRATION, PhotonStatisticsPlan
from tests.calibration.hidden import Case, World
from tests.calibration.source_bench import BIAS_UA, DEVICES, prepare

PLAN = PhotonStatisticsPlan(
    open_v=0.175,
    closed_v=-1.975,
    held_v={1: -0.1, 2: 0.3},
    repetitions=2,
    row_s=0.25,
    rate_hz=6e5,
    dark_s=1.0,
    bias_ua=BIAS_UA,
)


def draw(rng):
    return World({"transmitter": {"intensity_noise": float(rng.uniform(0, 0.3))}})


def truth(hidden, record):
    return {("g2_zero", None): 1 + hidden.scenario.transmitter.intensity_noise**2}


CASE = Case(
    calibration=CALIBRATION,
    scenario="source-bench",
    devices=DEVICES,
    plan=PLAN,
    draw=draw,
    truth=truth,
    prepare=prepare,
    misfits={"common hold-off": World({"detectors": {"common_hold_off": True}})},
)
