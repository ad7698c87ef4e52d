"""The world behind the simulators: one link, one clock, many instruments.

laser -> modulators -> attenuators -> pad -> switch -> mux (+ classical laser) -> fibre -> demux and filter ->
polarization controller -> passive four-detector receiver -> detectors -> tagger. Instruments hold ports; a
change at the sender acts at the receiver one fibre delay later.
"""

import zlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from qhal_simulators.physics.channel import poincare_rotations
from qhal_simulators.physics.channel.switch_paths import SwitchPaths
from qhal_simulators.physics.light_path import LightPath, light_path
from qhal_simulators.physics.light_units import SPEED_OF_LIGHT_M_PER_S, transmission
from qhal_simulators.physics.oscillator import Oscillator
from qhal_simulators.physics.ports import DetectorPort, PaddlePort, Port, TaggerPort
from qhal_simulators.physics.readout import tagger_bins
from qhal_simulators.physics.readout.click_kernels import Clock, Inputs, bin_guide
from qhal_simulators.physics.readout.click_sampler import Segment, Tags
from qhal_simulators.physics.readout.detector_arrays import detectors_of
from qhal_simulators.physics.readout.tag_drawing import Drawing, Stretch
from qhal_simulators.physics.receiver.detector_bank import DetectorBank
from qhal_simulators.physics.receiver.passive_receiver import Receiver
from qhal_simulators.physics.receiver.pulse_thresholds import Electronics
from qhal_simulators.physics.scenario_tables import Scenario
from qhal_simulators.physics.sender import light_drifts
from qhal_simulators.physics.sender.sender_light import Sender, SenderPorts, SenderState
from qhal_simulators.physics.slow_grid import needed_grid_s
from qhal_simulators.physics.truth_log import Truth, TruthLog

_PACE_S, _IDLE_PACE_S = 0.02, 0.5
_LOGGED_S = 1800.0
KEPT_TAGS = 200_000_000
"""Tags that wait for an instrument before further ones are dropped and counted."""
_SHIELD_K = 40.0
_FIBRE, _WALK, _BINS = 13, 14, 15


