from qhal.calibration.channel.loss_budget import CALIBRATION, LossBudgetPlan
from qhal.calibration.inputs.path_loss import PathLoss
from tests.calibration.detector_bench import devices
from tests.calibration.hidden import Case, World

PLAN = LossBudgetPlan(
    path=(PathLoss(name="modulators", loss_db=2.0, uncertainty_db=0.1),),
    repetitions=3,
    readings=2,
    settle_s=0.05,
)
LOWEST_DB = 1.2


def draw(rng):
    def attenuator():
        return {
            "ripple_db": PLAN.attenuator_uncertainty_db * 2**0.5,
            "ripple_period_db": rng.uniform(0.5, 0.8),
            "ripple_phase_rad": rng.uniform(0, 6.28),
            "repeatability_db": PLAN.repeatability_db,
            "seed": int(rng.integers(2**31)),
        }

    part = PLAN.path[0]
    return World(
        {"transmitter": {"modulator_loss_db": rng.normal(part.loss_db, part.uncertainty_db)}},
        {
            "voa": attenuator(),
            "second-voa": attenuator(),
            "laser": {"power_error_db": rng.normal(0, PLAN.start_uncertainty_db)},
            "switch": {
                "meter_scale_error_db": rng.normal(0, PLAN.end_uncertainty_db),
                "meter_noise_db": 0.01,
                "meter_seed": int(rng.integers(2**31)),
            },
        },
    )


def truth(hidden, record):
    options = [hidden.background.unit(name).instrument.options for name in ("voa", "second-voa")]
    attenuation_db = sum(unit.true_db(LOWEST_DB) for unit in options)
    loss_db = hidden.scenario.transmitter.modulator_loss_db + attenuation_db
    return {("loss", None): loss_db, ("expected_loss", None): loss_db, ("excess_loss", None): 0.0}


CASE = Case(
    calibration=CALIBRATION,
    scenario="detector-bench",
    devices=devices("polarization", "tagger"),
    plan=PLAN,
    draw=draw,
    truth=truth,
    misfits={
        "loose motor": World(options={"voa": {"repeatability_db": 0.12}}),
        "leaking light": World({"transmitter": {"bypass_db": 15.0}}),
    },
)
