"""Align the receiver's polarization, and leave a record of what was reached.

The controller visits random settings; the fibre is fitted to the correlations of sent and seen bits, and the paddles go
to the angles of least error that the fit gives (:mod:`qhal.link.polarization`). They stay there. The evaluation fits
the fibre once more to everything that was seen, with where each paddle stopped and how the fibre walked between them as
unknowns (isotropic walk on the Poincaré sphere: Czegledi et al., arXiv:1507.00953).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator
from uncertainties import UFloat

from qhal.calibration.figures.style import data_and_residuals, line, points
from qhal.calibration.fitting.fit import Array, Fitted, Model, fit_values, numbered
from qhal.calibration.fitting.receiver_fit import receiver_model, states
from qhal.calibration.fitting.second_order import means
from qhal.calibration.framework.calibration import Calibration, Site
from qhal.calibration.framework.data import Data, Evaluation
from qhal.calibration.framework.plan import CHANNELS, Extent, Positive
from qhal.calibration.framework.points import Run
from qhal.calibration.inputs import transmitter_records
from qhal.calibration.optics.four_states import FourStatesPlan, count_states, modulator_inputs, play_states
from qhal.calibration.optics.setups import ReceiverSetup
from qhal.devices.polarization_controller import PolarizationController
from qhal.devices.time_tagger import TimeTagger
from qhal.link.estimates import ClickMatrix
from qhal.link.fibre_fit import correlations, fit_fibre, measured_setting
from qhal.link.polarization import PolarizationAlignment
from qhal.link.receiver import ReceiverModel, detected_fractions
from qhal.link.retarders import controller_rotation, rotation_from_vector, vector_of_rotation
from qhal.records.record import Fit, Quantity, Record
from qhal.records.uncertain import statistical, systematic

FORMULA = "correlations = visibility receiver(paddles fibre states)"
Three = tuple[float, float, float]
Two = tuple[float, float]
_SETTINGS = 20
"""Settings of the paddles that an alignment is estimated to need."""
_RECEIVER = "receiver-matrix"


class KnownReceiver(BaseModel):
    """A receiver as :class:`~qhal.link.receiver.ReceiverModel` has it; the default is an ideal one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    directions: tuple[Three, Three] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
    offsets: Two = (0.0, 0.0)
    contrasts: Two = (1.0, 1.0)
    weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)

    @classmethod
    def of(cls, record: Record) -> "KnownReceiver":
        """Return the receiver of a record of ``receiver-matrix``. Raises InvalidRecord."""
        model = receiver_model(record)
        return cls(
            directions=model.directions.tolist(),
            offsets=model.offsets.tolist(),
            contrasts=model.contrasts.tolist(),
            weights=model.weights.tolist(),
        )

    @model_validator(mode="after")
    def _can_be(self) -> "KnownReceiver":
        self.model()
        return self

    def model(self) -> ReceiverModel:
        """Return the model. Raises OutOfRange for an impossible receiver."""
        return ReceiverModel(*(np.array(values) for _, values in self))


class PolarizationAlignmentPlan(FourStatesPlan):
    """A :class:`FourStatesPlan`, and the target of the alignment.

    ``target_error_rate``: of the signal, both bases; the controller's random settings are drawn from ``seed``.
    ``receiver``: an ideal one by default, else as ``receiver-matrix`` found it. At the end clicks are counted
    ``repetitions`` times for ``row_s``. ``correlation_time_s``: of the fibre's polarization, in which a Stokes vector
    loses all but 1/e of its direction.
    """

    target_error_rate: Annotated[float, Field(gt=0, lt=0.5)] = 0.025
    seed: int = 0
    receiver: KnownReceiver = KnownReceiver()
    repetitions: Annotated[int, Field(ge=2, le=100)] = 4
    correlation_time_s: Positive = 86_400.0

    def extent(self) -> Extent:
        """Return how large the measurement is."""
        rows = self.repetitions + _SETTINGS
        seconds = rows * self.row_s + self.dark_s
        return Extent(
            rows=rows,
            seconds=seconds,
            numbers=rows * CHANNELS**2,
            tags=self.rate_hz * self.row_s,
            samples=self.samples_to_play(),
        )


def measure(run: Run, plan: PolarizationAlignmentPlan, setup: ReceiverSetup) -> None:
    """Align, then count at the angles that were found. Raises AlignmentNotReachable."""
    run.refuse_new_clock("settings", setup.tagger.device.clock.now_s())
    play_states(run, plan, setup)
    visits = _Visits(run, plan, setup.polarization, setup.tagger)
    limits = setup.polarization.capabilities
    result = PolarizationAlignment(
        visits.set_angles_deg,
        visits.measure,
        nominal_retardances_rad=plan.retardances_rad.tolist(),
        range_deg=(limits.min_angle_deg, limits.max_angle_deg),
        receiver=plan.receiver.model(),
        target_qber=plan.target_error_rate,
        seed=plan.seed,
    ).run()
    reached_deg = list(setup.polarization.set_angles_deg(result.angles_deg))
    for point in run.points("aligned", [{"repetition": n + 1} for n in range(plan.repetitions)]):
        run.store("aligned", **point, reached_deg=reached_deg, **count_states(run, plan, setup.tagger))


