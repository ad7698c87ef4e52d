import numpy as np

from qhal.calibration.channel.classical_noise import CALIBRATION, ClassicalNoisePlan, RamanPath
from qhal.calibration.inputs.path_loss import PathLoss
from qhal_simulators.physics.channel.raman import cross_section_per_km_nm
from tests.calibration.hidden import Case, World
from tests.calibration.source_bench import BIAS_UA

CLASSICAL_THZ, QUANTUM_THZ = 193.4, 194.4
PAD = PathLoss(name="pad", loss_db=26.0, uncertainty_db=0.1)
PLAN = ClassicalNoisePlan(
    dead_time_ns=35.0,
    dead_time_uncertainty_ns=5.0,
    path=(PAD,),
    powers_dbm=(6.0, 10.0, 13.0),
    repetitions=4,
    period_s=0.25,
    frequency_thz=CLASSICAL_THZ,
    bias_ua=BIAS_UA,
    raman=RamanPath(
        length_km=20.0,
        loss_db_per_km=0.2,
        launch_db=1.3,
        after_db=4.9,
        efficiency=0.79,
        frequency_thz=QUANTUM_THZ,
        bandwidth_ghz=20.0,
        leak_fraction=0.01,
    ),
)


def draw(rng):
    # Sum of the spread of the efficiencies 0: the plan knows the mean.
    spread = np.array([0.03, -0.02, 0.01, -0.02])
    mean = rng.normal(PLAN.raman.efficiency, PLAN.raman.efficiency_uncertainty)
    return World(
        {
            "classical": {
                "pad_db": float(rng.normal(PAD.loss_db, PAD.uncertainty_db)),
                "raman_scale": float(rng.uniform(0.3, 1.0)),
            },
            "channel": {"ambient_hz": float(rng.uniform(0, 400))},
            "receiver": {
                "receiver_loss_db": float(rng.normal(1.6, PLAN.raman.loss_uncertainty_db)),
                "filter_bandwidth_ghz": float(rng.normal(20.0, PLAN.raman.bandwidth_uncertainty_ghz)),
            },
            "detectors": {
                "efficiency": np.clip(mean + spread, 0, 1).tolist(),
                "dark_count_rate_hz": rng.uniform(40, 200, 4).tolist(),
                "dead_time_ns": float(rng.normal(PLAN.dead_time_ns, PLAN.dead_time_uncertainty_ns)),
            },
        },
        {
            "classical-laser": {
                "power_error_db": float(np.clip(rng.normal(0, PLAN.power_uncertainty_db), -1, 1))
            }
        },
    )


def prepare(hidden):
    """Leave the classical light and the bias on, so that they are on again when the truth is asked."""
    laser = hidden.node.source("classical-laser")
    laser.disable()
    laser.set_frequency_thz(CLASSICAL_THZ)
    laser.set_power_dbm(10.0)
    laser.enable()
    detectors = hidden.node.detector("detectors")
    detectors.set_bias_ua(BIAS_UA)
    detectors.enable()
    hidden.node.attenuator("voa").home()


def truth(hidden, record):
    hidden.node.detector("detectors").device.clock.sleep_s(0.01)  # until the light has arrived
    told, scenario = hidden.ask("receiver"), hidden.scenario
    off_db = hidden.options["classical-laser"]["power_error_db"] - scenario.classical.pad_db
    at_mux_mw = 10 ** ((10.0 + off_db) / 10)
    fractions = np.mean(told["matrix"], axis=0) * told["efficiency"]
    ambient_hz = scenario.channel.ambient_hz
    noise = (told["stray_hz"] - ambient_hz) * fractions / at_mux_mw
    found = {
        ("total_classical_noise", None): float(noise.sum()),
        ("raman_coefficient", None): cross_section_per_km_nm(
            CLASSICAL_THZ, QUANTUM_THZ, scenario.channel.temperature_k, scenario.classical.raman_scale
        ),
    }
    for n in range(4):
        found["classical_noise", n + 1] = float(noise[n])
        found["background_count_rate", n + 1] = float(
            told["dark_count_rate_hz"][n] + ambient_hz * fractions[n]
        )
    return found


CASE = Case(
    calibration=CALIBRATION,
    scenario="wuhan-metro-link",
    devices={
        "classical": "classical-laser",
        "detectors": "detectors",
        "source": "quantum-laser",
        "attenuator": "voa",
    },
    plan=PLAN,
    draw=draw,
    truth=truth,
    prepare=prepare,
    misfits={
        "four-wave mixing": World(
            {
                # 2 x 193.4 - 192.4 THz is the quantum frequency; little dispersion, so that phases match.
                "classical": {"others": [{"frequency_thz": 192.4, "power_dbm": -23.0}]},
                "channel": {"dispersion_ps_per_nm_km": 0.005},
            }
        ),
        "slow detectors": World({"classical": {"raman_scale": 3.0}, "detectors": {"dead_time_ns": 300.0}}),
    },
)
