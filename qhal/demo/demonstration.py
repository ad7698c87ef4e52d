"""The demonstration in order: calibrate, bring the link up, align, measure in three states, compare."""

import base64
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qhal.demo.demo_records import calibrate_on_bench
from qhal.demo.metro_link import MetroLink
from qhal.demo.reported_checks import reported_checks
from qhal.demo.results import SCENARIO, Results, State
from qhal.demo.simulator_process import SimulatorProcess
from qhal.demo.truth_checks import alignment_check, link_checks, raman_checks
from qhal.link.decoy import asymptotic_key_rate, decoy_bounds
from qhal.link.intensities import Intensities
from qhal.link.pattern import Intensity
from qhal.node.node import open_node
from qhal.records.uncertain import nominal, standard_uncertainty
from qhal.transport.control import SimulatorControl

CLASSICAL_LASER_DBM: tuple[float | None, ...] = (None, 6.0, 12.0)
NOISE_S = 2.0
_SETTLE_S = 0.01
"""Light on its way through the fibre, and switching on, belong to no measurement."""


def demonstrate(seconds: float, seed: int | None, announce: Callable[[str], None], folder: Path) -> Results:
    """Calibrate, drive the link through its states and compare.

    Parameters
    ----------
    seconds
        Time of the tagger in each state.
    seed
        Seed of the simulated world; None: the scenario's.
    announce
        Receives a line of text about each step.
    folder
        Folder for the calibration records.
    """
    timer = _Timer()
    bench = calibrate_on_bench(folder, seed, announce)
    timer.lap("calibrate on the bench")
    with SimulatorProcess(SCENARIO, seed, announce) as simulator:
        sheet = simulator.control.request("datasheet")
        timer.lap("start the instruments")
        with open_node(simulator.node_file) as node:
            link = MetroLink(node=node, sheet=sheet, bench=bench, folder=folder, announce=announce)
            timer.lap("open the devices")
            link.bring_up()
            timer.lap("calibrate the modulators, bring the link up")
            skews_ps = link.session.measure_skews()
            announce("polarization: fitting the fibre")
            alignment, before = link.session.align(seed=int(sheet["seed"]))
            timer.lap("synchronise and align")
            states = []
            for laser_dbm in CLASSICAL_LASER_DBM:
                states.append(measure_state(link, simulator.control, laser_dbm, seconds, announce))
                timer.lap(f"measure, {states[-1].name}")
            correlation_time_s = sheet["channel"]["polarization_correlation_time_s"]
            checks = [
                *(check for state in states for check in link_checks(state)),
                alignment_check(states[0], link.session.aligned_s, correlation_time_s),
                *raman_checks(states),
                *reported_checks(link, states),
            ]
            node.make_safe()
    reported = {
        "attenuation_db": link.photon_number.attenuation_db,
        "signal_mean_photon_number": link.photon_number.mean_photon_number,
        "detection_efficiency": bench.mean_efficiency,
    }
    return Results(
        seed=int(sheet["seed"]),
        seconds=seconds,
        window_ps=link.session.settings.window_ps,
        skews_ps=skews_ps,
        before_alignment=before,
        alignment=alignment,
        states=states,
        checks=checks,
        reported={name: (nominal(value), standard_uncertainty(value)) for name, value in reported.items()},
        records=[*bench.records, *(record for _, record in link.modulators.values())],
        timings_s=timer.laps,
    )


def measure_state(
    link: MetroLink,
    control: SimulatorControl,
    laser_dbm: float | None,
    seconds: float,
    announce: Callable[[str], None],
) -> State:
    """Count the pattern at a power of the classical laser (None: off), then the noise; read the truth of both."""
    link.set_classical_power_dbm(laser_dbm)
    classical_dbm = None if laser_dbm is None else laser_dbm - link.sheet["classical"]["pad_db"]
    name = "off" if classical_dbm is None else f"{classical_dbm:+.0f} dBm"
    link.node.clock.sleep_s(_SETTLE_S)
    announce(f"classical channel {name}: {seconds:g} s of test pattern")
    measurement = link.session.measure(seconds)
    announce(f"classical channel {name}: noise")
    noise = link.session.measure_noise(NOISE_S)
    pattern, counts = link.session.pattern, measurement.pattern.counts
    expected = control.request(
        "expect",
        start_s=measurement.start_s,
        stop_s=measurement.stop_s,
        window_s=link.session.settings.window_ps * 1e-12,
        intensity=_text(pattern.intensity),
        states=_text(pattern.states),
    )
    true_noise = control.request("background", start_s=noise.start_s, stop_s=noise.stop_s)
    gains, rates = counts.gains(), counts.error_rates()
    signal = link.photon_number.mean_photon_number
    photons = Intensities(
        *(signal * (mean / pattern.mean_photon_numbers[0]) for mean in pattern.mean_photon_numbers)
    )
    return State(
        classical_dbm=classical_dbm,
        classical_laser_dbm=link.classical_power_dbm(),
        measurement=measurement,
        noise=noise,
        expected=expected,
        true_noise=true_noise,
        bounds=decoy_bounds(photons, gains, rates),
        key_rate=asymptotic_key_rate(
            photons,
            gains,
            rates,
            symbol_rate_hz=1e12 / pattern.period_ps,
            signal_fraction=pattern.intensity_counts[Intensity.SIGNAL] / len(pattern),
        ),
    )


def _text(codes: NDArray[np.uint8]) -> str:
    return base64.b64encode(np.ascontiguousarray(codes, np.uint8).tobytes()).decode()


class _Timer:
    """Wall seconds by step."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        """Store the time since the last step."""
        now = time.monotonic()
        self.laps[name], self._last = now - self._last, now
