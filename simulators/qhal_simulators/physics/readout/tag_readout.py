"""The read-out of a link: clicks are drawn while an instrument records or counts, and read by tagger and detectors."""

from collections import deque
from collections.abc import Callable, Iterator

import numpy as np

from qhal_simulators.physics.link_clocks import LinkClocks
from qhal_simulators.physics.ports import Port, TaggerSettings
from qhal_simulators.physics.readings import Tags
from qhal_simulators.physics.readout import tagger_bins
from qhal_simulators.physics.readout.click_kernels import Inputs, bin_guide
from qhal_simulators.physics.readout.click_sampler import Segment
from qhal_simulators.physics.readout.detector_arrays import detectors_of
from qhal_simulators.physics.readout.recorded_tags import RecordedTags
from qhal_simulators.physics.readout.tag_drawing import Drawing, Stretch
from qhal_simulators.physics.receiver.detector_bank import DetectorBank
from qhal_simulators.physics.receiver.pulse_thresholds import PulseThresholds, Thresholds
from qhal_simulators.physics.receiver.receiver_side import ReceivedLight, ReceiverSide
from qhal_simulators.physics.scenario_tables import Scenario

_BINS = 15
_SHIELD_K = 40.0


class DetectorReadout:
    """Readings of the detectors' own electronics: see :class:`~qhal_simulators.physics.readings.DetectorReadings`."""

    def __init__(self, bank: DetectorBank, drawing: Drawing, cold_stage_k: float) -> None:
        self.counting = False
        self._bank, self._drawing, self._cold_stage_k = bank, drawing, cold_stage_k

    def counts(self) -> tuple[int, ...]:
        """Return the clicks of each detector that were counted since the start."""
        return tuple(self._drawing.clicks.tolist())

    def voltages_v(self) -> tuple[float, ...]:
        """Return the voltage over each bias line."""
        return self._bank.voltages_v()

    def latched(self) -> tuple[bool, ...]:
        """Return whether each detector is latched."""
        return tuple(self._bank.latched)

    def temperatures_k(self) -> tuple[float, float]:
        """Return the temperatures of the cold stage and of the 40 K stage."""
        return self._cold_stage_k, _SHIELD_K


