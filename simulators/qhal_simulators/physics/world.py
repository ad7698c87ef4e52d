"""The world behind the simulators: one link, one clock, many instruments.

laser -> modulators -> attenuators -> pad -> switch -> mux (+ classical laser) -> fibre -> demux and filter ->
polarization controller -> passive four-detector receiver -> detectors -> tagger. Sender side, fibre, receiver side and
read-out are objects of their own; the world moves them through time and logs the truth. A change at the sender acts at
the receiver one fibre delay later.
"""

import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from qhal_simulators.physics.channel.fibre import Fibre
from qhal_simulators.physics.light_path import LightPath, light_path
from qhal_simulators.physics.link_clocks import LinkClocks
from qhal_simulators.physics.ports import Part
from qhal_simulators.physics.readout.tag_readout import TagReadout
from qhal_simulators.physics.receiver.receiver_side import ReceiverSide
from qhal_simulators.physics.scenario_tables import Scenario
from qhal_simulators.physics.sender.sender_side import SenderSide
from qhal_simulators.physics.slow_grid import SlowGrid, needed_grid_s
from qhal_simulators.physics.truth_log import Truth, TruthLog

_PACE_S, _IDLE_PACE_S = 0.02, 0.5
_LOGGED_S = 1800.0


class World:
    """One simulated link. Time only goes forward, by ``advance_to``.

    Slow changes come every ``grid_s`` (None: as the scenario says, or needs). What is random depends on ``seed`` and on
    the name of the link, the clocks on ``seed`` and their own names alone.
    """

    def __init__(
        self, scenario: Scenario, seed: int | None = None, link: str = "", grid_s: float | None = None
    ) -> None:
        clock_seed = scenario.seed if seed is None else seed
        self.scenario = scenario
        self.seed = _link_seed(clock_seed, link)
        self.now_s = self._begun_s = 0.0
        self.grid = SlowGrid(scenario.world.grid_s or grid_s or needed_grid_s(scenario))
        self.truth = TruthLog(round(_LOGGED_S / self.grid.step_s))
        self.fibre = Fibre(scenario.channel, self.seed, self.grid)
        clocks = LinkClocks(scenario, clock_seed, self.grid)
        delay_s = self.fibre.delay_s
        self.sender = SenderSide(scenario, self.seed, self.grid, delay_s, self._sender_changed)
        self.receiver = ReceiverSide(scenario, self._receiver_changed)
        self.readout = TagReadout(scenario, self.seed, clocks, self.receiver, self._receiver_changed)
        self._parts = self._parts_by_name()
        self._incidents = self._planned_incidents()
        self._begin(0.0)

    # -- for instruments

    def part(self, name: str) -> Part:
        """Return a part's port and readings. Raises KeyError for a part that this world does not have."""
        return self._parts[name]

    @property
    def pace_s(self) -> float:
        """Wall time after which a live world is to be moved again."""
        return _PACE_S if self.readout.draws() else _IDLE_PACE_S

    def advance_to(self, t_s: float) -> None:
        """Advance world time to ``t_s``. Raises ValueError for a time in the past."""
        if t_s < self.now_s:
            raise ValueError(f"the world is at {self.now_s} s and cannot go back to {t_s} s")
        while (next_s := self._next_change_s()) <= t_s:
            self._end(next_s)
            if self._incidents and self._incidents[0][0] <= next_s:
                self._incidents.popleft()[1]()
            if self.sender.next_arrival_s <= next_s:
                self.sender.arrive()
            if self.grid.stop_s <= next_s:
                self.grid.cell += 1
                self.fibre.walk()
                self.sender.drift()
            self._begin(next_s)
        self.readout.advance(t_s)
        self.now_s = t_s

    # -- for checks

    def present(self) -> Truth:
        """Return the truth since the last change."""
        return self._truth(self._begun_s, self.now_s)

    def best_aligned(self, truth: Truth) -> Truth:
        """Return a truth as it would be at the controller's best angles for this fibre."""
        return replace(truth, rotation=self.receiver.best_rotation(truth.rotation))

    def light_path(self, ingress: int | None = None) -> LightPath:
        """Return the current light path; the switch's paths from ``ingress`` (None: the quantum signal's).

        Raises ValueError for an ingress that the switch does not have.
        """
        return light_path(self.scenario, self.sender, self._received.light, ingress)

    # -- inside

    def _parts_by_name(self) -> dict[str, Part]:
        ports, receiver, readout = self.sender.ports, self.receiver, self.readout
        return {
            "quantum-laser": Part(ports.quantum_laser),
            "classical-laser": Part(ports.classical_laser),
            "voa": Part(ports.voa),
            "second-voa": Part(ports.second_voa),
            "switch": Part(ports.switch, self.sender),
            "awg": Part(ports.awg),
            "polarization": Part(receiver.paddles),
            "detectors": Part(receiver.detectors, readout.detectors),
            "tagger": Part(readout.tagger, readout),
        }

    def _planned_incidents(self) -> deque[tuple[float, Callable[[], None]]]:
        """Return incidents that the scenario plans, in order of time."""
        planned = (
            (self.scenario.detectors.latch_at_s, self.receiver.bank.latch),
            (self.scenario.tagger.overflow_at_s, self.readout.overflow),
        )
        return deque(
            sorted(((at_s, act) for at_s, act in planned if at_s is not None), key=lambda each: each[0])
        )

    def _next_change_s(self) -> float:
        incident_s = self._incidents[0][0] if self._incidents else np.inf
        return min(self.grid.stop_s, self.sender.next_arrival_s, incident_s)

    def _sender_changed(self) -> None:
        self.sender.launch(self.now_s)

    def _receiver_changed(self) -> None:
        self._end(self.now_s)
        self._begin(self.now_s)

    def _end(self, t_s: float) -> None:
        self.readout.end(t_s)
        self.now_s = t_s
        self.truth.add(self._truth(self._begun_s, t_s))

    def _begin(self, t_s: float) -> None:
        self._begun_s = t_s
        light = self.sender.drifted()
        self._received = self.receiver.receive(light, self.fibre.rotation, self.grid.middle_s)
        arrived_s = light.started_s + self.fibre.delay_s
        self.readout.begin(t_s, self._received, arrived_s, self.fibre.extra_delay_s())

    def _truth(self, start_s: float, stop_s: float) -> Truth:
        received, readout = self._received, self.readout
        light, thresholds = received.light, readout.thresholds
        return Truth(
            start_s=start_s,
            stop_s=stop_s,
            pattern=light.pattern,
            photons_per_light_s=light.photons_per_light_s,
            detected_per_light_s=light.detected_per_light_s,
            rotation=received.rotation,
            efficiency=received.efficiency,
            dark_count_rate_hz=received.dark_count_rate_hz,
            dead_time_s=readout.dead_time_s,
            raman_hz=light.raman_hz,
            leak_hz=light.leak_hz,
            classical_w=light.classical_w,
            attenuation_db=light.attenuation_db,
            slot_s=readout.slot_s,
            tagged_fraction=thresholds.passes,
            noise_hz=thresholds.noise_hz,
        )


def _link_seed(seed: int, link: str) -> int:
    """Return the seed of a link among several."""
    if not link:
        return seed
    return int(np.random.SeedSequence((seed, zlib.crc32(link.encode()))).generate_state(1, np.uint64)[0])
