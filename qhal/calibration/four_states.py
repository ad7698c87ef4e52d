"""The sender's four states played in a known pattern, and counted by state and detector."""

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from qhal.calibration.detectors import approach_rate, bias
from qhal.calibration.fit import Array
from qhal.calibration.intensity_ratio import Volts
from qhal.calibration.light import attenuate, bring_up, close
from qhal.calibration.plan import Plan, Positive
from qhal.calibration.run import Run
from qhal.calibration.tags import prepare_inputs, record_tags
from qhal.devices.attenuator import Attenuator
from qhal.devices.detector import Detector
from qhal.devices.pattern_generator import PatternGenerator
from qhal.devices.polarization_controller import PolarizationController
from qhal.devices.source import Source
from qhal.devices.time_tagger import TimeTagger
from qhal.errors import ConfigurationError
from qhal.link.modulation import IntensityModulator, PhaseModulator, TransmitterCalibration, waveforms
from qhal.link.pattern import Intensity, SymbolPattern, bb84_pattern
from qhal.link.sifting import Sifter
from qhal.link.skew import Receiver, estimate_skews_ps
from qhal.link.sync import SymbolClock

CHANNELS = (1, 2, 3, 4)
"""Inputs of the tagger, in the order of the states ``2 * basis + bit``."""
_COUNT_S = 0.2
_SKEW_S = 0.2


class FourStatesPlan(Plan):
    """The pattern, and how bright and how long it is looked at.

    ``pattern_seed``, ``symbols`` and ``fractions`` (of signal, decoy, vacuum): of a BB84 pattern with a symbol each
    ``period_ps``, in ``samples_per_symbol``, played with the ``carver``, ``decoy`` and ``polarization`` modulators as
    they are known; ``vpi_sigma``: relative standard uncertainty of the last one's Vpi. The attenuator opens until all
    detectors together count ``rate_hz``. ``row_s``: of counting at one setting of the paddles; ``window_ps`` lies about
    the pulse; ``hold_off_ps``: time after a click in which a detector may be dead, at least; ``dark_s``: of counting
    without light. ``retardances_pi``: nominal ones of the paddles in the order of the light, known to
    ``retardance_tolerance`` (relative). ``twist_sigma``: how large the twist may be that paddles leave in the fibre
    behind them. ``play_deg``: how exactly a paddle stops (standard deviation). ``power_dbm``, ``bias_ua``: None keeps
    what is set. ``threshold_v``: of the tagger's inputs 1 to 4, which are those of the states.
    """

    pattern_seed: int = 1
    symbols: Annotated[int, Field(ge=1024)] = 16384
    fractions: tuple[float, float, float] = (0.5, 0.25, 0.25)
    period_ps: Positive = 10_000.0
    samples_per_symbol: Annotated[int, Field(ge=4)] = 12
    carver: Volts = Volts()
    decoy: Volts = Volts()
    polarization: Volts = Volts()
    vpi_sigma: Positive = 0.01
    rate_hz: Positive = 1e6
    row_s: Annotated[float, Field(gt=0, le=10)] = 0.5
    window_ps: Positive = 3000.0
    hold_off_ps: Positive = 40_000.0
    dark_s: Positive = 10.0
    retardances_pi: Annotated[tuple[Positive, ...], Field(min_length=2)] = (0.47, 0.94, 0.47)
    retardance_tolerance: Positive = 0.1
    twist_sigma: Positive = 0.05
    play_deg: Positive = 0.25
    power_dbm: float | None = None
    bias_ua: tuple[float, ...] | None = None
    threshold_v: float = 0.2

    @property
    def retardances_rad(self) -> Array:
        """Nominal retardances of the paddles."""
        return np.pi * np.array(self.retardances_pi)

    def pattern(self) -> SymbolPattern:
        """Return the pattern. Raises OutOfRange when the shares of the symbols do not come out even."""
        return bb84_pattern(self.pattern_seed, self.symbols, self.fractions, period_ps=self.period_ps)

    def volts(self) -> dict[int, Array]:
        """Return the waveforms of the generator's channels; the randomiser's changes no polarization."""
        carver, decoy = (
            IntensityModulator(each.v0_v, each.vpi_v, each.extinction_db)
            for each in (self.carver, self.decoy)
        )
        polarization = PhaseModulator(self.polarization.v0_v, self.polarization.vpi_v)
        transmitter = TransmitterCalibration(decoy, carver, polarization, PhaseModulator(0.0, 2.0))
        return dict(waveforms(self.pattern(), transmitter, self.samples_per_symbol))