class _Visits:
    """What the alignment sees: settings that the run has already are not visited again."""

    def __init__(
        self,
        run: Run,
        plan: PolarizationAlignmentPlan,
        polarization: PolarizationController,
        tagger: TimeTagger,
    ) -> None:
        self._run, self._plan, self._polarization, self._tagger = run, plan, polarization, tagger
        self._wanted_deg: list[float] = []
        self._visit = 0

    def set_angles_deg(self, angles_deg: list[float]) -> None:
        self._wanted_deg = list(angles_deg)

    def measure(self) -> ClickMatrix:
        self._visit += 1
        point = {"visit": self._visit, "angles_deg": self._wanted_deg}
        for _ in self._run.points("settings", [point]):
            reached_deg = self._polarization.set_angles_deg(self._wanted_deg)
            counted = count_states(self._run, self._plan, self._tagger)
            self._run.store("settings", **point, reached_deg=list(reached_deg), **counted)
        row = next(row for row in self._run.rows("settings") if row["visit"] == self._visit)
        return ClickMatrix(np.array(row["clicks"], np.int64))


def evaluate(data: Data, plan: PolarizationAlignmentPlan) -> Evaluation:
    """Return the error rate and the angles that were reached, and what the fibre and the paddles are."""
    measured = _Measured(data, plan)
    fitted = _fit(measured, plan)
    fibre, visibility, rest = fitted.values[:3], fitted.values[3:5], fitted.values[5:]
    rate, steady = _error_rate(data)
    quantities = [Quantity.of("error_rate", "1", rate)]
    for n, nominal_rad in enumerate(plan.retardances_rad):
        angle_deg = systematic(f"play of paddle {n + 1}", float(measured.angles_deg[-1, n]), plan.play_deg)
        quantities += [
            Quantity.of("aligned_angle", "deg", angle_deg, channel=n + 1),
            Quantity.of("retardance", "rad", rest[n] * float(nominal_rad), channel=n + 1),
        ]
    quantities.append(Quantity.of("twist", "1", rest[len(plan.retardances_pi)]))
    for basis in (0, 1):
        contrast = visibility[basis] * plan.receiver.contrasts[basis]
        quantities.append(Quantity.of("optical_error", "1", (1 - contrast) / 2, basis=basis))
    for n, component in enumerate(fibre):
        quantities.append(Quantity.of("fibre_rotation", "rad", component, axis=n + 1))
    remarks = [
        f"{len(data['settings'])} settings of the paddles were visited before the last one",
        "fibre_rotation: along s1, s2, s3 (axes 1 to 3), its length the angle; as it was at the end",
    ]
    return Evaluation(quantities, [fitted.fit, steady], remarks)


class _Measured:
    """The settings that were visited, the last one with all its repetitions, and when."""

    def __init__(self, data: Data, plan: PolarizationAlignmentPlan) -> None:
        visited, aligned = data["settings"], data["aligned"]
        clicks = [*visited["clicks"], aligned["clicks"].sum(axis=0)]
        angles = [*visited["reached_deg"], aligned["reached_deg"][0]]
        self.settings = [measured_setting(a, ClickMatrix(c)) for a, c in zip(angles, clicks, strict=True)]
        self.angles_deg: Array = np.array(angles, np.float64)
        self.at_s: Array = np.append(visited["at_s"], aligned["at_s"].mean())
        self.receiver = plan.receiver.model()

    @property
    def blocks(self) -> Array:
        """Measured correlations of all settings (settings, 2, 2)."""
        return np.array([setting.block for setting in self.settings])

    @property
    def sigmas(self) -> Array:
        """Their standard uncertainties."""
        return np.array([setting.sigma for setting in self.settings])


def _fit(measured: _Measured, plan: PolarizationAlignmentPlan) -> Fitted:
    """Fit the fibre as it was at the end, a visibility of each basis, retardances, twist and the sender's phases.

    The paddles' true angles and the fibre's steps between settings are unknowns that are known to their spread.
    """
    nominal = plan.retardances_rad
    rough = fit_fibre(measured.settings, nominal.tolist(), receiver=measured.receiver)
    count, paddles = measured.angles_deg.shape
    correlated = _model(measured, plan)

    def model(p: Array) -> Array:
        return np.concatenate((correlated(p).ravel(), p[5:]))

    walk = np.repeat(np.sqrt(np.diff(measured.at_s) / plan.correlation_time_s), 3)
    known_sigma = np.concatenate(
        (
            np.full(paddles, plan.retardance_uncertainty),
            [plan.twist_uncertainty, plan.vpi_uncertainty],
            np.full(count * paddles, plan.play_deg),
            walk,
        )
    )
    known = np.concatenate((np.ones(paddles), np.zeros(len(known_sigma) - paddles)))
    sigma = np.concatenate((measured.sigmas.ravel(), known_sigma))
    start = {
        **numbered("fibre_rad", vector_of_rotation(rough.rotation)),
        **numbered("visibility", [rough.visibility] * 2),
        **numbered("retardance", np.array(rough.retardances_rad) / nominal),
        "twist": rough.twist,
        "vpi": 0.0,
        **numbered("off_deg", np.zeros(count * paddles)),
        **numbered("step_rad", np.zeros(len(walk))),
    }
    fitted = fit_values(
        "counts, paddles and fibre",
        FORMULA,
        model,
        np.concatenate((measured.blocks.ravel(), known)),
        sigma,
        start,
    )
    # Paddles that stop beside the best angles always cost contrast, and most of that shows nowhere else.
    return replace(fitted, values=means(fitted, model, sigma))


