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
    """The curve of one attenuator, linear between the set points that were measured.

    Values of one curve share the errors of its record, which cancel in differences.

    Parameters
    ----------
    record
        Of the calibration ``attenuator-curve``.

    Raises
    ------
    InvalidRecord
        If the record is of another calibration, or its attenuation does not increase with the set point.
    """

    def __init__(self, record: Record) -> None:
        self._name = record.instrument("attenuator").device
        self._origin = RecordOrigin(record.id)
        self.repeatability_db = record.quantity("repeatability").value
        self._set_points_db, self._values = record.curve("attenuation", "set_db")
        self._nominal = values_of(self._values)
        if len(self._set_points_db) < 2 or np.any(np.diff(self._nominal) <= 0):
            raise InvalidRecord(
                f"{self._name}: its attenuation does not increase from set point to set point"
            )
        self._bend_db = self._bend()

    @property
    def range_db(self) -> tuple[float, float]:
        """First and last set point of the curve."""
        return float(self._set_points_db[0]), float(self._set_points_db[-1])

    def attenuation_db(self, set_db: float) -> UFloat:
        """Return the true attenuation after the next move to a set point. Raises OutOfRange beyond the curve.

        The repeatability of the move is a statistical error of its own.
        """
        return self.mean_attenuation_db(set_db) + statistical(
            f"moves of {self._name}", 0.0, self.repeatability_db
        )

    def mean_attenuation_db(self, set_db: float) -> UFloat:
        """Return the true attenuation at a set point, averaged over moves. Raises OutOfRange beyond the curve.

        Between measured set points the curvature adds an error, estimated from the rms second difference.
        """
        low, high = self.range_db
        if not low <= set_db <= high:
            raise OutOfRange(
                f"{self._name}: set point {set_db:g} dB; its curve is known from {low:g} to {high:g} dB"
            )
        return self._interpolated(set_db)

    def set_point_db(self, attenuation_db: float) -> float:
        """Return the set point of a true attenuation. Raises OutOfRange beyond the curve."""
        if not self._nominal[0] <= attenuation_db <= self._nominal[-1]:
            raise OutOfRange(
                f"{self._name}: {attenuation_db:g} dB is beyond its curve, {self._nominal[0]:.2f} to"
                f" {self._nominal[-1]:.2f} dB"
            )
        return float(np.interp(attenuation_db, self._nominal, self._set_points_db))

    def _interpolated(self, set_db: float) -> UFloat:
        after = int(np.clip(np.searchsorted(self._set_points_db, set_db), 1, len(self._set_points_db) - 1))
        width = self._set_points_db[after] - self._set_points_db[after - 1]
        fraction = (set_db - self._set_points_db[after - 1]) / width
        value: UFloat = (1 - fraction) * self._values[after - 1] + fraction * self._values[after]
        # A parabola of second difference d is off its chord by fraction (1 - fraction) d / 2.
        curvature_db = fraction * (1 - fraction) / 2 * self._bend_db
        return value + curvature_db * shared_error(
            f"interpolation of {self._name} at {set_db:g} dB", self._origin
        )

    def _bend(self) -> float:
        """Return the rms second difference of the deviation from the set points, noise included."""
        deviation = self._nominal - self._set_points_db
        widths = np.diff(self._set_points_db)
        if len(widths) < 2:
            return float(np.abs(np.diff(deviation)).max())
        slopes = np.diff(deviation) / widths
        return float(np.sqrt(np.mean((np.diff(slopes) * (widths[1:] + widths[:-1]) / 2) ** 2)))
