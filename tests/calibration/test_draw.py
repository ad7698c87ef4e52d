"""What all pictures have in common: digits, colours, and every point in sight."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from qhal.calibration import with_uncertainty
from qhal.calibration.figures import record_picture, style
from qhal.calibration.figures.style import COLOURS
from qhal.records.record import Quantity
from qhal.records.uncertain import statistical, systematic
from tests.calibration.pictures import faults

_DEUTERANOPIA = np.array(
    [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ]
)
"""Of linear RGB, Machado et al. 2009."""
_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(colour: str, seen_by: np.ndarray) -> np.ndarray:
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    x, y, z = np.cbrt(np.clip(_TO_XYZ @ seen_by @ linear, 1e-6, None) / (0.9505, 1.0, 1.089))
    return np.array((116 * y - 16, 500 * (x - y), 200 * (y - z)))


@pytest.mark.parametrize("seen_by", [np.eye(3), _DEUTERANOPIA], ids=["all", "deuteranopia"])
def test_colours_are_distinct(seen_by):
    for one, other in combinations(COLOURS, 2):
        assert np.linalg.norm(lab(one, seen_by) - lab(other, seen_by)) > 14, (one, other)


@pytest.mark.parametrize(
    ("value", "stat", "syst", "text"),
    [
        (0.788, 0.0043, 0.038, "0.788 ± 0.004 (stat) ± 0.038 (syst)"),
        (1234.5, 12.0, 0.4, "1234 ± 12 (stat)"),
        (3.2e-9, 0.0, 1e-10, "3.20e-09 ± 0.10e-09 (syst)"),
        (0.2, 0.0, 0.0, "0.2"),
    ],
)
def test_all_parts_have_the_digits_of_the_whole(value, stat, syst, text):
    number = value + statistical("a", 0.0, stat) + systematic("b", 0.0, syst)
    assert with_uncertainty(Quantity.of("x", "1", number)) == text


@pytest.mark.parametrize("scale", ["linear", "log", "symlog"])
def test_no_point_is_cut_whatever_limits_a_picture_sets(scale, monkeypatch):
    def cut(figure, record):
        axes = style.one_axes(figure, "x / s", "y / V")
        style.points(axes, [1, 10, 1000], [1e-3, 1.0, 1e4], [1e-4, 0.1, 10], 0)
        axes.set_yscale(scale)
        axes.set_ylim(0.1, 10)

    monkeypatch.setattr(record_picture, "_headline", lambda record: "")
    monkeypatch.setattr(record_picture, "_footline", lambda record: "")
    figure = Figure(figsize=(9.0, 5.6), layout="constrained")
    cut(figure, None)
    assert faults(figure)
    for axes in figure.axes:
        record_picture.show_all_points(axes)
    assert not faults(figure)