def _model(measured: _Measured, plan: PolarizationAlignmentPlan) -> Model:
    """Return the correlations expected (settings, 2, 2)."""
    receiver, nominal = measured.receiver, plan.retardances_rad
    count, paddles = measured.angles_deg.shape
    sizes = np.cumsum((3, 2, paddles, 1, 1, count * paddles))

    def expected(p: Array) -> Array:
        last, visibility, retardances, twist, vpi, off_deg, steps = np.split(p, sizes)
        fibre = [rotation_from_vector(last)]
        for back in rotation_from_vector(-steps.reshape(count - 1, 3))[::-1]:
            fibre.append(back @ fibre[-1])
        angles_deg = measured.angles_deg + off_deg.reshape(count, paddles)
        controller = controller_rotation(angles_deg, retardances * nominal, twist)
        stokes = (controller @ np.array(fibre[::-1]) @ states(float(vpi[0])).T).transpose(0, 2, 1)
        contrasts = visibility * receiver.contrasts
        seen = detected_fractions(stokes, receiver.directions, receiver.offsets, contrasts, receiver.weights)
        return correlations(seen)[0]

    return expected


def _error_rate(data: Data) -> tuple[UFloat, Fit]:
    """Return the error rate at the end, and whether it was the same in all repetitions."""
    rates = [ClickMatrix(clicks).qber for clicks in data["aligned"]["clicks"]]
    total = ClickMatrix(data["aligned"]["clicks"].sum(axis=0)).qber
    sifted = np.array([rate.sifted for rate in rates])
    variance = sifted * max(total.value * (1 - total.value), 1e-12)
    chi2 = float(np.sum((np.array([rate.errors for rate in rates]) - sifted * total.value) ** 2 / variance))
    fit = Fit(model="the error rate stays the same", chi2=chi2, degrees_of_freedom=len(rates) - 1)
    sigma = total.standard_uncertainty
    if fit.poor:
        fit = fit.model_copy(update={"scaled": True})
        sigma *= np.sqrt(chi2 / (len(rates) - 1))
    return statistical("counts", total.value, float(sigma)), fit


def draw(figure: Any, record: Record) -> None:
    """Show the error rate at every setting in order, with that of the model, and residuals of the correlations."""
    plan = PolarizationAlignmentPlan(**record.inputs)
    measured = _Measured(Data(record.tables), plan)
    expected = _model(measured, plan)(record.fit(FORMULA).values)
    upper, lower = data_and_residuals(figure, "setting of the paddles", "error rate")
    clicks = [*record.tables["settings"]["clicks"], record.tables["aligned"]["clicks"].sum(axis=0)]
    rates = [ClickMatrix(each).qber for each in clicks]
    place = np.arange(len(rates)) + 1
    sigma = [rate.standard_uncertainty for rate in rates]
    points(upper, place, [rate.value for rate in rates], sigma, 0, "measured")
    light = np.reshape(plan.receiver.weights, (2, 2)).sum(axis=1)
    agreeing = np.diagonal(expected, axis1=1, axis2=2) @ light / light.sum()
    line(upper, place, 0.5 - 0.5 * agreeing, 1, "model")
    upper.axhline(plan.target_error_rate, color="0.5", linewidth=0.8, linestyle=":", label="target")
    upper.set_yscale("log")
    upper.legend(frameon=False, fontsize=8)
    residuals = (measured.blocks - expected) / measured.sigmas
    points(lower, np.repeat(place, 4), residuals.ravel(), None, 0)


def _receiver(site: Site, values: Mapping[str, Any], records: Sequence[Record]) -> dict[str, Any]:
    record = transmitter_records.only_record(_RECEIVER, records)
    return {} if record is None else {"receiver": KnownReceiver.of(record)}


CALIBRATION = Calibration(
    name="polarization-alignment",
    title="Alignment of the receiver's polarization",
    method="fibre fitted to the correlations of bits at random settings of the paddles; least error of the fit",
    plan=PolarizationAlignmentPlan,
    setup=ReceiverSetup,
    measure=measure,
    evaluate=evaluate,
    draw=draw,
    from_node=(modulator_inputs, _receiver),
    uses=(transmitter_records.MODULATOR, transmitter_records.POLARIZATION, _RECEIVER),
    retains=("polarization",),
)
