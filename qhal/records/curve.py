"""A record of an attenuator's curve as a function: from set point to true attenuation, and back."""

import numpy as np

from qhal.errors import OutOfRange
from qhal.records.record import Reader, Record
from qhal.records.uncertain import Uncertain, nominal, systematic

QUANTITY, OVER = "attenuation", "set_db"


class AttenuatorCurve:
    """True attenuation over set point, linear between the points that were measured.

    What the curve does between two points is unknown by a quarter of the bend there, a systematic contribution.
    """

    def __init__(self, record: Record) -> None:
        self.record = record
        self._set_db, self._true = Reader(record).curve(QUANTITY, OVER)
        self._true_db = np.array([nominal(each) for each in self._true])

    @property
    def range_db(self) -> tuple[float, float]:
        """Least and greatest true attenuation."""
        return float(self._true_db.min()), float(self._true_db.max())

    def attenuation_db(self, set_db: float) -> Uncertain:
        """Return the true attenuation at a set point. Raises OutOfRange outside of the points measured."""
        if not self._set_db[0] <= set_db <= self._set_db[-1]:
            raise OutOfRange(
                f"record {self.record.id}: {set_db:g} dB is not between {self._set_db[0]:g} and {self._set_db[-1]:g} dB"
            )
        right = min(max(int(np.searchsorted(self._set_db, set_db)), 1), len(self._set_db) - 1)
        left = right - 1
        share = float((set_db - self._set_db[left]) / (self._set_db[right] - self._set_db[left]))
        between = systematic("between the points", 0.0, self._bend_db(left) * 4 * share * (1 - share) / 4)
        return self._true[left] * (1 - share) + self._true[right] * share + between

    def set_point_db(self, true_db: float) -> float:
        """Return the set point of a true attenuation. Raises OutOfRange."""
        low, high = self.range_db
        if not low <= true_db <= high:
            raise OutOfRange(
                f"record {self.record.id}: {true_db:g} dB is not between {low:g} and {high:g} dB"
            )
        order = np.argsort(self._true_db)
        return float(np.interp(true_db, self._true_db[order], self._set_db[order]))

    def _bend_db(self, left: int) -> float:
        """Return the greatest change of the error from one interval to the next, around an interval."""
        error = self._true_db - self._set_db
        second = np.abs(np.diff(error, 2))
        near = second[max(0, left - 1) : left + 1]
        return float(near.max()) if len(near) else 0.0
