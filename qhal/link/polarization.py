"""Alignment of the receiver's polarization by a fit of the fibre, instead of a descent of the error rate."""

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
    """Result of an alignment.

    Attributes
    ----------
    angles_deg
        Angles of the controller.
    qber
        Error rate measured there, of both bases and all intensities of the click matrix.
    settings, restarts
        Number of settings measured, and of restarts.
    fit
        Last model of the fibre.
    """

    angles_deg: tuple[float, ...]
    qber: QberEstimate
    settings: int
    restarts: int
    fit: FibreFit


class PolarizationAlignment:
    """Sets a controller to the angles of minimum error, usually with 6 to 12 measured settings.

    Random settings are measured until the model fits; then the controller is set to the best angles, and these are
    refined with the measurement there.

    Parameters
    ----------
    set_angles_deg
        Sets the paddles and returns when they are in position.
    measure
        Returns the click matrix at the present setting; 3e5 clicks are enough, with classical light off.
    nominal_retardances_rad
        Retardances of the paddles, in optical order.
    range_deg
        Range of the angles.
    receiver
        Model of an uneven receiver.
    target_qber
        Error rate to reach.
    first_settings, most_settings
        Minimum and maximum number of random settings.
    refinements
        Maximum number of refinements.
    restarts
        Maximum number of restarts with new random settings.
    seed
        Seed of the random settings.
    largest_reduced_chi2
        Maximum misfit of a model that fits.

    Raises
    ------
    OutOfRange
        For numbers of settings that do not fit together.
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

        Raises AlignmentNotReachable if no angles reach the target in a model that fits, or after the last restart;
        NotEnoughCounts for a measurement without clicks.
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
                return AlignmentResult(
                    angles_deg=best[1], qber=best[0], settings=measured, restarts=restart, fit=fit
                )
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
