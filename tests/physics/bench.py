"""Worlds in which the metro link plays its test pattern, for the tests of the physics."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from qhal.link.modulation import IntensityModulator, PhaseModulator, TransmitterCalibration, waveforms
from qhal.link.pattern import bb84_pattern
from qhal_simulators.physics.scenario_tables import Scenario, load_scenario, parse_scenario
from qhal_simulators.physics.world import World

NAME = "wuhan-metro-link"
PATTERN = bb84_pattern(1)


@cache
def played():
    """The volts of the pattern on each channel, as the generator would play them."""
    table = load_scenario(NAME).transmitter
    intensity = (
        IntensityModulator(part.v0_v, part.vpi_v, part.extinction_db, part.amplifier_gain)
        for part in (table.decoy, table.carver)
    )
    phase = (
        PhaseModulator(part.v0_v, part.vpi_v, part.amplifier_gain)
        for part in (table.polarization, table.randomiser)
    )
    volts = waveforms(PATTERN, TransmitterCalibration(*intensity, *phase))
    return {channel: wave.astype(np.float32) for channel, wave in volts.items()}


def scenario(**changes: dict) -> Scenario:
    """The metro link with entries changed: ``scenario(channel={"length_km": 40.0})``."""
    content = load_scenario(NAME).model_dump(mode="json")
    for table, entries in changes.items():
        content[table] |= entries
    return parse_scenario(content, "changed")


@dataclass
class Link:
    """A world with everything connected; light only where a test turns it on."""

    scenario: Scenario
    seed: int = 1
    name: str = ""

    def __post_init__(self):
        self.world = World(self.scenario, self.seed, self.name)
        self.world.part("switch").port.update(pairs={1: 17})
        self.world.part("voa").port.update(attenuation_db=28.0)
        self.world.part("detectors").port.update(enabled=True, bias_ua=self.scenario.detectors.operating_ua)
        self.tagger, self.readings = self.world.readout.tagger, self.world.readout
        self.readings.recording = True
        self.tagger.update(enabled=(True,) * 4)

    def play(self):
        self.world.part("awg").port.update(running=True, volts=played())
        self.world.part("quantum-laser").port.update(enabled=True, power_dbm=10.0, frequency_thz=194.4)
        return self

    def classical(self, power_dbm, frequency_thz=193.4):
        self.world.part("classical-laser").port.update(
            enabled=True, power_dbm=power_dbm, frequency_thz=frequency_thz
        )
        return self

    def tags(self, duration_s, settle_s=2e-4):
        """Let light arrive, then return the tags of a time: (times, inputs, start, stop)."""
        self.world.advance_to(self.world.now_s + settle_s)
        self.readings.take_tags()
        start = self.readings.clock_ps(self.world.now_s)
        self.world.advance_to(self.world.now_s + duration_s)
        stop = self.readings.clock_ps(self.world.now_s)
        times, inputs = self.readings.take_tags()
        inside = (times >= start) & (times < stop)
        return times[inside], inputs[inside], start, stop

    def truths(self, start_s, stop_s):
        """The log of an interval; asks the world to end what holds now."""
        self.world.part("tagger").port.update()
        return self.world.truth.interval(start_s, stop_s)
