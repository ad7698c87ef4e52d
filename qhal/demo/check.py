"""One comparison of the demonstration: measured against expected, with the basis of the expectation."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from qhal.records.uncertain import shown

Basis = Literal["truth", "reported"]

SIGMAS = {"truth": 4.0, "reported": 2.0}
"""How many combined standard uncertainties a check may be off, by its basis."""


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison.

    ``basis``: ``truth`` compares with the world's own log, ``reported`` only with reports of instruments, records and
    data sheets. ``uncertainty`` is the combined standard uncertainty (k = 1). A check with a larger relative
    uncertainty than ``max_relative_uncertainty`` is not judged.
    """

    name: str
    basis: Basis
    measured: float
    uncertainty: float
    expected: float
    max_relative_uncertainty: float = math.inf
    at_most: bool = False

    @property
    def deviation_sigma(self) -> float:
        """Measured less expected, in standard uncertainties."""
        return (self.measured - self.expected) / self.uncertainty

    @property
    def judged(self) -> bool:
        """Whether the uncertainty is small enough for the comparison to mean something."""
        limit = self.max_relative_uncertainty
        return limit == math.inf or self.uncertainty <= limit * abs(self.expected)

    @property
    def passed(self) -> bool:
        """Whether the comparison is within bounds (``at_most``: no more than expected)."""
        deviation = self.deviation_sigma if self.at_most else abs(self.deviation_sigma)
        return deviation <= SIGMAS[self.basis]

    def document(self) -> dict[str, Any]:
        """Return the check as plain data."""
        return {
            "name": self.name,
            "basis": self.basis,
            "measured": self.measured,
            "uncertainty": self.uncertainty,
            "expected": self.expected,
            "deviation_sigma": self.deviation_sigma,
            "judged": self.judged,
            "passed": self.passed if self.judged else None,
        }


def all_passed(checks: Iterable[Check]) -> bool:
    """Return whether every judged check is within bounds; a failure if none is judged."""
    judged = [check for check in checks if check.judged]
    return bool(judged) and all(check.passed for check in judged)


def verdict(checks: Iterable[Check]) -> str:
    """Return the result in words: N checks, M within bounds, K not judged."""
    everything = list(checks)
    judged = [check for check in everything if check.judged]
    good = sum(check.passed for check in judged)
    text = f"{len(everything)} checks, {good} within bounds, {len(judged) - good} out of bounds"
    missing = len(everything) - len(judged)
    return f"{text}, {missing} not judged (too few counts: more --seconds)" if missing else text


def plain(value: float, sigma: float) -> str:
    """Return a value with as many digits as an uncertainty of it has."""
    text, _, rest = shown(value, sigma).partition(" ± ")
    return f"{value:.4g}" if "(" in text or not rest else text
