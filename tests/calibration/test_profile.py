"""Widths of profiles made by hand, and windows where there is hardly any background, or too much."""

import numpy as np
import pytest
from scipy import special

from qhal.calibration.fitting.pulse_profile import Profile
from qhal.calibration.framework.data import Data
from qhal.calibration.receiver.detection_window import DetectionWindowPlan, evaluate
from qhal.link.link_errors import NotEnoughCounts
from qhal.records.record import Table

PERIOD_PS, SIGMA_PS = 40_000.0, 400.0
FWHM_PS = 2 * np.sqrt(2 * np.log(2)) * SIGMA_PS


def gaussian(clicks, background, bins=800, middle_ps=12_345.0):
    edges = np.arange(bins + 1) * PERIOD_PS / bins
    return clicks * np.diff(special.ndtr((edges - middle_ps) / SIGMA_PS)) + background


def test_widths_of_a_gaussian():
    profile = Profile.of(np.rint(gaussian(1e7, 200)).astype(int), PERIOD_PS, 8000.0)
    assert profile.full_width_ps(0.5).n == pytest.approx(FWHM_PS, abs=0.5)
    hundredth_ps = 2 * np.sqrt(2 * np.log(100)) * SIGMA_PS
    assert profile.full_width_ps(0.01).n == pytest.approx(hundredth_ps, abs=1.5)
    assert profile.variance_ps2().n - 50.0**2 / 12 == pytest.approx(SIGMA_PS**2, rel=1e-3)


def test_widths_scatter_as_they_say():
    rng = np.random.default_rng(1)
    expected, pulls = gaussian(1e5, 10), []
    for _ in range(100):
        profile = Profile.of(rng.poisson(expected), PERIOD_PS, 8000.0)
        found = (profile.full_width_ps(0.5), profile.variance_ps2())
        true = (FWHM_PS, SIGMA_PS**2 + 50.0**2 / 12)
        pulls.append([(value.n - wanted) / value.s for value, wanted in zip(found, true, strict=True)])
    assert (np.abs(np.mean(pulls, axis=0)) < 0.5).all()
    assert (np.abs(np.std(pulls, axis=0) - 1) < 4 / np.sqrt(200)).all()


def test_a_flat_background_is_no_pulse():
    flat = np.random.default_rng(2).poisson(100, 800)
    with pytest.raises(NotEnoughCounts, match="show no pulse above the background"):
        Profile.of(flat, PERIOD_PS, 8000.0)


def window(background_hz):
    """Evaluate what detectors without noise would have counted; a recording is 20 s, with 1e5 clicks of signal."""
    plan = DetectionWindowPlan(recordings=2)
    per_bin = background_hz * 20.0 / plan.bins
    counts = np.rint(gaussian(1e5, per_bin, plan.bins)).astype(int)
    signal = {"recording": np.arange(2), "counts": np.tile(counts, (2, 4, 1)), "live_s": np.full(2, 20.0)}
    dark = np.full((2, 4), round(background_hz * 20.0))
    background = {"recording": np.arange(2), "counts": dark, "live_s": np.full(2, 20.0)}
    return evaluate(Data({"signal": Table(signal, {}), "background": Table(background, {})}), plan)


def test_less_background_allows_a_wider_window():
    widths = [
        next(q.value for q in window(hz).quantities if q.name == "window_width") for hz in (300.0, 1e3, 5e3)
    ]
    assert widths[0] > widths[1] > widths[2] > FWHM_PS


def test_a_window_ends_where_there_is_hardly_any_signal():
    found = window(1.0)
    width = next(q for q in found.quantities if q.name == "window_width")
    assert width.value == pytest.approx(2 * np.sqrt(2 * np.log(100)) * SIGMA_PS, rel=0.02)
    assert any("ends where the signal is 0.01 of its height" in remark for remark in found.remarks)
    assert not any("ends where" in remark for remark in window(1e3).remarks)


def test_too_much_background_gives_no_key():
    with pytest.raises(NotEnoughCounts, match="no window gives key"):
        window(1e5)
