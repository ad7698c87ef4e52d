from qhal.calibration.detector.detection_efficiency import CALIBRATION, EfficiencyPlan
from qhal.calibration.inputs.path_loss import PathLoss
from tests.calibration.detector_bench import devices
from tests.calibration.hidden import Case, World
from tests.calibration.source_bench import BIAS_UA

LOSSES = (
    ("switch", "switch_loss_db", 1.0, 0.1),
    ("pad", "connectors_before_db", 30.0, 0.05),
    ("patch cord", "connectors_after_db", 0.3, 0.05),
    ("polarization controller", "controller_loss_db", 0.3, 0.05),
    ("receiver", "receiver_loss_db", 0.5, 0.1),
)
PLAN = EfficiencyPlan(
    dead_time_ns=45.0,
    dead_time_uncertainty_ns=10.0,
    bias_ua=BIAS_UA,
    rate_hz=1e5,
    levels=2,
    settings=3,
    repetitions=1,
    period_s=0.25,
    dark_repetitions=2,
    dark_s=2.0,
    path=tuple(PathLoss(name=name, loss_db=loss, uncertainty_db=sigma) for name, _, loss, sigma in LOSSES),
)
RECOVERY_NS = 12.0


def draw(rng):
    losses = {key: max(0.0, rng.normal(loss, sigma)) for _, key, loss, sigma in LOSSES}
    dead_time_ns = rng.normal(PLAN.dead_time_ns, PLAN.dead_time_uncertainty_ns) - RECOVERY_NS
    afterpulses = rng.normal(PLAN.afterpulse_probability, PLAN.afterpulse_uncertainty)

    def attenuator():
        # So short a ripple gives each set point an error of its own.
        return {
            "ripple_db": PLAN.attenuator_uncertainty_db * 2**0.5,
            "ripple_period_db": rng.uniform(0.5, 0.8),
            "ripple_phase_rad": rng.uniform(0, 6.28),
            "repeatability_db": PLAN.repeatability_db,
            "seed": int(rng.integers(2**31)),
        }

    return World(
        {
            "channel": {key: losses[key] for _, key, *_ in LOSSES[:3]},
            "receiver": {key: losses[key] for _, key, *_ in LOSSES[3:]}
            | {
                "basis_split": 0.5 * rng.normal(1, PLAN.fraction_uncertainty),
                "leaks": rng.uniform(0.001, 0.02, 4).round(4).tolist(),
            },
            "detectors": {
                "efficiency": rng.uniform(0.5, 0.92, 4).round(4).tolist(),
                "dark_count_rate_hz": rng.uniform(20, 400, 4).round(1).tolist(),
                "dead_time_ns": max(1.0, dead_time_ns),
                "recovery_time_ns": RECOVERY_NS,
                "afterpulse_probability": max(0.0, afterpulses),
            },
        },
        {
            "voa": attenuator(),
            "second-voa": attenuator(),
            "laser": {"power_error_db": rng.uniform(-0.5, 0.5), "frequency_error_ghz": rng.normal(0, 2.5)},
            "switch": {
                "meter_scale_error_db": rng.normal(0, PLAN.meter_uncertainty_db),
                "meter_noise_db": 0.01,
                "meter_seed": int(rng.integers(2**31)),
            },
        },
    )


def truth(hidden, record):
    table = hidden.scenario.detectors
    return {("detection_efficiency", n): value for n, value in enumerate(table.efficiency, 1)} | {
        ("dark_count_rate", n): value / (1 - table.afterpulse_probability)
        for n, value in enumerate(table.dark_count_rate_hz, 1)
    }


CASE = Case(
    calibration=CALIBRATION,
    scenario="detector-bench",
    devices=devices("tagger"),
    plan=PLAN,
    draw=draw,
    truth=truth,
    misfits={
        "leaking connector": World({"transmitter": {"bypass_db": 75.0}}),
        "bad connector": World({"channel": {"connector_flutter_db": 1.0, "connector_flutter_period_s": 7.0}}),
    },
)
