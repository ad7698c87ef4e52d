"""The matrix of a passive receiver: what each of four detectors sees of each of four states.

The sender plays its four states, the paddles of the controller visit settings at random, and at each one clicks are
counted by state and detector. One model is fitted to all of them: a fibre and paddles that turn the Stokes vector, a
splitter, and in each basis an analyser whose outputs see ``w0 (1 + b + c a.s)`` and ``w1 (1 - b - c a.s)``: the most
general that a lossless linear optic with detectors of unequal efficiency does to pairs of outputs. Fibre, paddles and
receiver come apart because the paddles' rotations, at enough settings, span all linear maps of Stokes vectors.
"""

from typing import Annotated, Any

import numpy as np
from pydantic import Field
from uncertainties import umath

from qhal.calibration.figures.style import COLOURS, tidy
from qhal.calibration.fitting.receiver_fit import FORMULA, expected_clicks, fit_receiver
from qhal.calibration.framework.calibration import Calibration
from qhal.calibration.framework.data import Data, Evaluation
from qhal.calibration.framework.plan import CHANNELS, Extent
from qhal.calibration.framework.points import Run
from qhal.calibration.inputs import transmitter_records
from qhal.calibration.optics.count_rate import SETTINGS
from qhal.calibration.optics.four_states import FourStatesPlan, count_states, modulator_inputs, play_states
from qhal.calibration.optics.setups import ReceiverSetup
from qhal.records.record import Quantity, Record
from qhal.records.uncertain import to_db

STATES = ("H", "V", "D", "A")
_CLEAR = 3.0
"""Below this significance of a leak only a bound of the extinction ratio is reported."""


class ReceiverMatrixPlan(FourStatesPlan):
    """A :class:`FourStatesPlan` at ``settings`` of the paddles that are drawn from ``settings_seed``."""

    settings: Annotated[int, Field(ge=8, le=100)] = 14
    settings_seed: int = 0

    def extent(self) -> Extent:
        """Return how large the measurement is."""
        seconds = self.settings * self.row_s + self.dark_s
        return Extent(
            rows=self.settings,
            seconds=seconds,
            numbers=self.settings * CHANNELS**2,
            tags=self.rate_hz * self.row_s,
            samples=self.samples_to_play(),
        )


def measure(run: Run, plan: ReceiverMatrixPlan, setup: ReceiverSetup) -> None:
    """Count dark, then by state and detector at every setting of the paddles."""
    play_states(run, plan, setup)
    limits = setup.polarization.capabilities
    drawn = np.random.default_rng(plan.settings_seed).uniform(
        limits.min_angle_deg, limits.max_angle_deg, (plan.settings, limits.paddles)
    )
    points = [{"angles_deg": angles} for angles in drawn.round(1).tolist()]
    for point in run.points("settings", points):
        reached_deg = setup.polarization.set_angles_deg(point["angles_deg"])
        run.store("settings", **point, reached_deg=list(reached_deg), **count_states(run, plan, setup.tagger))


def evaluate(data: Data, plan: ReceiverMatrixPlan) -> Evaluation:
    """Fit sender, fibre, paddles and receiver together, and report the receiver."""
    fitted = fit_receiver(data, plan.priors())
    values = fitted.values
    paddles = len(plan.retardances_pi)
    a0, e0, a1, e1, b0, b1, c0, c1, w0, w1, w2 = values[paddles + 5 : paddles + 16]
    weights = [umath.exp(w) for w in (w0, w1, w2, -(w0 + w1 + w2))]
    offsets, contrasts = (b0, b1), (c0, c1)
    cosine = umath.cos(e0) * umath.cos(e1) * umath.cos(a1 - a0) + umath.sin(e0) * umath.sin(e1)
    skewed = umath.acos(cosine) - np.pi / 2
    quantities, remarks = _matrix(weights, offsets, contrasts, skewed), []
    by_basis = [weights[0] + weights[1], weights[2] + weights[3]]
    quantities.append(Quantity.of("basis_split", "1", by_basis[0] / (by_basis[0] + by_basis[1])))
    for basis in (0, 1):
        azimuth, elevation = ((a0, e0), (a1, e1))[basis]
        quantities += [
            Quantity.of("optical_error", "1", (1 - contrasts[basis]) / 2, basis=basis),
            Quantity.of("analyser_offset", "1", offsets[basis], basis=basis),
            Quantity.of("analyser_azimuth", "deg", azimuth * (180 / np.pi), basis=basis),
            Quantity.of("analyser_elevation", "deg", elevation * (180 / np.pi), basis=basis),
        ]
    for detector in range(4):
        basis, bit = divmod(detector, 2)
        channel, sign = detector + 1, 1 - 2 * bit
        fraction = 2 * weights[detector] / by_basis[basis]
        quantities.append(Quantity.of("efficiency_balance", "1", fraction, channel=channel))
        least = (1 + sign * offsets[basis] - contrasts[basis]) / 2
        if least.nominal_value < _CLEAR * least.std_dev:
            bound = max(least.nominal_value, 0.0) + 2 * least.std_dev
            remarks.append(f"channel {channel}: extinction above {-10 * np.log10(bound):.1f} dB")
            continue
        most = (1 + sign * offsets[basis] + contrasts[basis]) / 2
        quantities.append(Quantity.of("extinction_ratio", "dB", to_db(most / least), channel=channel))
    remarks += [
        "states and detectors 0 to 3: H, V, D, A; all entries of the matrix add up to 4",
        "the states of the matrix lie in the plane of both analysers, equally far from theirs",
        "basis_split is the fraction of basis 0 in what is detected; efficiency_balance is over the mean of its basis",
    ]
    return Evaluation(quantities, [fitted.fit], remarks, {"detectors": SETTINGS})


