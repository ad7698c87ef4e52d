import numpy as np

from qhal.calibration.clock.code_density import CALIBRATION, CodeDensityPlan
from qhal_simulators.physics.readout import tagger_bins
from tests.calibration.detector_bench import devices
from tests.calibration.hidden import Case, World
from tests.calibration.source_bench import BIAS_UA

PLAN = CodeDensityPlan(interpolator_bins=32, rate_hz=5e5, repetitions=2, period_s=0.4, bias_ua=BIAS_UA)
RESOLUTION_PS = 100
BINS_STREAM = 15


def draw(rng):
    return World({"tagger": {"dnl": rng.uniform(0.1, 0.2), "interpolator_bins": PLAN.interpolator_bins}})


def truth(hidden, record):
    table, seed = hidden.scenario.tagger, hidden.ask("datasheet")["seed"]
    edges = tagger_bins.edges(np.random.default_rng((seed, BINS_STREAM)), table.interpolator_bins, table.dnl)
    widths = np.diff(edges)
    late = np.cumsum(widths) - np.arange(1, len(widths) + 1)
    found = {
        ("dnl_variance", None): np.mean((widths - 1) ** 2),
        ("dnl_rms", None): np.sqrt(np.mean((widths - 1) ** 2)),
        ("inl_rms", None): RESOLUTION_PS * np.std(late),
        ("inl_peak_to_peak", None): RESOLUTION_PS * np.ptp(late),
    }
    return found | {("bin_width", ("bin", n)): RESOLUTION_PS * width for n, width in enumerate(widths)}


def gates(period_ps):
    return World({"detectors": {"gate_period_ps": period_ps, "gate_width_ps": period_ps / 2}})


CASE = Case(
    calibration=CALIBRATION,
    scenario="detector-bench",
    devices=devices("meter"),
    plan=PLAN,
    draw=draw,
    truth=truth,
    misfits={
        "gates with the interpolator's period": gates(3200.0),
        "gates with twice its period": gates(6400.0),
        "another interpolator": World({"tagger": {"interpolator_bins": 48}}),
    },
)
