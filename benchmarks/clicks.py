"""Clicks per second with the physics of the metro link, against a bare sampler and against SeQUeNCe.

The bare sampler draws clicks only, as ours does, but from three intensities through a loss and four ideal
detectors with a dead time and jitter: no pattern, no shape of a pulse, no fibre, no clocks, no background. SeQUeNCe
runs in an environment of its own (``.venv-sequence``) and is left out where that is not installed.
"""

import json
import math
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numba import njit

from benchmarks.runner import Outcome, compare
from qhal.link.modulation import IntensityModulator, PhaseModulator, TransmitterCalibration, waveforms
from qhal.link.pattern import bb84_pattern
from qhal_simulators.physics.scenario_tables import Scenario, load_scenario, parse_scenario
from qhal_simulators.physics.world import World

CLICKS = 1_500_000
SEQUENCE_TIMES = 1000
ROOT = Path(__file__).parents[1]
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@njit(inline="always")
def _mixed(x):
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@njit
def bare_clicks(wanted, transmission, means, shares, period_ps, dead_ps, jitter_ps, seed, out):
    """Jump from candidate to candidate by a geometric law, thin by intensity, choose a detector."""
    chances = 1.0 - (1.0 - 1e-6) * np.exp(-means * transmission)
    most = chances.max()
    jump = 1.0 / math.log1p(-most)
    last = np.full(4, -(1 << 60), np.int64)
    pulse = np.int64(0)
    state = seed
    filled = 0
    while filled < wanted:
        state += _GOLDEN
        uniform = (np.float64(_mixed(state) >> np.uint64(11)) + 0.5) / 9007199254740992.0
        pulse += np.int64(math.log(uniform) * jump) + 1
        sent = _mixed(np.uint64(pulse) * _GOLDEN)
        level = np.float64(sent >> np.uint64(11)) / 9007199254740992.0
        intensity = 0 if level < shares[0] else (1 if level < shares[0] + shares[1] else 2)
        seen = _mixed(sent + state)
        if np.float64(seen >> np.uint64(11)) / 9007199254740992.0 * most >= chances[intensity]:
            continue
        seen = _mixed(seen + _GOLDEN)
        basis, bit = (seen >> np.uint64(2)) & np.uint64(1), sent & np.uint64(1)
        if basis != (sent >> np.uint64(1)) & np.uint64(1):
            bit = (seen >> np.uint64(3)) & np.uint64(1)
        elif np.float64(seen >> np.uint64(11)) / 9007199254740992.0 < 0.012:
            bit ^= np.uint64(1)
        detector = basis << np.uint64(1) | bit
        time_ps = pulse * period_ps
        if time_ps - last[detector] >= dead_ps:
            last[detector] = time_ps
            tagged = time_ps + np.int64(jitter_ps[seen >> np.uint64(52)])
            out[filled] = np.uint64(tagged) << np.uint64(4) | detector
            filled += 1
    return pulse


WHOLE_PHYSICS = {
    "detectors": {
        "afterpulse_probability": 0.05,
        "afterpulse_lifetimes_ns": [1100.0, 2400.0],
        "afterpulse_shares": [0.6, 0.4],
        "recovery_time_ns": 20.0,
        "gate_period_ps": 10_000.0,
        "gate_width_ps": 8000.0,
    },
    "transmitter": {"intensity_noise": 0.02, "spectral_width_nm": 0.02},
    "channel": {"pmd_ps_per_sqrt_km": 0.1, "temperature_swing_k": 1.0},
    "tagger": {"dnl": 0.1},
    "classical": {"others": [{"frequency_thz": 194.0 + 0.1 * n, "power_dbm": -20.0} for n in range(4)]},
}


