import numpy as np
from scipy.constants import h

from qhal.calibration.inputs.path_loss import PathLoss
from qhal.calibration.transmitter.mean_photon_number import CALIBRATION, MeanPhotonNumberPlan
from tests.calibration.hidden import Case, World

SLOT_SAMPLES, SLOTS = 24, 40
PLAN = MeanPhotonNumberPlan(
    path=(
        PathLoss(name="switch", loss_db=1.0, uncertainty_db=0.1),
        PathLoss(name="pad", loss_db=45.0, uncertainty_db=0.1),
    ),
    set_db=(52.0,),
    pulse_rate_hz=1.2e9 / SLOT_SAMPLES,
    repetitions=6,
    readings=4,
    pause_s=0.5,
    ratios=(1.0, 0.25),
    ratio_uncertainties=(0.0, 0.002),
    probabilities=(0.75, 0.25),
)


def draw(rng):
    switch, pad = (max(0.0, rng.normal(part.loss_db, part.uncertainty_db)) for part in PLAN.path)
    return World(
        {"channel": {"switch_loss_db": switch, "connectors_before_db": pad}},
        {
            "voa": {
                "ripple_db": PLAN.attenuator_uncertainty_db * 2**0.5,
                "ripple_period_db": rng.uniform(0.5, 0.8),
                "ripple_phase_rad": rng.uniform(0, 6.28),
                "repeatability_db": PLAN.repeatability_db,
                "seed": int(rng.integers(2**31)),
            },
            "laser": {"power_error_db": rng.uniform(-0.5, 0.5), "frequency_error_ghz": rng.normal(0, 2.5)},
            "switch": {
                "meter_scale_error_db": rng.normal(0, PLAN.meter_uncertainty_db),
                "meter_noise_db": 0.01,
                "meter_seed": int(rng.integers(2**31)),
            },
        },
    )


def prepare(hidden):
    """Let pulses of 4 ns play; every fourth is as bright as the carver at another voltage lets it be."""
    samples = np.arange(SLOT_SAMPLES * SLOTS)
    inside = samples % SLOT_SAMPLES < 5
    weaker = samples // SLOT_SAMPLES % 4 == 3
    generator = hidden.node.pattern_generator("awg")
    generator.play({4: np.where(inside, np.where(weaker, 1.6, 0.175), 2.2)}, 1.2e9)
    generator.start()
    for channel in range(1, 5):
        generator.set_output(channel, channel == 4)
    hidden.node.source("laser").set_frequency_thz(194.4)


def truth(hidden, record):
    """The pattern plays on: its true power, taken back and forth between true attenuations."""
    laser, unit = hidden.node.source("laser"), hidden.background.unit("voa").instrument
    laser.enable()
    told = hidden.ask("light-path")
    power_dbm = told["power_at_switch_dbm"] + told["attenuation_db"] - unit.options.true_db(PLAN.set_db[0])
    channel = hidden.scenario.channel
    output_dbm = power_dbm - channel.switch_loss_db - channel.connectors_before_db
    true_hz = (194.4 + hidden.options["laser"]["frequency_error_ghz"] * 1e-3) * 1e12
    mean = 1e-3 * 10 ** (output_dbm / 10) / (h * true_hz) / PLAN.pulse_rate_hz
    return {("mean_photon_number", None): mean}


CASE = Case(
    calibration=CALIBRATION,
    scenario="source-bench",
    devices={
        "source": "laser",
        "attenuator": "voa",
        "meter": "switch",
        "detectors": "detectors",
        "switch": "switch",
    },
    plan=PLAN,
    prepare=prepare,
    draw=draw,
    truth=truth,
    misfits={"loose motor": World(options={"voa": {"repeatability_db": 0.12}})},
)
