"""Compiles the kernels that a scenario needs, so that a simulation that says it is ready answers at once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numba.core import event

from qhal_simulators.physics.scenario_tables import Scenario
from qhal_simulators.physics.world import World

_TRIAL_S = 1e-4
_POWER_DBM = 10.0
_compiled: set[bool] = set()
"""What this process has run already, by whether there is electronic noise: the one part that a scenario may lack."""


def compile_kernels(scenario: Scenario, report: Callable[[str], None] = lambda text: None) -> None:
    """Compile what the scenario's worlds run, or load it from numba's cache. ``report`` gets lines of progress."""
    needs = scenario.detectors.noise_v > 0
    if needs in _compiled:
        return
    with _reported(report):
        _run_for_trial(next(iter(scenario.by_link().values())))
    _compiled.add(needs)


def _run_for_trial(scenario: Scenario) -> None:
    """Let a world of its own, with all light and all detectors on, run for a moment."""
    world = World(scenario, 0)
    channel, detectors = scenario.channel, scenario.detectors
    volts = np.linspace(-1.0, 1.0, 2 * scenario.transmitter.samples_per_slot, dtype=np.float32)
    world.readout.recording = True
    world.part("tagger").port.update(enabled=(True,) * 4, threshold_v=(0.0,) * 4)
    world.part("detectors").port.update(enabled=True, bias_ua=detectors.operating_ua)
    world.part("switch").port.update(pairs={channel.switch_ingress: channel.switch_egress})
    world.part("voa").port.update(attenuation_db=60.0)
    world.part("awg").port.update(running=True, volts=dict.fromkeys((1, 2, 3, 4), volts))
    world.part("quantum-laser").port.update(
        enabled=True, power_dbm=_POWER_DBM, frequency_thz=scenario.receiver.quantum_frequency_thz
    )
    world.advance_to(world.fibre.delay_s + _TRIAL_S)
    world.readout.take_tags()


class _Progress(event.Listener):
    """Reports the kernels as numba compiles them; what its cache holds is not compiled."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._depth = self.compiled = 0

    def on_start(self, event: Any) -> None:
        if self._depth == 0 and self.compiled == 0:
            self._report("compiling the physics, about 20 s of processor time, only the first time ...")
        self._depth += 1

    def on_end(self, event: Any) -> None:
        self._depth -= 1
        if self._depth == 0:
            self.compiled += 1
            self._report(f"compiled {event.data['dispatcher'].py_func.__name__}")


@contextmanager
def _reported(report: Callable[[str], None]) -> Iterator[None]:
    progress = _Progress(report)
    with event.install_listener("numba:compile", progress):
        yield
    if progress.compiled:
        report("the physics is compiled")
