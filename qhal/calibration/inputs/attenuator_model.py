"""True attenuation of any set point: from a record of ``attenuator-curve``, or from the data sheet's accuracy."""

from typing import TypeAlias

from uncertainties import UFloat

from qhal.calibration.framework.data import Data
from qhal.records.curve import CURVE, AttenuatorCurve
from qhal.records.uncertain import statistical, systematic


class DeclaredAttenuator:
    """An attenuator without a curve: each set point is off by an error of its own, of a declared size (k = 1)."""

    def __init__(self, name: str, accuracy_db: float, repeatability_db: float) -> None:
        self._name = name
        self._accuracy_db = accuracy_db
        self.repeatability_db = repeatability_db
        self._known: dict[float, UFloat] = {}

    def attenuation_db(self, set_db: float) -> UFloat:
        """Return the true attenuation when this set point is set once more."""
        return self.mean_attenuation_db(set_db) + statistical(
            f"moves of {self._name}", 0.0, self.repeatability_db
        )

    def mean_attenuation_db(self, set_db: float) -> UFloat:
        """Return the true attenuation at a set point, where moves end apart."""
        if set_db not in self._known:
            self._known[set_db] = systematic(f"{self._name} at {set_db:g} dB", set_db, self._accuracy_db)
        return self._known[set_db]


AttenuatorModel: TypeAlias = AttenuatorCurve | DeclaredAttenuator


def attenuator_model(data: Data, name: str, accuracy_db: float, repeatability_db: float) -> AttenuatorModel:
    """Return the curve of an attenuator if its record was given, else what is declared of it."""
    record = data.record(CURVE, attenuator=name)
    if record is None:
        return DeclaredAttenuator(name, accuracy_db, repeatability_db)
    return AttenuatorCurve(record)
