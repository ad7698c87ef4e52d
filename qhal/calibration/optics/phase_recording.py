"""The phase of a train of pulses within its period, recorded block by block."""

from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from qhal.calibration.fitting.clock_phase import Phases, block_sums, find_period_ps, phases
from qhal.calibration.framework.plan import CHANNELS, Extent
from qhal.calibration.framework.points import Run
from qhal.calibration.optics.pulse_train import PulseTrainPlan, play_pulses
from qhal.calibration.optics.setups import TransmitterSetup
from qhal.calibration.optics.tag_recording import record_tags
from qhal.records.record import Table

TABLE = "phases"


class PhasePlan(PulseTrainPlan):
    """``recordings`` of ``recording_s`` each, in which the phase is taken every ``block_s``."""

    min_blocks: ClassVar[int] = 10
    recordings: Annotated[int, Field(ge=1)]
    recording_s: Annotated[float, Field(gt=0, le=100)]
    block_s: Annotated[float, Field(ge=1e-3, le=1)]

    @model_validator(mode="after")
    def _has_blocks(self) -> "PhasePlan":
        if self.recording_s < self.min_blocks * self.block_s:
            raise ValueError(f"recording_s must be {self.min_blocks} block_s at least")
        return self

    def extent(self) -> Extent:
        """Return how large the measurement is."""
        blocks = self.recordings * self.recording_s / self.block_s
        tags = CHANNELS * self.rate_hz * self.recording_s
        return Extent(self.recordings, self.recordings * self.recording_s, 3 * CHANNELS * blocks, tags)

    def phases(self, table: Table) -> list[Phases]:
        """Return the phases of each recording."""
        return [phases(row["sums"], float(row["folded_period_ps"]), self.block_s) for row in table.rows()]


def measure_phases(run: Run, plan: PhasePlan, setup: TransmitterSetup) -> None:
    """Record the pulses and keep sums of their phases."""
    play_pulses(run, plan, setup)
    for point in run.points(TABLE, [{"recording": n + 1} for n in range(plan.recordings)]):
        batch = record_tags(setup.tagger, plan.recording_s)
        period_ps = find_period_ps(batch, plan.period_ps)
        sums = block_sums(batch, setup.detectors.capabilities.channels, period_ps, plan.block_s)
        run.store(TABLE, **point, folded_period_ps=period_ps, sums=sums.tolist(), live_s=batch.live_time_s())
