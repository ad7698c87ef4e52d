"""The sender's four states played in a known pattern, and counted by state and detector."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from qhal.calibration.fitting.fit import Array
from qhal.calibration.fitting.receiver_fit import ReceiverPriors
from qhal.calibration.framework.calibration import Site
from qhal.calibration.framework.plan import Positive
from qhal.calibration.framework.points import Run
from qhal.calibration.inputs import transmitter_records
from qhal.calibration.optics.played_light import count_dark, prepare_dark, set_count_rate
from qhal.calibration.optics.setups import TransmitterSetup
from qhal.calibration.optics.symbol_pattern import INPUTS, PatternPlan
from qhal.calibration.optics.tag_recording import record_tags
from qhal.devices.time_tagger import TimeTagger
from qhal.link.modulation import POLARIZATION_CHANNEL
from qhal.link.pattern import Intensity
from qhal.link.sifting import Sifter
from qhal.link.skew import Receiver, estimate_skews_ps
from qhal.link.sync import SymbolClock
from qhal.records.record import Record

_SKEW_S = 0.2


class FourStatesPlan(PatternPlan):
    """How bright and how long each state of the pattern is looked at, and what is known of the paddles.

    ``vpi_uncertainty``: relative standard uncertainty of the polarization modulator's Vpi. All detectors together count
    ``rate_hz``, ``row_s`` at one setting of the paddles. ``retardances_pi``: nominal ones of the paddles in the order
    of the light, known to ``retardance_uncertainty`` (relative). ``twist_uncertainty``: how large the twist may be that
    paddles leave in the fibre behind them. ``play_deg``: how exactly a paddle stops (standard deviation).
    """

    vpi_uncertainty: Positive = 0.1
    rate_hz: Positive = 1e6
    row_s: Annotated[float, Field(gt=0, le=10)] = 0.5
    retardances_pi: Annotated[tuple[Positive, ...], Field(min_length=2)] = (0.47, 0.94, 0.47)
    retardance_uncertainty: Positive = 0.1
    twist_uncertainty: Positive = 0.05
    play_deg: Positive = 0.25

    @property
    def retardances_rad(self) -> Array:
        """Nominal retardances of the paddles."""
        return np.pi * np.array(self.retardances_pi)

    def priors(self) -> ReceiverPriors:
        """Return the knowledge before the measurement that a fit of the receiver uses."""
        return ReceiverPriors(
            retardances_rad=self.retardances_rad,
            retardance_uncertainty=self.retardance_uncertainty,
            twist_uncertainty=self.twist_uncertainty,
            vpi_uncertainty=self.vpi_uncertainty,
            play_deg=self.play_deg,
            window_ps=self.window_ps,
        )


def modulator_inputs(site: Site, values: Mapping[str, Any], records: Sequence[Record]) -> dict[str, Any]:
    """Return values of a plan from records of the modulators."""
    found = transmitter_records.modulator_volts(site, values, records)
    for record in records:
        if record.calibration == transmitter_records.POLARIZATION:
            vpi = record.quantity("vpi", channel=POLARIZATION_CHANNEL)
            found["vpi_uncertainty"] = vpi.uncertainty / vpi.value
    return found


def play_states(run: Run, plan: FourStatesPlan, setup: TransmitterSetup) -> None:
    """Count in the dark, then play the pattern at the plan's count rate and measure the detectors' skews.

    Keeps tables ``dark``, ``light`` and ``skews``. Raises what the devices raise, and NotEnoughCounts without pulses.
    """
    prepare_dark(plan, INPUTS, setup)
    count_dark(run, plan, INPUTS, setup.tagger)
    plan.play(setup.generator)
    set_count_rate(run, plan, setup, sum)
    if not run.rows("skews"):
        skews_ps, _ = estimate_skews_ps(record_tags(setup.tagger, _SKEW_S), INPUTS, plan.period_ps)
        run.store("skews", skews_ps=list(skews_ps))


def count_states(run: Run, plan: FourStatesPlan, tagger: TimeTagger) -> dict[str, Any]:
    """Return live symbols and their clicks by state and detector, of signal and vacuum, after :func:`play_states`.

    Raises DeviceError when tags are missing, SynchronisationFailed when the pattern is not in them.
    """
    batch = record_tags(tagger, plan.row_s)
    pattern = plan.pattern()
    skews_ps: Any = tuple(run.rows("skews")[0]["skews_ps"])
    clock = SymbolClock(pattern, Receiver(INPUTS, skews_ps), window_ps=plan.window_ps)
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
