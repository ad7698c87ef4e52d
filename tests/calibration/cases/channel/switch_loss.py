import numpy as np

from qhal.calibration.channel.switch_loss import CALIBRATION, SwitchLossPlan
from tests.calibration.detector_bench import devices
from tests.calibration.hidden import Case, World

PLAN = SwitchLossPlan(egresses=(17, 18, 20, 31), repetitions=14, readings=3, settle_s=0.05)


def draw(rng):
    return World(
        {
            "channel": {
                "switch_loss_db": float(rng.uniform(0.8, 1.6)),
                "switch_loss_spread_db": 0.6,
                "switch_crosstalk_db": float(rng.uniform(44, 54)),
                "switch_crosstalk_spread_db": 6.0,
                "switch_repeatability_db": float(rng.uniform(0.05, 0.1)),
            },
        },
        {
            "switch": {
                "meter_scale_error_db": float(rng.normal(0, 0.3)),
                "meter_scale_spread_db": PLAN.scale_uncertainty_db,
                "meter_nonlinearity_db_per_10db": float(
                    rng.normal(0, PLAN.nonlinearity_uncertainty_db_per_10db)
                ),
                # Whatever the monitors of this bench cannot show: -47 dBm at most.
                "meter_stray_dbm": -47 + 10 * float(np.log10(rng.uniform(1e-3, 1))),
                "meter_noise_db": float(rng.uniform(0.01, 0.04)),
                "meter_seed": int(rng.integers(1 << 30)),
            }
        },
    )


def prepare(hidden):
    for name in ("voa", "second-voa"):
        hidden.node.attenuator(name).home()
    hidden.node.optical_switch("switch").set_pattern({1: 17, 2: 25})


def truth(hidden, record):
    path = hidden.ask("light-path", ingress=1)
    found = {("repeatability", None): hidden.scenario.channel.switch_repeatability_db}
    measured = {q.at["egress"] for q in record.quantities if q.name == "crosstalk"}
    for egress in PLAN.egresses:
        column = path["egresses"].index(egress)
        found["insertion_loss", ("egress", egress)] = path["switch_loss_db"][column]
        if egress in measured:
            found["crosstalk", ("egress", egress)] = path["switch_crosstalk_db"][column]
    return found


CASE = Case(
    calibration=CALIBRATION,
    scenario="detector-bench",
    devices=devices("polarization", "tagger"),
    plan=PLAN,
    prepare=prepare,
    draw=draw,
    truth=truth,
    misfits={"mirrors that creep": World({"channel": {"switch_creep_db": 0.01}})},
)
