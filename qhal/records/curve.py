"""The record of an attenuator's curve as a function: from set point to true attenuation, and back."""

import numpy as np
from uncertainties import UFloat

from qhal.errors import InvalidRecord, OutOfRange
from qhal.records.origin import RecordOrigin
from qhal.records.record import Record
from qhal.records.shared import shared_error
from qhal.records.uncertain import statistical, values_of

CURVE = "attenuator-curve"
"""The calibration whose records these are."""


class AttenuatorCurve:
    """The curve of one attenuator, straight between the set points that were measured.

    Values read from one curve share their systematic errors, so that these cancel in differences as far as they do.
    """

    def __init__(self, record: Record) -> None:
        self._name = record.instrument("attenuator").device
        self._origin = RecordOrigin(record.id)
        self.repeatability_db = record.quantity("repeatability").value
        self._places, self._values = record.curve("attenuation", "set_db")
        self._nominal = values_of(self._values)
        if len(self._places) < 2 or np.any(np.diff(self._nominal) <= 0):
            raise InvalidRecord(f"{self._name}: its attenuation does not grow from set point to set point")
        self._bend_db = self._bend()

    @property
    def range_db(self) -> tuple[float, float]:
        """First and last set point of the curve."""
        return float(self._places[0]), float(self._places[-1])

    def attenuation_db(self, set_db: float) -> UFloat:
        """Return the true attenuation when this set point is set once more. Raises OutOfRange beyond the curve.

        What is new with every move is the repeatability.
        """
        return self.mean_attenuation_db(set_db) + statistical(
            f"moves of {self._name}", 0.0, self.repeatability_db
        )

    def mean_attenuation_db(self, set_db: float) -> UFloat:
        """Return the true attenuation at a set point, where moves end apart. Raises OutOfRange beyond the curve.

        Between set points it is off by as much as the curve bends there: the rms of its second differences says how
        much.
        """
        low, high = self.range_db
        if not low <= set_db <= high:
            raise OutOfRange(
                f"{self._name}: set point {set_db:g} dB; its curve is known from {low:g} to {high:g} dB"
            )
        return self._interpolated(set_db)

    def set_point_db(self, attenuation_db: float) -> float:
        """Return the set point at which the attenuation is this. Raises OutOfRange beyond the curve."""
        if not self._nominal[0] <= attenuation_db <= self._nominal[-1]:
            raise OutOfRange(
                f"{self._name}: {attenuation_db:g} dB; it does {self._nominal[0]:.2f} to {self._nominal[-1]:.2f} dB"
            )
        return float(np.interp(attenuation_db, self._nominal, self._places))

    def _interpolated(self, set_db: float) -> UFloat:
        after = int(np.clip(np.searchsorted(self._places, set_db), 1, len(self._places) - 1))
        width = self._places[after] - self._places[after - 1]
        share = (set_db - self._places[after - 1]) / width
        value: UFloat = (1 - share) * self._values[after - 1] + share * self._values[after]
        # A parabola of second difference d is off its chord by share (1 - share) d / 2.
        off_db = share * (1 - share) / 2 * self._bend_db
        return value + off_db * shared_error(f"interpolation of {self._name} at {set_db:g} dB", self._origin)

    def _bend(self) -> float:
        """Return the rms second difference of the deviation from the set points; what noise makes of it is in, too."""
        deviation = self._nominal - self._places
        widths = np.diff(self._places)
        if len(widths) < 2:
            return float(np.abs(np.diff(deviation)).max())
        slopes = np.diff(deviation) / widths
        return float(np.sqrt(np.mean((np.diff(slopes) * (widths[1:] + widths[:-1]) / 2) ** 2)))
