import numpy as np

from qhal.calibration.detector.gate_scan import CALIBRATION, GateScanPlan
from tests.calibration.hidden import Case, World
from tests.calibration.source_bench import BIAS_UA

PLAN = GateScanPlan(
    rate_hz=2e5,
    recordings=2,
    recording_s=0.5,
    dark_recordings=2,
    dark_s=0.5,
    jitter_fwhm_ps=100.0,
    jitter_uncertainty_ps=10.0,
    bias_ua=BIAS_UA,
)


def draw(rng):
    return World(
        {
            "detectors": {
                "gate_period_ps": PLAN.gate_period_ps * (1 + rng.uniform(-3e-5, 3e-5)),
                "gate_width_ps": rng.uniform(1500, 4000),
                "gate_rise_ps": rng.uniform(200, 500),
                "gate_delay_ps": rng.uniform(-1500, 1500, 4).tolist(),
                "gate_leak": rng.uniform(0.003, 0.03),
                "dark_count_rate_hz": rng.uniform(2e3, 6e3, 4).tolist(),
                "jitter_fwhm_ps": rng.normal(PLAN.jitter_fwhm_ps, PLAN.jitter_uncertainty_ps),
            },
            "tagger": {"dnl": 0.02},
        }
    )


def truth(hidden, record):
    table, told = hidden.scenario.detectors, hidden.ask("detectors")
    period_ps = table.gate_period_ps
    late_ps = np.add(table.gate_delay_ps, told["skew_ps"])
    late_ps = np.mod(late_ps - late_ps[0] + period_ps / 2, period_ps) - period_ps / 2
    # Light and darkness meet the same gate: a rectangle of its width on what leaks.
    duty = table.gate_leak + (1 - table.gate_leak) * table.gate_width_ps / period_ps
    found = {("gate_period", None): period_ps}
    for n in range(4):
        found["gate_width", n + 1] = table.gate_width_ps
        found["gate_skew", n + 1] = late_ps[n] - late_ps.mean()
        for edge in ("rise", "fall"):
            found[f"gate_{edge}", n + 1] = table.gate_rise_ps
            found[f"edge_{edge}", n + 1] = np.hypot(
                table.gate_rise_ps, told["jitter_fwhm_ps"][n] / 2.3548 * 2.5631
            )
        found["out_of_gate_ratio", n + 1] = table.gate_leak
        found["dark_count_probability", n + 1] = table.dark_count_rate_hz[n] * duty * period_ps * 1e-12
    return found


CASE = Case(
    calibration=CALIBRATION,
    scenario="detector-bench",
    devices={
        "source": "laser",
        "attenuator": "voa",
        "second_attenuator": "second-voa",
        "switch": "switch",
        "polarization": "polarization",
        "detectors": "detectors",
        "tagger": "tagger",
    },
    plan=PLAN,
    draw=draw,
    truth=truth,
    misfits={
        # They come when the dead time is over, four periods later to the moment, and fill the end of the gates.
        "afterpulses": World(
            {
                "detectors": {
                    "dead_time_ns": 40.0,
                    "afterpulse_probability": 0.2,
                    "afterpulse_lifetimes_ns": [1.0],
                }
            }
        ),
    },
)