def _matrix(weights: Any, offsets: Any, contrasts: Any, skewed: Any) -> list[Quantity]:
    """Return the sixteen entries; ``skewed``: by how much the angle between the analysers exceeds a right one."""
    own, other = umath.cos(skewed / 2), -umath.sin(skewed / 2)
    entries = {}
    for state in range(4):
        for detector in range(4):
            basis = detector // 2
            along = (own if state // 2 == basis else other) * (1 - 2 * (state % 2))
            signed = offsets[basis] + contrasts[basis] * along
            entries[state, detector] = weights[detector] * (1 + (1 - 2 * (detector % 2)) * signed)
    total = sum(entries.values())
    return [
        Quantity.of("receiver_matrix", "1", 4 * entry / total, state=state, detector=detector)
        for (state, detector), entry in entries.items()
    ]


def draw(figure: Any, record: Record) -> None:
    """Show the matrix, measured clicks over those of the model, and the residuals of every setting."""
    plan = ReceiverMatrixPlan(**record.inputs)
    expected = expected_clicks(Data(record.tables), plan.priors(), record.fit(FORMULA).values)
    clicks = record.tables["settings"]["clicks"]
    residuals = (clicks - expected) / np.sqrt(expected)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.25))
    _draw_matrix(left, record)
    tidy(right, "setting of the paddles", "residual / σ")
    right.axhspan(-2, 2, color="0.93", zorder=0)
    for detector in range(4):
        place = np.arange(len(clicks))[:, None] + 1 + 0.16 * (detector - 1.5) + np.zeros(4)
        right.plot(
            place.ravel(),
            residuals[:, :, detector].ravel(),
            "o",
            markersize=3,
            color=COLOURS[detector],
            label=f"detector {STATES[detector]}",
        )
    right.legend(frameon=False, fontsize=8, ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.09))


def _draw_matrix(axes: Any, record: Record) -> None:
    matrix = np.array(
        [[record.quantity("receiver_matrix", state=s, detector=d).value for d in range(4)] for s in range(4)]
    )
    axes.imshow(matrix, cmap="Blues", vmin=0, vmax=1)
    for state in range(4):
        for detector in range(4):
            entry = record.quantity("receiver_matrix", state=state, detector=detector)
            axes.text(
                detector,
                state,
                f"{entry.value:.4f}\n± {entry.uncertainty:.4f}",
                ha="center",
                va="center",
                fontsize=8,
                color="white" if entry.value > 0.5 else "black",
            )
    axes.set_xticks(range(4), STATES)
    axes.set_yticks(range(4), STATES)
    axes.set_xlabel("detector")
    axes.set_ylabel("state")


CALIBRATION = Calibration(
    name="receiver-matrix",
    title="Receiver: fraction of each state's light that each detector sees",
    method="four states at random settings of the paddles; fibre, paddles and receiver fitted together to all clicks",
    plan=ReceiverMatrixPlan,
    setup=ReceiverSetup,
    measure=measure,
    evaluate=evaluate,
    draw=draw,
    from_node=(modulator_inputs,),
    uses=(transmitter_records.MODULATOR, transmitter_records.POLARIZATION),
)