class World:
    """One simulated link. Time only goes forward, by ``advance_to``.

    Slow changes come every ``grid_s`` (None: as the scenario says, or needs). What is random depends on ``seed`` and on
    the name of the link, the clocks on ``seed`` and their own names alone.
    """

    def __init__(
        self, scenario: Scenario, seed: int | None = None, link: str = "", grid_s: float | None = None
    ) -> None:
        self.scenario = scenario
        self._grid_s = scenario.world.grid_s or grid_s or needed_grid_s(scenario)
        self._clock_seed = scenario.seed if seed is None else seed
        self.seed = _link_seed(self._clock_seed, link)
        self.now_s = 0.0
        self.truth = TruthLog(round(_LOGGED_S / self._grid_s))
        self.dropped_tags = 0
        channel = scenario.channel
        self.fibre_delay_s = channel.length_km * 1e3 * channel.group_index / SPEED_OF_LIGHT_M_PER_S
        self._sender_clock = self._oscillator(scenario.transmitter.clock, scenario.transmitter.clock_offset)
        self._receiver_clock = self._oscillator(scenario.receiver.clock, scenario.receiver.clock_offset)
        self.receiver = Receiver(scenario.receiver)
        self._fibre = poincare_rotations.random_rotation(np.random.default_rng((self.seed, _FIBRE)))
        self._retardances = tuple(
            share * np.pi for share in poincare_rotations.PADDLE_LOOPS[scenario.receiver.controller_loops]
        )
        self.sender_ports = ports = SenderPorts()
        self.quantum_laser, self.classical_laser = ports.quantum_laser, ports.classical_laser
        self.voa, self.switch, self.awg = ports.voa, ports.switch, ports.awg
        self.paddles = PaddlePort()
        self.detectors = DetectorPort()
        self.tagger = TaggerPort(interpolator_bins=scenario.tagger.interpolator_bins)
        self._bank = DetectorBank(scenario.detectors, self.detectors, scenario.receiver.quantum_frequency_thz)
        self._electronics = Electronics(scenario.detectors, self.detectors, self.tagger)
        self._overflows = 0
        self._incidents = self._planned()
        self.switch_paths = SwitchPaths(channel, self.seed)
        self._sender = Sender(scenario, ports, self.switch_paths)
        self._arriving: deque[tuple[float, SenderState]] = deque()
        self._state = self._sender.state()
        self._grid = 0
        self._detectors = detectors_of(scenario)
        self._drawing = self._new_drawing()
        self._drawn_since_s = np.inf
        self._past: deque[Stretch] = deque()
        self._bin_edges = tagger_bins.edges(
            np.random.default_rng((self.seed, _BINS)), scenario.tagger.interpolator_bins, scenario.tagger.dnl
        )
        self._bin_guide = bin_guide(self._bin_edges)
        self._recorded: list[Tags] = []
        self._recorded_count = 0
        self._wire()
        self._begin(0.0)

    # -- for instruments

    def port(self, name: str) -> Port:
        """Return the port of a part. Raises KeyError for a part that this world does not have."""
        return self._ports[name]

    @property
    def pace_s(self) -> float:
        """After how much wall time a live world is to be moved again."""
        return _PACE_S if self._draws() else _IDLE_PACE_S

    def advance_to(self, t_s: float) -> None:
        """Let the world go on until ``t_s``. Raises ValueError when that is past."""
        if t_s < self.now_s:
            raise ValueError(f"the world is at {self.now_s} s and cannot go back to {t_s} s")
        while True:
            grid_s = (self._grid + 1) * self._grid_s
            arrival_s = self._arriving[0][0] if self._arriving else np.inf
            incident_s = self._incidents[0][0] if self._incidents else np.inf
            next_s = min(grid_s, arrival_s, incident_s)
            if next_s > t_s:
                break
            self._end(next_s)
            if incident_s <= next_s:
                self._incidents.popleft()[1]()
            if arrival_s <= next_s:
                self._state = self._arriving.popleft()[1]
            if grid_s <= next_s:
                self._grid += 1
                self._drift()
            self._begin(next_s)
        if self._draws():
            self._record(self._drawing.advance(t_s))
        self.now_s = t_s

    def best_aligned(self, truth: Truth) -> Truth:
        """Return a truth as it would be at the controller's best angles for this fibre."""
        now = poincare_rotations.paddles(self.paddles.angles_rad, self._retardances)
        fibre = now.T @ truth.rotation
        angles = poincare_rotations.best_angles_rad(
            fibre, self._retardances, directions=self.receiver.directions
        )
        return replace(truth, rotation=poincare_rotations.paddles(angles, self._retardances) @ fibre)

    def light_path(self, ingress: int | None = None) -> LightPath:
        """Return what the light meets now; the switch's paths from ``ingress`` (None: the quantum signal's).

        Raises ValueError for an ingress that the switch does not have.
        """
        return light_path(
            self.scenario, self.sender_ports, self.switch_paths, self._power_at_switch_w(), self._lit, ingress
        )

    def present(self) -> Truth:
        """Return what holds now."""
        return self._truth(self._begun_s, self.now_s)

    @property
    def fibre(self) -> poincare_rotations.Rotation:
        """The rotation from the sender's Stokes vectors to the controller's input now."""
        return self._fibre

    @property
    def retardances_rad(self) -> tuple[float, ...]:
        """The retardances of the controller's paddles."""
        return self._retardances

    # -- the sender's side: acts one fibre delay later

    def _sender_changed(self) -> None:
        self._arriving.append((self.now_s + self.fibre_delay_s, self._sender.state()))

    # -- the receiver's side: acts at once

    def _receiver_changed(self) -> None:
        self._end(self.now_s)
        self._begin(self.now_s)

    def _detectors_changed(self) -> None:
        self._bank.bias_changed()
        self._receiver_changed()

    # -- inside

    def _planned(self) -> deque[tuple[float, Callable[[], None]]]:
        """Return what happens by itself, once each, in order of time."""
        planned = (
            (self.scenario.detectors.latch_at_s, self._bank.latch),
            (self.scenario.tagger.overflow_at_s, self._overflow),
        )
        return deque(
            sorted(((at_s, act) for at_s, act in planned if at_s is not None), key=lambda each: each[0])
        )

    def _overflow(self) -> None:
        self._overflows += self.tagger.recording

    def _oscillator(self, name: str, offset: float | None) -> Oscillator:
        world = self.scenario.world
        seed = (self._clock_seed, zlib.crc32(name.encode()))
        drawn = np.random.default_rng(seed).uniform(-1, 1, 2)
        if offset is None:
            offset = float(drawn[0] * world.clock_offset_range)
        drift_per_s = float(drawn[1] * world.clock_drift_range_per_s)
        return Oscillator(seed, offset, world.clock_allan_1s, self._grid_s, drift_per_s)

    def _cell_s(self) -> float:
        """Return the time at which what changes slowly is taken in this cell of the grid: its middle."""
        return (self._grid + 0.5) * self._grid_s

    def _extra_delay_s(self) -> float:
        """Return how much longer than on average the fibre's delay is at its temperature in this cell of the grid."""
        channel = self.scenario.channel
        per_k = channel.delay_ps_per_km_k * channel.length_km * 1e-12
        turns = self._cell_s() / channel.temperature_period_s
        return per_k * channel.temperature_swing_k * float(np.sin(2 * np.pi * turns))

    def _drift(self) -> None:
        generator = np.random.default_rng((self.seed, _WALK, self._grid))
        correlation_s = self.scenario.channel.polarization_correlation_time_s
        self._fibre = poincare_rotations.walk_step(generator, self._grid_s, correlation_s) @ self._fibre
        if self._sender.drift_to(self._cell_s()):
            begun_s = self._grid * self._grid_s
            self._arriving.append((begun_s + self.fibre_delay_s, self._sender.state()))

    def _end(self, t_s: float) -> None:
        if self._draws():
            self._record(self._drawing.end(t_s))
        self.now_s = t_s
        self.truth.add(self._truth(self._begun_s, t_s))

    def _begin(self, t_s: float) -> None:
        self._begun_s = t_s
        scenario = self.scenario
        self._lit = state = light_drifts.changed(scenario, self._state, self._cell_s())
        rotation = poincare_rotations.paddles(self.paddles.angles_rad, self._retardances) @ self._fibre
        self._rotation = rotation
        stray_hz = state.raman_hz + state.leak_hz
        photon_rate = state.detected_per_light_s * state.pattern.mean_transmission
        blinded = (photon_rate + stray_hz) / 4 > scenario.detectors.blinding_rate_hz
        if blinded and self.detectors.enabled and scenario.detectors.latches:
            self._bank.latch()
        self._efficiency = self._bank.efficiency(state.frequency_thz)
        self._dark_hz = self._bank.dark_count_rate_hz(self._cell_s())
        if blinded:
            self._efficiency, self._dark_hz = np.zeros(4), np.zeros(4)
        weights = self.receiver.split * self._efficiency
        best = float(weights.max())
        started_s = state.started_s + self.fibre_delay_s
        rate = self._sender_clock.rate(self._grid)
        slot_s = state.pattern.slot_s / rate
        elapsed_s = self._sender_clock.reading_s(t_s) - self._sender_clock.reading_s(started_s)
        elapsed_s -= self._extra_delay_s()
        clock_ps, clock_rate = (
            self._receiver_clock.reading_s(t_s) * 1e12,
            self._receiver_clock.rate(self._grid),
        )
        self._thresholds, port = self._electronics.judged(), self.tagger
        self._stretch = Stretch(
            t_s,
            Segment(
                state.pattern,
                state.detected_per_light_s * best,
                self.receiver.analysers(rotation),
                weights / best if best > 0 else np.zeros(4),
                self._dark_hz + stray_hz / 4 * self.receiver.unpolarized() * self._efficiency,
                t_s,
                elapsed_s / state.pattern.slot_s,
                slot_s,
                clock_ps,
                clock_rate,
                state.started_s,
            ),
            Clock(t_s, clock_ps, clock_rate),
            Inputs(
                np.array(port.delay_ps, np.float64) + np.array(scenario.detectors.skew_ps),
                self._thresholds.counted,
                np.where(port.enabled, self._thresholds.passes, 0.0),
                port.resolution_ps,
                self._bin_edges * port.resolution_ps,
                self._bin_guide,
            ),
            self._thresholds,
        )
        if self._drawn_since_s < np.inf:
            self._drawing.go_on(self._stretch)
        self._remember(self._stretch)

    def _draws(self) -> bool:
        """Tell whether clicks are drawn now; begin at this moment of the world when they are wanted from now on."""
        if not (self.tagger.recording or self.tagger.counting or self.detectors.counting):
            self._drawn_since_s = np.inf
            return False
        if self._drawn_since_s == np.inf:
            self._drawn_since_s = self.now_s
            self._drawing.start(self._stretch, self.now_s)
        return True

    def _remember(self, stretch: Stretch) -> None:
        """Keep a stretch, for counts of what was not drawn, as long as the tagger may ask for them."""
        self._past.append(stretch)
        while len(self._past) > 1 and self._past[1].start_s <= stretch.start_s - self.tagger.counts_past_s:
            self._past.popleft()

    def _count_past(self, start_s: float, stop_s: float) -> tuple[int, ...]:
        """Return the tags of each input in a span of the past, drawn now, as they would have been drawn then."""
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

    def _new_drawing(self) -> Drawing:
        return Drawing(self.seed, self._detectors, self.scenario.transmitter.intensity_noise)

    def _truth(self, start_s: float, stop_s: float) -> Truth:
        state = self._lit
        return Truth(
            start_s, stop_s, state.pattern, state.photons_per_light_s, state.detected_per_light_s,
            self._rotation, self._efficiency, self._dark_hz, self._detectors.dead_time_s, state.raman_hz,
            state.leak_hz, state.classical_w, state.attenuation_db, self._stretch.segment.slot_s,
            self._thresholds.passes, self._thresholds.noise_hz,
        )  # fmt: skip

    def _record(self, pieces: Iterator[Tags]) -> None:
        for tags in pieces:
            if not self.tagger.recording:
                continue
            if self._recorded_count > KEPT_TAGS:
                self.dropped_tags += len(tags[0])
                continue
            self._recorded.append(tags)
            self._recorded_count += len(tags[0])

    def _take_tags(self) -> Tags:
        if not self._recorded:
            return np.empty(0, np.int64), np.empty(0, np.uint8)
        times, channels = (np.concatenate(column) for column in zip(*self._recorded, strict=True))
        self._recorded, self._recorded_count = [], 0
        if self._drawing.has_noise:
            # Tags of one moment in an order that does not depend on how time was cut.
            order = np.lexsort((channels, times))
            times, channels = times[order], channels[order]
        elif (times[1:] < times[:-1]).any():
            order = np.argsort(times, kind="stable")
            times, channels = times[order], channels[order]
        return times, channels

    def _power_at_switch_w(self) -> float:
        gain_db = light_drifts.laser_gain_db(self.scenario.transmitter, self._cell_s())
        return self._sender.power_at_switch_w() * transmission(-gain_db)

    def _wire(self) -> None:
        def connect(port: Port, changed: Callable[[], None]) -> Port:
            port.on_change = changed
            return port

        self.detectors.read_clicks = lambda: tuple(self._drawing.clicks.tolist())
        self.detectors.read_latched = lambda: tuple(self._bank.latched)
        self.detectors.read_voltages_v = self._bank.voltages_v
        self.detectors.read_temperatures_k = lambda: (self.scenario.detectors.cold_stage_k, _SHIELD_K)
        self.tagger.read_clicks = lambda: tuple(self._drawing.tags.tolist())
        self.tagger.read_drawn_since_s = lambda: self._drawn_since_s if self._draws() else np.inf
        self.tagger.count_past = self._count_past
        self.tagger.read_overflows = lambda: self._overflows
        self.tagger.take_tags = self._take_tags
        self.tagger.clock_ps = lambda world_s: round(self._receiver_clock.reading_s(world_s) * 1e12)
        self.switch.read_power_dbm = lambda port: self.switch_paths.power_dbm(
            self.switch, port, self._power_at_switch_w()
        )
        self._ports = {
            "quantum-laser": connect(self.quantum_laser, self._sender_changed),
            "classical-laser": connect(self.classical_laser, self._sender_changed),
            "voa": connect(self.voa, self._sender_changed),
            "second-voa": connect(self.sender_ports.second_voa, self._sender_changed),
            "switch": connect(self.switch, self._sender_changed),
            "awg": connect(self.awg, self._sender_changed),
            "polarization": connect(self.paddles, self._receiver_changed),
            "detectors": connect(self.detectors, self._detectors_changed),
            "tagger": connect(self.tagger, self._receiver_changed),
        }


def _link_seed(seed: int, link: str) -> int:
    """Return the seed of a link among several."""
    if not link:
        return seed
    return int(np.random.SeedSequence((seed, zlib.crc32(link.encode()))).generate_state(1, np.uint64)[0])
