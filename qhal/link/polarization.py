"""Align the receiver's polarization by fitting the fibre, not by climbing the error rate."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from qhal.errors import OutOfRange
from qhal.link.estimates import ClickMatrix, QberEstimate
from qhal.link.fibre_fit import FibreFit, Setting, best_angles, fit_fibre, measured_setting
from qhal.link.link_errors import AlignmentNotReachable
from qhal.link.receiver import ReceiverModel
from qhal.link.retarders import LOOPS_121_RAD


@dataclass(frozen=True, eq=False)
class AlignmentResult:
    """Where the controller stands after an alignment.

    ``qber``: measured there, both bases, all intensities that the click matrix holds. ``settings``: how many
    settings were measured, ``restarts`` how often it began again. ``fit``: the last model of the fibre.
    """

    angles_deg: tuple[float, ...]
    qber: QberEstimate
    settings: int
    restarts: int
    fit: FibreFit


class PolarizationAlignment:
    """Brings a controller to the angles of least error, with 6 to 12 measured settings as a rule.

    ``set_angles_deg``: moves the paddles and returns when they are there. ``measure``: returns the click
    matrix at the present setting (3e5 clicks are plenty; background raises the floor, so measure with
    classical light off). ``nominal_retardances_rad``: of the paddles, in the order the light passes them.
    ``range_deg``: angles used. ``receiver``: what splitter, analysers and detectors are, if they are not
    even; the least error is that of this receiver then. ``target_qber``: the error rate to reach.
    ``first_settings`` random settings are measured, up to ``most_settings`` of them while the model does not
    fit; then it jumps to the best angles, and refines ``refinements`` times with what was seen there.
    """

    def __init__(
        self,
        set_angles_deg: Callable[[list[float]], object],
        measure: Callable[[], ClickMatrix],
        *,
        nominal_retardances_rad: Sequence[float] = LOOPS_121_RAD,
        range_deg: tuple[float, float] = (10.0, 160.0),
        receiver: ReceiverModel | None = None,
        target_qber: float = 0.025,
        first_settings: int = 5,
        most_settings: int = 8,
        refinements: int = 2,
        restarts: int = 3,
        seed: int = 0,
        largest_reduced_chi2: float = 3.0,
    ) -> None:
        if not 3 <= first_settings <= most_settings:
            raise OutOfRange(f"{first_settings} to {most_settings} settings: need 3 <= first <= most")
        self._set_angles_deg, self._measure = set_angles_deg, measure
        self._nominal, self._range = tuple(nominal_retardances_rad), range_deg
        self._target, self._refinements, self._restarts = target_qber, refinements, restarts
        self._receiver = receiver
        self._first, self._most, self._largest_chi2 = first_settings, most_settings, largest_reduced_chi2
        self._rng = np.random.default_rng(seed)

    def run(self) -> AlignmentResult:
        """Align, and leave the controller at the best setting seen.

        Raises AlignmentNotReachable when a model that fits says that no angles reach the target, or when the
        restarts are used up; NotEnoughCounts when a measurement shows no clicks.
        """
        measured = 0
        best: tuple[QberEstimate, tuple[float, ...]] | None = None
        for restart in range(self._restarts + 1):
            settings = [self._visit(self._random_angles())[0] for _ in range(self._first)]
            fit = self._fit(settings)
            while fit.reduced_chi2 > self._largest_chi2 and len(settings) < self._most:
                settings.append(self._visit(self._random_angles())[0])
                fit = self._fit(settings)
            for _ in range(self._refinements + 1):
                angles, predicted = best_angles(fit, self._range)
                setting, qber = self._visit(angles)
                settings.append(setting)
                if best is None or qber.value < best[0].value:
                    best = (qber, angles)
                fit = self._fit(settings)
                if qber.value <= self._target and qber.value - predicted < qber.standard_uncertainty:
                    break
            measured += len(settings)
            assert best is not None  # at least one jump was measured
            if best[0].value <= self._target:
                self._set_angles_deg(list(best[1]))
                return AlignmentResult(best[1], best[0], measured, restart, fit)
            _, predicted = best_angles(fit, self._range)
            if predicted > self._target and fit.reduced_chi2 <= self._largest_chi2:
                break
        assert best is not None
        self._set_angles_deg(list(best[1]))
        retardances = ", ".join(f"{delta / np.pi:.2f}" for delta in fit.retardances_rad)
        raise AlignmentNotReachable(
            f"error rate {best[0].value:.2%} after {measured} settings, target {self._target:.2%};"
            f" the model of the fibre predicts {predicted:.2%} at best"
            f" (reduced chi2 {fit.reduced_chi2:.1f}, retardances {retardances} pi)"
        )

    def _random_angles(self) -> tuple[float, ...]:
        return tuple(float(angle) for angle in self._rng.uniform(*self._range, len(self._nominal)).round(1))

    def _visit(self, angles: tuple[float, ...]) -> tuple[Setting, QberEstimate]:
        self._set_angles_deg(list(angles))
        matrix = self._measure()
        return measured_setting(angles, matrix), matrix.qber

    def _fit(self, settings: Sequence[Setting]) -> FibreFit:
        return fit_fibre(settings, self._nominal, receiver=self._receiver)
