"""The two clocks of a link: the sender's, which times the slots, and the receiver's, which times the tags."""

import zlib

import numpy as np

from qhal_simulators.physics.oscillator import Oscillator
from qhal_simulators.physics.readout.click_kernels import Clock
from qhal_simulators.physics.readout.event_kernels import Slots
from qhal_simulators.physics.scenario_tables import Scenario
from qhal_simulators.physics.slow_grid import SlowGrid


class LinkClocks:
    """Oscillators of sender and receiver. What is random depends on ``seed`` and their own names alone."""

    def __init__(self, scenario: Scenario, seed: int, grid: SlowGrid) -> None:
        self._grid = grid

        def oscillator(name: str, offset: float | None) -> Oscillator:
            world, own_seed = scenario.world, (seed, zlib.crc32(name.encode()))
            drawn = np.random.default_rng(own_seed).uniform(-1, 1, 2)
            if offset is None:
                offset = float(drawn[0] * world.clock_offset_range)
            drift_per_s = float(drawn[1] * world.clock_drift_range_per_s)
            return Oscillator(own_seed, offset, world.clock_allan_1s, grid.step_s, drift_per_s)

        self._sender = oscillator(scenario.transmitter.clock, scenario.transmitter.clock_offset)
        self._receiver = oscillator(scenario.receiver.clock, scenario.receiver.clock_offset)

    def slots(self, at_s: float, arrived_s: float, slot_s: float, extra_delay_s: float) -> Slots:
        """Return when slots arrive, from ``at_s`` on.

        ``arrived_s``: arrival of slot 0 after the mean delay; ``slot_s``: length of a slot by the sender's clock.
        """
        elapsed_s = self._sender.reading_s(at_s) - self._sender.reading_s(arrived_s)
        elapsed_s -= extra_delay_s
        return Slots(at_s, elapsed_s / slot_s, slot_s / self._sender.rate(self._grid.cell))

    def tagger(self, at_s: float) -> Clock:
        """Return the tagger's clock from ``at_s`` on."""
        return Clock(at_s, self._receiver.reading_s(at_s) * 1e12, self._receiver.rate(self._grid.cell))

    def tagger_ps(self, world_s: float) -> int:
        """Return what the tagger's clock reads at a world time."""
        return round(self._receiver.reading_s(world_s) * 1e12)