def metro_world(changes: dict[str, dict[str, object]] | None = None) -> World:
    """Return the metro link, playing, with its classical channel on."""
    content = load_scenario("wuhan-metro-link").model_dump(mode="json")
    for table, entries in (changes or {}).items():
        content[table] |= entries
    scenario = parse_scenario(content, "benchmark")
    world = World(scenario, seed=1)
    pattern = bb84_pattern(1)
    volts = waveforms(pattern, _calibration(scenario))
    world.part("switch").port.update(pairs={1: 17})
    world.part("voa").port.update(attenuation_db=28.0)
    world.part("detectors").port.update(enabled=True, bias_ua=scenario.detectors.operating_ua)
    world.readout.recording = True
    world.part("tagger").port.update(enabled=(True,) * 4)
    world.part("awg").port.update(
        running=True, volts={n: wave.astype(np.float32) for n, wave in volts.items()}
    )
    world.part("quantum-laser").port.update(enabled=True, power_dbm=10.0, frequency_thz=194.4)
    world.part("classical-laser").port.update(enabled=True, power_dbm=6.0, frequency_thz=193.4)
    world.advance_to(0.1)
    return world


def outcomes() -> Iterator[Outcome]:
    yield from _against_bare("clicks with the physics of the metro link / bare sampler", metro_world(), 0.8)
    yield from _against_bare("clicks with the whole physics / bare sampler", metro_world(WHOLE_PHYSICS), 0.5)


def _against_bare(name: str, world: World, bound: float) -> Iterator[Outcome]:
    rate_hz = _clicks_in(world, 0.5) / 0.5
    duration_s = CLICKS / rate_hz
    out = np.zeros(CLICKS, np.uint64)
    jitter_ps = np.random.default_rng(5).normal(0, 21.0, 4096).astype(np.int32)
    means, shares = np.array([0.5, 0.1, 0.0]), np.array([0.5, 0.25, 0.25])

    def ours() -> None:
        world.advance_to(world.now_s + duration_s)
        world.readout.take_tags()

    def bare() -> None:
        bare_clicks(CLICKS, 0.06, means, shares, 10_000, 35_000, jitter_ps, np.uint64(3), out)

    outcome = compare(name, bare, ours, bound, wanted="at least")
    best = min(_timed(ours) for _ in range(3))
    yield Outcome(
        outcome.name,
        outcome.wanted,
        outcome.bound,
        outcome.ratios,
        f"{CLICKS / best / 1e6:.1f} Mclicks/s, {duration_s / best:.1f} times real time",
    )
    if bound == 0.8:
        yield from _against_sequence(duration_s, best)


def _against_sequence(duration_s: float, best_s: float) -> Iterator[Outcome]:
    python = ROOT / ".venv-sequence" / "bin" / "python"
    if not python.exists():
        return
    script = ROOT / "benchmarks" / "sequence_link.py"
    done = subprocess.run([python, script], check=True, capture_output=True, text=True)
    theirs_hz = json.loads(done.stdout.splitlines()[-1])["pulses_per_s"]
    ours_hz = duration_s * 1e8 / best_s
    yield Outcome(
        "pulses per second / SeQUeNCe",
        "at least",
        SEQUENCE_TIMES,
        {"wall best": ours_hz / theirs_hz},
        f"{ours_hz / 1e6:.0f} against {theirs_hz / 1e6:.3f} Mpulses/s",
    )


def _clicks_in(world: World, duration_s: float) -> int:
    before = sum(world.readout.counts())
    world.advance_to(world.now_s + duration_s)
    return sum(world.readout.counts()) - before


def _timed(task) -> float:
    started = time.perf_counter()
    task()
    return time.perf_counter() - started


def _calibration(scenario: Scenario) -> TransmitterCalibration:
    table = scenario.transmitter
    decoy, carver = (
        IntensityModulator(part.v0_v, part.vpi_v, part.extinction_db, part.amplifier_gain)
        for part in (table.decoy, table.carver)
    )
    polarization, randomiser = (
        PhaseModulator(part.v0_v, part.vpi_v, part.amplifier_gain)
        for part in (table.polarization, table.randomiser)
    )
    return TransmitterCalibration(decoy, carver, polarization, randomiser)