class TagReadout:
    """The tagger's port and readings: see :class:`~qhal_simulators.physics.readings.TaggerReadings`.

    Draws stretch by stretch. Past stretches are stored as long as the tagger may count in them later.
    """

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        clocks: LinkClocks,
        receiver: ReceiverSide,
        changed: Callable[[], None],
    ) -> None:
        self._scenario, self._seed, self._clocks = scenario, seed, clocks
        self.recording = self.counting = False
        self.counts_past_s = 0.0
        self.interpolator_bins = scenario.tagger.interpolator_bins
        self.tagger = Port(TaggerSettings(), changed)
        self._detector_arrays = detectors_of(scenario)
        self.dead_time_s = self._detector_arrays.dead_time_s
        self._drawing = self._new_drawing()
        self.detectors = DetectorReadout(receiver.bank, self._drawing, scenario.detectors.cold_stage_k)
        self._pulse_thresholds = PulseThresholds(scenario.detectors, receiver.detectors, self.tagger)
        self._bin_edges = tagger_bins.edges(
            np.random.default_rng((seed, _BINS)), self.interpolator_bins, scenario.tagger.dnl
        )
        self._bin_guide = bin_guide(self._bin_edges)
        self._skew_ps = np.array(scenario.detectors.skew_ps)
        self._recorded = RecordedTags()
        self._overflows = 0
        self._drawn_since_s = np.inf
        self._now_s = 0.0
        self._past: deque[Stretch] = deque()

    # -- for the world

    @property
    def thresholds(self) -> Thresholds:
        """Effect of the current thresholds."""
        return self._past[-1].thresholds

    @property
    def slot_s(self) -> float:
        """Length of a slot in the current stretch."""
        return self._past[-1].segment.slots.slot_s

    def draws(self) -> bool:
        """Return whether clicks are drawn; start or stop drawing now if an instrument began or ceased to read."""
        if not (self.recording or self.counting or self.detectors.counting):
            self._drawn_since_s = np.inf
            return False
        if self._drawn_since_s == np.inf:
            self._drawn_since_s = self._now_s
            self._drawing.start(self._past[-1], self._now_s)
        return True

    def advance(self, until_s: float) -> None:
        """Draw within the current stretch."""
        if self.draws():
            self._store(self._drawing.advance(until_s))
        self._now_s = until_s

    def end(self, stop_s: float) -> None:
        """Draw up to the end of the current stretch."""
        if self.draws():
            self._store(self._drawing.end(stop_s))
        self._now_s = stop_s

    def begin(self, start_s: float, received: ReceivedLight, arrived_s: float, extra_delay_s: float) -> None:
        """Begin a stretch. ``arrived_s`` and ``extra_delay_s``: see :meth:`LinkClocks.slots`."""
        light, thresholds = received.light, self._pulse_thresholds.current()
        stretch = Stretch(
            start_s=start_s,
            segment=Segment(
                pattern=light.pattern,
                scale=received.events_per_light_s,
                axes=received.analysers,
                weights=received.weights,
                background_hz=received.background_hz,
                slots=self._clocks.slots(start_s, arrived_s, light.pattern.slot_s, extra_delay_s),
                clock=self._clocks.tagger(start_s),
                played_s=light.started_s,
            ),
            inputs=self._inputs(thresholds),
            thresholds=thresholds,
        )
        if self._drawn_since_s < np.inf:
            self._drawing.go_on(stretch)
        self._past.append(stretch)
        while len(self._past) > 1 and self._past[1].start_s <= start_s - self.counts_past_s:
            self._past.popleft()

    def overflow(self) -> None:
        """Let the buffer of a tagger that records overflow."""
        self._overflows += self.recording

    # -- for the tagger

    def take_tags(self) -> Tags:
        """Return all tags since the last call, ascending."""
        return self._recorded.take(has_noise=self._drawing.has_noise)

    def counts(self) -> tuple[int, ...]:
        """Return the number of tags of each input that were drawn since the start."""
        return tuple(self._drawing.tags.tolist())

    def count_past(self, start_s: float, stop_s: float) -> tuple[int, ...]:
        """Return the number of tags in a past span, drawn now with the result that it would have had then."""
        drawing = self._new_drawing()
        begun = False
        ends_s = [*(stretch.start_s for stretch in self._past), stop_s][1:]
        for stretch, end_s in zip(self._past, ends_s, strict=True):
            until_s = min(stop_s, end_s)
            if until_s <= start_s or stretch.start_s >= stop_s:
                continue
            if begun:
                drawing.go_on(stretch)
            else:
                drawing.start(stretch, max(start_s, stretch.start_s))
            begun = True
            for _ in drawing.advance(until_s) if until_s == stop_s else drawing.end(until_s):
                pass
        return tuple(drawing.tags.tolist())

    def drawn_since_s(self) -> float:
        """Return since when clicks are drawn without a pause; infinite while none are drawn."""
        return self._drawn_since_s if self.draws() else np.inf

    def overflows(self) -> int:
        """Return how often the buffer overflowed since the start."""
        return self._overflows + self._recorded.overflows

    def clock_ps(self, world_s: float) -> int:
        """Return what the tagger's clock reads at a world time."""
        return self._clocks.tagger_ps(world_s)

    # -- inside

    def _inputs(self, thresholds: Thresholds) -> Inputs:
        settings = self.tagger.settings
        return Inputs(
            delay_ps=np.array(settings.delay_ps, np.float64) + self._skew_ps,
            counted=thresholds.counted,
            passes=np.where(settings.enabled, thresholds.passes, 0.0),
            resolution_ps=settings.resolution_ps,
            edges_ps=self._bin_edges * settings.resolution_ps,
            guide=self._bin_guide,
        )

    def _store(self, pieces: Iterator[Tags]) -> None:
        if self.recording:
            self._recorded.add(pieces)
        else:
            for _ in pieces:
                pass

    def _new_drawing(self) -> Drawing:
        return Drawing(self._seed, self._detector_arrays, self._scenario.transmitter.intensity_noise)
