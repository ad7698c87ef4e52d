"""The metro link as SeQUeNCe would simulate it; runs in ``.venv-sequence`` and prints pulses per second.

Its light source emits random BB84 states of a mean photon number through 20 km of fibre to its polarization
detector; no protocol runs above it.
"""

import json
import time

import numpy as np
from sequence.components.light_source import LightSource
from sequence.components.optical_channel import QuantumChannel
from sequence.kernel.timeline import Timeline
from sequence.qkd.BB84 import pair_bb84_protocols
from sequence.topology.node import QKDNode
from sequence.utils.encoding import polarization

PULSES = 40_000
RATE_HZ = 100e6
# Signal, decoy and vacuum of the metro link have this mean photon number together.
MEAN_PHOTON_NUMBER = 0.275


def pulses_per_s() -> float:
    timeline = Timeline(1e12)
    alice, bob = QKDNode("alice", timeline, stack_size=1), QKDNode("bob", timeline, stack_size=1)
    alice.set_seed(0)
    bob.set_seed(1)
    channel = QuantumChannel(
        "fibre", timeline, distance=20e3, attenuation=0.0002, polarization_fidelity=0.988, frequency=RATE_HZ
    )
    channel.set_ends(alice, "bob")
    for detector in range(2):
        for name, value in (("efficiency", 0.15), ("dark_count", 100), ("time_resolution", 100)):
            bob.update_detector_params(detector, name, value)
    alice.update_lightsource_params("frequency", RATE_HZ)
    alice.update_lightsource_params("mean_photon_num", MEAN_PHOTON_NUMBER)
    pair_bb84_protocols(alice.protocol_stack[0], bob.protocol_stack[0])
    alice.destination = "bob"
    bob.protocol_stack[0].received_message = lambda *message: None
    timeline.init()
    draw = np.random.default_rng(1)
    bases, bits = draw.integers(0, 2, PULSES), draw.integers(0, 2, PULSES)
    states = [polarization["bases"][basis][bit] for basis, bit in zip(bases, bits, strict=True)]
    source = next(part for part in alice.components.values() if isinstance(part, LightSource))
    started = time.perf_counter()
    source.emit(states)
    timeline.stop_time = int(PULSES / RATE_HZ * 1e12 + 1e9)
    timeline.run()
    return PULSES / (time.perf_counter() - started)


print(json.dumps({"pulses_per_s": max(pulses_per_s() for _ in range(3))}))
