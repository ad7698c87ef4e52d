"""A simulation that is ready compiles nothing any more: nobody waits for numba behind an open socket."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys, types
sys.path[:0] = {path!r}
from numba.core.dispatcher import Dispatcher
from qhal_simulators.physics.readout import click_kernels, draw_kernels, event_kernels
from qhal_simulators.physics.scenario_tables import load_scenario
from qhal_simulators.scenario_units import build
from qhal_simulators.simulated_time import SimulationClock
from tests.physics.bench import Link, scenario

def signatures():
    return {{
        (module.__name__, name): list(part.signatures)
        for module in (click_kernels, draw_kernels, event_kernels)
        for name, part in vars(module).items() if isinstance(part, Dispatcher)
    }}

made = scenario(detectors={{"noise_v": {noise}, "afterpulse_probability": 0.01}}, tagger={{"dnl": 0.1}})
lines = []
build(made, {{}}, SimulationClock(stepped=True), None, report=lines.append)
before = signatures()
assert any(before.values())
link = Link(made).play().classical(6.0)
link.tagger.update(threshold_v=(0.01,) * 4)
link.world.advance_to(0.02)
assert len(link.readings.take_tags()[0]) > 100
link.readings.detectors.counts()
assert signatures() == before, (before, signatures())
print("compiled", len(lines))
"""


@pytest.mark.timeout(600)  # on a fresh checkout it does compile
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_nothing_is_compiled_after_ready(noise):
    program = PROGRAM.format(path=sys.path, noise=noise)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("compiled")