def check_paddles(retardances_pi: Sequence[float], polarization: PolarizationController) -> None:
    """Raise ConfigurationError when a plan is about another number of paddles."""
    paddles = polarization.capabilities.paddles
    if paddles != len(retardances_pi):
        raise ConfigurationError(
            f"{polarization.device.name} has {paddles} paddles, retardances_pi gives {len(retardances_pi)}"
        )


def light_up(
    run: Run,
    plan: FourStatesPlan,
    source: Source,
    generator: PatternGenerator,
    attenuator: Attenuator,
    detectors: Detector,
    tagger: TimeTagger,
) -> None:
    """Count in the dark, then play the pattern at the wanted rate and measure the detectors' skews.

    Keeps tables ``dark`` and ``light``. Raises what the devices raise, and NotEnoughCounts without pulses.
    """
    prepare_inputs(tagger, plan.threshold_v, CHANNELS)
    source.disable()
    close([attenuator])
    bias(detectors, plan.bias_ua)
    for point in run.points("dark", [{"repetition": 1}]):
        batch = record_tags(tagger, plan.dark_s)
        counts = [batch.counts().get(n, 0) for n in CHANNELS]
        run.keep("dark", **point, counts=counts, live_s=batch.live_time_s())
    generator.play(plan.volts(), plan.samples_per_symbol / plan.period_ps * 1e12)
    bring_up(source, plan.power_dbm, [attenuator])
    if not run.rows("light"):
        dark = run.rows("dark")[0]

        def count() -> tuple[float, float]:
            reading = detectors.read_counts(_COUNT_S)
            return float(sum(reading.counts)), reading.period_s

        dark_hz = sum(dark["counts"]) / dark["live_s"]
        attenuation_db = approach_rate([attenuator], count, plan.rate_hz, dark_hz)
        skews_ps, _ = estimate_skews_ps(record_tags(tagger, _SKEW_S), CHANNELS, plan.period_ps)
        run.keep("light", attenuation_db=attenuation_db, skews_ps=list(skews_ps))
    attenuate(run.rows("light")[0]["attenuation_db"], [attenuator])


def count_states(run: Run, plan: FourStatesPlan, tagger: TimeTagger) -> dict[str, Any]:
    """Return live symbols and their clicks by state and detector, of signal and vacuum, after :func:`light_up`.

    Raises DeviceError when tags are missing, SynchronisationFailed when the pattern is not in them.
    """
    batch = record_tags(tagger, plan.row_s)
    light, pattern = run.rows("light")[0], plan.pattern()
    skews_ps: Any = tuple(light["skews_ps"])
    clock = SymbolClock(pattern, Receiver(CHANNELS, skews_ps), window_ps=plan.window_ps)
    sifter = Sifter(pattern, plan.hold_off_ps)
    sifter.push(clock.push(batch))
    sifter.push(clock.finish())
    counts = sifter.counts()
    return {
        "live": int(counts.live[Intensity.SIGNAL]),
        "clicks": counts.clicks[Intensity.SIGNAL].tolist(),
        "vacuum_live": int(counts.live[Intensity.VACUUM]),
        "vacuum_clicks": counts.clicks[Intensity.VACUUM].tolist(),
        "at_s": tagger.device.clock.now_s(),
    }
