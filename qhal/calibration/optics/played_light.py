"""Light with a pattern on counting detectors: dark counts first, then light of a given count rate."""

from collections.abc import Callable, Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from qhal.calibration.framework.plan import Plan, Positive
from qhal.calibration.framework.points import Run
from qhal.calibration.optics.attenuators import close_attenuators, set_total_attenuation, turn_on_source
from qhal.calibration.optics.count_rate import approach_rate, bias_detectors
from qhal.calibration.optics.setups import TransmitterSetup
from qhal.calibration.optics.tag_recording import prepare_inputs, record_tags
from qhal.devices.time_tagger import TimeTagger
from qhal.link.modulation import IntensityModulator, PhaseModulator, TransmitterCalibration

_APPROACH_S = 0.2


class PlayedLightPlan(Plan):
    """How bright the light is, and on what.

    The attenuator opens until the brightest detector counts ``rate_hz`` on average. ``dark_s``: of counting without
    light before. ``power_dbm`` of the source, ``bias_ua`` of the detectors: None keeps what is set. ``threshold_v``: of
    the tagger's inputs, one for each detector, from 1 on.
    """

    rate_hz: Positive = 1e5
    dark_s: Positive = 5.0
    power_dbm: float | None = None
    bias_ua: tuple[float, ...] | None = None
    threshold_v: float = 0.2


class OneOutputPlan(PlayedLightPlan):
    """A modulator on generator output ``channel``; others are at ``held_v`` (constant volts, by channel)."""

    channel: Annotated[int, Field(ge=1)] = 4
    held_v: dict[int, float] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _own(self) -> "OneOutputPlan":
        if self.channel in self.held_v:
            raise ValueError(f"held_v: channel {self.channel} is the modulator's own")
        return self


class Volts(BaseModel):
    """A modulator at the generator's connector, as its calibration finds it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    v0_v: float = 0.0
    vpi_v: Positive = 2.0
    extinction_db: Positive = 30.0


class TransmitterPlan(PlayedLightPlan):
    """Modulators of a transmitter, ``carver``, ``decoy`` and ``polarization``, as they are known."""

    carver: Volts = Volts()
    decoy: Volts = Volts()
    polarization: Volts = Volts()

    def transmitter(self) -> TransmitterCalibration:
        """Return the modulators; the randomiser changes neither intensity nor polarization."""
        carver, decoy = (
            IntensityModulator(each.v0_v, each.vpi_v, each.extinction_db)
            for each in (self.carver, self.decoy)
        )
        polarization = PhaseModulator(self.polarization.v0_v, self.polarization.vpi_v)
        return TransmitterCalibration(decoy, carver, polarization, PhaseModulator(0.0, 2.0))


def prepare_dark(plan: PlayedLightPlan, inputs: Sequence[int], setup: TransmitterSetup) -> None:
    """Turn the light off, the detectors and their inputs of the tagger on."""
    prepare_inputs(setup.tagger, plan.threshold_v, inputs)
    setup.source.disable()
    close_attenuators([setup.attenuator])
    bias_detectors(setup.detectors, plan.bias_ua)


def count_dark(run: Run, plan: PlayedLightPlan, inputs: Sequence[int], tagger: TimeTagger) -> None:
    """Keep the ``counts`` of the inputs and ``live_s`` as table ``dark``, after :func:`prepare_dark`."""
    for point in run.points("dark", [{"repetition": 1}]):
        batch = record_tags(tagger, plan.dark_s)
        found = batch.counts()
        run.store("dark", **point, counts=[found.get(n, 0) for n in inputs], live_s=batch.live_time_s())


def set_count_rate(
    run: Run,
    plan: PlayedLightPlan,
    setup: TransmitterSetup,
    combine: Callable[[Sequence[int]], int] = max,
) -> float:
    """Light the detectors by what the generator plays until they count ``rate_hz``; return the attenuation, dB.

    The rate is that of the brightest one, or what ``combine`` makes of all; dark counts are in the table ``dark``. The
    attenuation is kept in the table ``light``, and a resumed run takes it from there. Raises what devices raise, and
    DeviceError without enough light.
    """
    turn_on_source(setup.source, plan.power_dbm, [setup.attenuator])
    if not run.rows("light"):
        dark = run.rows("dark")[0]

        def count() -> tuple[float, float]:
            reading = setup.detectors.read_counts(_APPROACH_S)
            return combine(reading.counts), reading.period_s

        dark_hz = combine(dark["counts"]) / dark["live_s"]
        run.store("light", attenuation_db=approach_rate([setup.attenuator], count, plan.rate_hz, dark_hz))
    attenuation_db = float(run.rows("light")[0]["attenuation_db"])
    set_total_attenuation(attenuation_db, [setup.attenuator])
    return attenuation_db
