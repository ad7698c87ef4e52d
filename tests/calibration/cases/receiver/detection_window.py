import numpy as np
from scipy import interpolate, optimize

from qhal.calibration.receiver.detection_window import CALIBRATION, DetectionWindowPlan
from qhal.link.channel_model import ThresholdLink
from qhal.link.decoy import gllp_rate_per_signal
from qhal.link.modulation import waveforms
from tests.calibration import pulse_shape, source_bench
from tests.calibration.hidden import Case, World
from tests.calibration.source_bench import BIAS_UA, DEVICES
from tests.calibration.transmitter import in_plan, transmitter

PLAN = DetectionWindowPlan(
    **in_plan(),
    rate_hz=5000.0,
    recordings=3,
    recording_s=2.0,
    background_s=3.0,
    span_ps=7000.0,
    bias_ua=BIAS_UA,
)
TAGGER_PS = 100
REFERENCE_DB = 40.0


def draw(rng):
    return World(
        {
            "transmitter": {**transmitter(), "bandwidth_hz": float(rng.uniform(3e8, 6e8))},
            "detectors": {
                "skew_ps": np.rint(rng.uniform(-4000, 4000, 4)).astype(int).tolist(),
                "jitter_fwhm_ps": float(rng.uniform(200, 700)),
                "dark_count_rate_hz": rng.uniform(600, 3000, 4).tolist(),
            },
        }
    )


def prepare(hidden):
    """Besides, ask how bright the pulses are at a certain attenuation."""
    source_bench.prepare(hidden)
    laser, voa = hidden.node.source("laser"), hidden.node.attenuator("voa")
    volts = waveforms(PLAN.pattern(), PLAN.transmitter(), PLAN.samples_per_pulse, PLAN.carve_samples)
    hidden.node.pattern_generator("awg").play(volts, PLAN.sample_rate_hz)
    voa.set_attenuation_db(REFERENCE_DB)
    laser.enable()
    laser.device.clock.sleep_s(0.1)
    path, efficiency = hidden.ask("light-path"), np.mean(hidden.scenario.detectors.efficiency)
    hidden.unattenuated_hz = path["signal_hz"] * 10 ** (path["attenuation_db"] / 10) * efficiency
    laser.disable()


def truth(hidden, record):
    detectors, step = hidden.scenario.detectors, pulse_shape.STEP_PS
    light = pulse_shape.light(PLAN, hidden.scenario.transmitter.bandwidth_hz)
    density = pulse_shape.detected(light, detectors.jitter_fwhm_ps, TAGGER_PS)
    density /= density.sum()
    t = (np.arange(len(density) + 1)) * step
    cumulative = interpolate.CubicSpline(t, np.concatenate(([0.0], np.cumsum(density))))
    phase = np.angle((density * np.exp(2j * np.pi * (t[:-1] + step / 2) / t[-1])).sum()) % (2 * np.pi)
    mean = phase / (2 * np.pi) * t[-1]
    attenuation_db = float(record.tables["light"]["attenuation_db"][0])
    clicks = hidden.unattenuated_hz * 10 ** (-attenuation_db / 10) * PLAN.period_ps * 1e-12
    behind = sum(detectors.dark_count_rate_hz) * 1e-12

    def fraction(start, stop):
        return float(cumulative(stop) - cumulative(start))

    def rate(start, stop):
        mu = PLAN.mean_photon_number
        link = ThresholdLink(
            clicks * fraction(start, stop) / mu, behind * (stop - start) / 4, PLAN.optical_error, 4
        )
        gain = link.gain(mu)
        return gllp_rate_per_signal(
            mu, gain, link.error_gain(mu) / gain, link.photon_yield(1), link.single_photon_error
        )

    def loss(edges):
        return -1e4 * rate(mean - edges[0], mean + edges[1])

    before, after = optimize.minimize(loss, (700.0, 700.0), bounds=[(100, 3000)] * 2, method="Powell").x
    # The fraction is that of the window which was found, not of the best one.
    width = record.quantity("window_width").value
    middle = mean + record.quantity("window_offset").value
    return {
        ("window_width", None): before + after,
        ("window_offset", None): (after - before) / 2,
        ("signal_fraction", None): fraction(middle - width / 2, middle + width / 2),
        ("signal_click_probability", None): clicks,
        ("background_click_probability", None): behind * width,
        ("key_rate_per_pulse", None): rate(middle - width / 2, middle + width / 2),
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
        "afterpulses": World(
            {"detectors": {"afterpulse_probability": 0.3, "afterpulse_lifetimes_ns": [20.0]}}
        ),
    },
)
