"""Stability of the sender's clock against the receiver's: Allan deviation over averaging times.

The phase of a train of pulses is taken block by block (:mod:`qhal.calibration.fitting.clock_phase`). Overlapping Allan
deviations and their degrees of freedom follow W. J. Riley, Handbook of Frequency Stability Analysis, NIST Special
Publication 1065 (2008). The white frequency noise of the clocks is separated from the noise of the clicks by a fit to
the phases themselves, because the deviations at different times are not independent.
"""

from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from qhal.calibration.figures.style import COLOURS, line, one_axes, points
from qhal.calibration.fitting.clock_phase import Array, Phases, fit_clock
from qhal.calibration.framework.calibration import Calibration
from qhal.calibration.framework.data import Data, Evaluation
from qhal.calibration.inputs import transmitter_records
from qhal.calibration.optics.phase_recording import TABLE, PhasePlan, measure_phases
from qhal.calibration.optics.setups import TransmitterSetup
from qhal.records.record import Quantity, Record
from qhal.records.uncertain import statistical

_LONGEST_SHARE = 4
"""The longest averaging time is this part of a recording; beyond it there are too few differences."""


class ClockStabilityPlan(PhasePlan):
    """``recordings`` of ``recording_s`` each, in which the phase is taken every ``block_s``.

    Averaging times are ``block_s`` times powers of two, up to a quarter of a recording.
    """

    min_blocks: ClassVar[int] = 16
    recordings: Annotated[int, Field(ge=1)] = 4
    recording_s: Annotated[float, Field(gt=0, le=100)] = 10.0
    block_s: Annotated[float, Field(ge=1e-3, le=1)] = 0.05


def evaluate(data: Data, plan: ClockStabilityPlan) -> Evaluation:
    """Fit the white frequency noise, and give the Allan deviation as it was measured."""
    recordings = plan.phases(data[TABLE])
    clock = fit_clock(recordings, plan.period_ps)
    quantities = [Quantity.of("clock_allan_deviation", "1", clock.walk_ps * 1e-12, tau_s=1.0)]
    clicks_ps = _clicks_ps(recordings)
    for m, deviation, freedom in allan_deviations(recordings, clock.walk_ps.nominal_value, clicks_ps):
        measured = statistical(
            "number of differences", deviation * 1e-12, deviation * 1e-12 / np.sqrt(2 * freedom)
        )
        quantities.append(
            Quantity.of("overlapping_allan_deviation", "1", measured, tau_s=round(m * plan.block_s, 9))
        )
    remarks = [
        "clock_allan_deviation: white frequency noise of both clocks together, at 1 s",
        f"overlapping_allan_deviation contains the noise of the clicks, {clicks_ps:.3g} ps in a block",
    ]
    return Evaluation(quantities, [clock.fit], remarks)


def _clicks_ps(recordings: list[Phases]) -> float:
    """Return the root mean square of what the clicks leave uncertain in a block's phase."""
    return float(np.sqrt(np.mean([np.mean(recording.sigma_ps**2) for recording in recordings])))


def allan_deviations(
    recordings: list[Phases], walk_ps: float, clicks_ps: float
) -> list[tuple[int, float, float]]:
    """Return blocks averaged, overlapping Allan deviation (times 1e12) and its equivalent degrees of freedom.

    Those of white frequency noise or of white phase noise (Riley, table 5), whichever is the larger at that time.
    """
    h = recordings[0].block_s
    found = []
    m = 1
    while m <= min(len(recording.delay_ps) for recording in recordings) // _LONGEST_SHARE:
        squares, freedom = [], 0.0
        for recording in recordings:
            x, count = recording.delay_ps, len(recording.delay_ps)
            squares.append((x[2 * m :] - 2 * x[m:-m] + x[: -2 * m]) ** 2)
            if walk_ps**2 / (m * h) > 3 * clicks_ps**2 / (m * h) ** 2:
                freedom += (3 * (count - 1) / (2 * m) - 2 * (count - 2) / count) * 4 * m**2 / (4 * m**2 + 5)
            else:
                freedom += (count + 1) * (count - 2 * m) / (2 * (count - m))
        variance = float(np.concatenate(squares).mean()) / (2 * (m * h) ** 2)
        found.append((m, float(np.sqrt(variance)), freedom))
        m *= 2
    return found


def _expected(tau_s: Array, walk_ps: float, clicks_ps: float, block_s: float) -> Array:
    """Return the Allan deviation that white frequency noise and the clicks make of means over blocks."""
    blocks = tau_s / block_s
    deviation: Array = np.sqrt(walk_ps**2 / tau_s * (1 - 0.5 / blocks) + 3 * clicks_ps**2 / tau_s**2)
    return deviation * 1e-12


def draw(figure: Any, record: Record) -> None:
    """Show the Allan deviation over averaging times, and what the clocks and the clicks have in it."""
    plan = ClockStabilityPlan(**record.inputs)
    axes = one_axes(figure, "averaging time / s", "Allan deviation")
    measured = [q for q in record.quantities if q.name == "overlapping_allan_deviation"]
    tau_s = np.array([q.at["tau_s"] for q in measured])
    points(axes, tau_s, [q.value for q in measured], [q.uncertainty for q in measured], 0, "measured")
    walk = record.quantity("clock_allan_deviation")
    clicks_ps = _clicks_ps(plan.phases(record.tables[TABLE]))
    fine = np.geomspace(tau_s[0], max(tau_s[-1], 1.0), 200)
    both = _expected(fine, walk.value * 1e12, clicks_ps, plan.block_s)
    axes.plot(fine, both, linewidth=4, alpha=0.35, color=COLOURS[0], label="fit, both together")
    line(axes, fine, walk.value / np.sqrt(fine), 1, "clocks: white frequency noise")
    line(axes, fine, np.sqrt(3) * clicks_ps * 1e-12 / fine, 5, "clicks")
    points(axes, [1.0], [walk.value], [walk.uncertainty], 1)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.legend(frameon=False, fontsize=8)


CALIBRATION = Calibration(
    name="clock-stability",
    title="Stability of the sender's clock against the receiver's",
    method="phases of a train of pulses in blocks; white frequency noise; overlapping Allan deviation (NIST SP 1065)",
    plan=ClockStabilityPlan,
    setup=TransmitterSetup,
    measure=measure_phases,
    evaluate=evaluate,
    draw=draw,
    from_node=(transmitter_records.modulator_volts,),
    uses=(transmitter_records.MODULATOR, transmitter_records.POLARIZATION),
)
