"""Steady light on counting detectors, of similar level on each."""

from qhal.calibration.framework.plan import Plan
from qhal.calibration.optics.attenuators import turn_on_source
from qhal.calibration.optics.count_rate import approach_rate, bias_detectors
from qhal.calibration.optics.power import connect_path
from qhal.calibration.optics.setups import TaggedSetup
from qhal.calibration.optics.tag_recording import prepare_inputs
from qhal.devices.detector import Detector
from qhal.devices.polarization_controller import PolarizationController
from qhal.devices.time_tagger import TimeTagger

_COUNT_S = 0.1
_EVEN_ENOUGH = 0.5
"""Least over mean rate that is good enough: all but a third of the polarizations are worse."""
_TRIES = 16
_STRIDES = (0.7548776662466927, 0.5698402909980532, 0.4301597090019468)
"""Fractions of the range by which each paddle moves on: irrational, so that no setting repeats."""


class SteadyLightPlan(Plan):
    """Detectors at ``bias_ua`` (None: as it is set), lit through the switch (if any) from ``ingress`` to ``egress``.

    ``threshold_v``: of the tagger's inputs.
    """

    bias_ua: tuple[float, ...] | None = None
    ingress: int = 1
    egress: int = 17
    threshold_v: float = 0.2


def light_detectors(rate_hz: float, plan: SteadyLightPlan, setup: TaggedSetup) -> float:
    """Light biased detectors until the tagger counts ``rate_hz`` on the mean input; return the attenuation, dB.

    The attenuators are closed before the switch lets light through. With a controller, its paddles are turned until no
    input is much darker than the others, because a receiver that splits by polarization may leave one in the dark.
    Raises what the devices raise.
    """
    prepare_inputs(setup.tagger, plan.threshold_v)
    inputs = setup.tagger.capabilities.channels

    def count() -> tuple[float, float]:
        reading = setup.tagger.read_counts(_COUNT_S)
        return float(sum(reading.counts)), reading.period_s

    turn_on_source(setup.source, None, setup.attenuators)
    if setup.switch is not None:
        connect_path(setup.switch, plan.ingress, plan.egress)
    bias_detectors(setup.detectors, plan.bias_ua)
    total_db = approach_rate(setup.attenuators, count, rate_hz * inputs)
    if setup.polarization is not None:
        balance_channels(setup.polarization, setup.tagger)
    return total_db


def balance_channels(polarization: PolarizationController, counter: TimeTagger | Detector) -> float:
    """Set paddles until all channels count similarly, or to the best of 16 settings; return minimum over mean rate."""
    limits = polarization.capabilities
    found: list[tuple[float, tuple[float, ...]]] = []
    for n in range(_TRIES):
        if n:
            fractions = [(n * _STRIDES[paddle % 3]) % 1.0 for paddle in range(limits.paddles)]
            span_deg = limits.max_angle_deg - limits.min_angle_deg
            polarization.set_angles_deg(
                [limits.min_angle_deg + fraction * span_deg for fraction in fractions]
            )
        counts = counter.read_counts(_COUNT_S).counts
        evenness = min(counts) * len(counts) / max(sum(counts), 1)
        found.append((evenness, polarization.read_angles_deg()))
        if evenness >= _EVEN_ENOUGH:
            return evenness
    best, angles_deg = max(found)
    polarization.set_angles_deg(angles_deg)
    return best
