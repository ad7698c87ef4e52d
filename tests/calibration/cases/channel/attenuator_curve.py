import math

from qhal.calibration.channel.attenuator_curve import CALIBRATION, STEPS, AttenuatorCurvePlan
from tests.calibration.detector_bench import devices
from tests.calibration.hidden import Case, World

PLAN = AttenuatorCurvePlan(
    step_db=8.0,
    repetitions=2,
    readings=3,
    settle_s=0.05,
    reference_uncertainty_db=0.15,
    meter_nonlinearity_db_per_10db=0.02,
)
NOISE_DB = 0.01


INSERTION_LOSS_DB = 1.2


def draw(rng):
    slope, ripple_db = rng.uniform(-0.02, 0.02), rng.uniform(0.05, 0.3)
    period_db, phase_rad = rng.uniform(12.0, 40.0), rng.uniform(0, 2 * math.pi)
    begins_off_db = slope * INSERTION_LOSS_DB
    begins_off_db += ripple_db * math.sin(2 * math.pi * INSERTION_LOSS_DB / period_db + phase_rad)
    return World(
        options={
            "voa": {
                "offset_error_db": rng.normal(0, PLAN.reference_uncertainty_db) - begins_off_db,
                "slope_error": slope,
                "ripple_db": ripple_db,
                "ripple_period_db": period_db,
                "ripple_phase_rad": phase_rad,
                "repeatability_db": PLAN.repeatability_db,
                "seed": int(rng.integers(2**31)),
            },
            "second-voa": {
                "offset_error_db": rng.uniform(-0.3, 0.3),
                "slope_error": rng.uniform(-0.02, 0.02),
                "repeatability_db": PLAN.repeatability_db,
                "seed": int(rng.integers(2**31)),
            },
            "switch": {
                "meter_scale_error_db": rng.normal(0, 0.2),
                "meter_nonlinearity_db_per_10db": rng.normal(0, PLAN.meter_nonlinearity_db_per_10db),
                "meter_noise_db": NOISE_DB,
                "meter_seed": int(rng.integers(2**31)),
            },
        }
    )


def prepare(hidden):
    hidden.node.source("laser").set_power_dbm(10.0)


def truth(hidden, record):
    unit = hidden.background.unit("voa").instrument.options
    places = sorted(q.at["set_db"] for q in record.quantities if q.name == "attenuation")
    some = (places[0], places[len(places) // 2], places[-1])
    found = {("attenuation", ("set_db", place)): unit.true_db(place) for place in some}
    readings = record.tables[STEPS]["power_dbm"].shape[1]
    return found | {
        ("repeatability", None): math.sqrt(
            PLAN.repeatability_db**2 + (NOISE_DB**2 + PLAN.meter_resolution_db**2 / 12) / readings
        )
    }


CASE = Case(
    calibration=CALIBRATION,
    scenario="detector-bench",
    devices=devices("second_attenuator", "polarization", "tagger", auxiliary="second-voa"),
    plan=PLAN,
    prepare=prepare,
    draw=draw,
    truth=truth,
    misfits={
        "leaking light": World({"transmitter": {"bypass_db": 65.0}}),
        "loose motor": World(options={"voa": {"repeatability_db": 0.06}}),
    },
)
