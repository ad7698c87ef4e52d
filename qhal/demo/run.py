"""What the demonstration does, in order, and what it compares."""

import base64
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from qhal.cli.output import CONSOLE, print_json
from qhal.demo.bench import WINDOW_PS, Background, Measurement, MetroLink
from qhal.demo.calibrations import calibrate_on_bench
from qhal.demo.checks import Check, all_passed, verdict
from qhal.demo.compare import alignment_check, link_checks, raman_checks
from qhal.demo.process import SimulatorProcess
from qhal.demo.reported import reported_checks
from qhal.demo.tables import print_results, progress
from qhal.link.decoy import DecoyBounds, Estimate, asymptotic_key_rate, decoy_bounds
from qhal.link.estimates import ClickMatrix
from qhal.link.pattern import Intensity
from qhal.link.polarization import AlignmentResult
from qhal.node.node import open_node
from qhal.records.record import Record
from qhal.records.uncertain import nominal, standard_uncertainty
from qhal.signals import owned
from qhal.transport.control import SimulatorControl

SCENARIO = "wuhan-metro-link"
CLASSICAL_LASER_DBM: tuple[float | None, ...] = (None, 6.0, 12.0)
BACKGROUND_S = 2.0
_SETTLE_S = 0.01
"""Light on its way through the fibre, and switching on, belong to no measurement."""


@dataclass(frozen=True, eq=False)
class State:
    """The link with the classical channel off, or at a power at the multiplexer's input.

    ``classical_laser_dbm``: what its laser reports.
    """

    classical_dbm: float | None
    classical_laser_dbm: float | None
    measurement: Measurement
    background: Background
    expected: dict[str, Any]
    true_background: dict[str, Any]
    bounds: DecoyBounds
    key_rate: Estimate

    @property
    def name(self) -> str:
        """How the state is called in tables and checks."""
        return "classical off" if self.classical_dbm is None else f"classical {self.classical_dbm:+.0f} dBm"


@dataclass(slots=True)
class Results:
    """Everything that the demonstration found."""

    seed: int
    seconds: float
    skews_ps: tuple[int, ...] = ()
    before: ClickMatrix | None = None
    alignment: AlignmentResult | None = None
    states: list[State] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    reported: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Value and standard uncertainty of what rests on records."""
    records: list[Record] = field(default_factory=list)
    timings_s: dict[str, float] = field(default_factory=dict)


def run_demo(seconds: float, seed: int | None, json: bool, report: Path | None) -> bool:
    """Run it, print and write the results; return whether every check is within bounds."""
    started = time.monotonic()
    # Signals are owned all the time, so that the simulators are ended however the demonstration is.
    with owned(), progress() as tell, tempfile.TemporaryDirectory(prefix="qhal-records-") as folder:
        results = measure_link(seconds, seed, tell, Path(folder) if report is None else report / "records")
    results.timings_s["total"] = time.monotonic() - started
    print_results(results)
    if json:
        print_json(record(results))
    if report is not None:
        from qhal.demo.report import write_report

        write_report(results, report)
        CONSOLE.print(f"report: {report / 'report.html'}", highlight=False, markup=False, soft_wrap=True)
    return all_passed(results.checks)


def measure_link(seconds: float, seed: int | None, tell: Callable[[str], None], folder: Path) -> Results:
    """Calibrate, drive the link through its states and compare. ``folder``: where the records are kept."""
    timer = _Timer()
    bench = calibrate_on_bench(folder, seed, tell)
    timer.lap("calibrate on the bench")
    with SimulatorProcess(SCENARIO, seed, tell) as simulator:
        sheet = simulator.control.request("datasheet")
        results = Results(int(sheet["seed"]), seconds, timings_s=timer.laps)
        timer.lap("start the instruments")
        with open_node(simulator.node_file) as node:
            link = MetroLink(node, sheet, bench, folder, tell)
            timer.lap("open the devices")
            link.bring_up()
            results.records = [*bench.records, *(made for _, made in link.modulators.values())]
            results.reported = {
                name: (nominal(value), standard_uncertainty(value))
                for name, value in (
                    ("attenuation_db", link.attenuation_db),
                    ("signal_mean_photon_number", link.mean_photon_number),
                    ("detection_efficiency", bench.mean_efficiency),
                )
            }
            timer.lap("calibrate the modulators, bring the link up")
            results.skews_ps = link.find_skews()
            tell("polarization: fitting the fibre")
            results.alignment, results.before = link.align(results.seed)
            timer.lap("synchronise and align")
            for laser_dbm in CLASSICAL_LASER_DBM:
                state = measure_state(link, simulator.control, laser_dbm, seconds, tell)
                results.states.append(state)
                timer.lap(f"measure, {state.name}")
            results.checks = [
                *(check for state in results.states for check in link_checks(state)),
                alignment_check(
                    results.states[0], link.aligned_s, sheet["channel"]["polarization_correlation_time_s"]
                ),
                *raman_checks(results.states),
                *reported_checks(link, results.states),
            ]
            node.make_safe()
    return results


def measure_state(
    link: MetroLink,
    control: SimulatorControl,
    laser_dbm: float | None,
    seconds: float,
    tell: Callable[[str], None],
) -> State:
    """Count the pattern at a power of the classical laser (None: off), then the background, and compare neither."""
    link.set_classical_power_dbm(laser_dbm)
    pad_db = link.sheet["classical"]["pad_db"]
    classical_dbm = None if laser_dbm is None else laser_dbm - pad_db
    name = "off" if classical_dbm is None else f"{classical_dbm:+.0f} dBm"
    link.node.clock.sleep_s(_SETTLE_S)
    tell(f"classical channel {name}: {seconds:g} s of test pattern")
    measurement = link.measure(name, seconds)
    tell(f"classical channel {name}: background")
    background = link.measure_background(BACKGROUND_S)
    codes = {"intensity": _text(link.pattern.intensity), "states": _text(link.pattern.states)}
    expected = control.request(
        "expect",
        start_s=measurement.start_s,
        stop_s=measurement.stop_s,
        window_s=WINDOW_PS * 1e-12,
        **codes,
    )
    truth = control.request("background", start_s=background.start_s, stop_s=background.stop_s)
    gains = [measurement.counts.gain(level).estimate() for level in Intensity]
    rates = [measurement.counts.qber(level).estimate() for level in Intensity]
    photons = link.pattern.mean_photon_numbers
    signal_fraction = link.pattern.intensity_counts[Intensity.SIGNAL] / len(link.pattern)
    return State(
        classical_dbm,
        link.classical_power_dbm(),
        measurement,
        background,
        expected,
        truth,
        decoy_bounds(photons, gains, rates),
        asymptotic_key_rate(
            photons,
            gains,
            rates,
            symbol_rate_hz=1e12 / link.pattern.period_ps,
            signal_fraction=signal_fraction,
        ),
    )


def record(results: Results) -> dict[str, Any]:
    """Return what ``--json`` writes."""
    return {
        "scenario": SCENARIO,
        "seed": results.seed,
        "seconds": results.seconds,
        "note": "test pattern, no key is made",
        "checks": [check.record() for check in results.checks],
        "passed": all_passed(results.checks),
        "verdict": verdict(results.checks),
        "reported": results.reported,
        "records": [each.id for each in results.records],
        "timings_s": results.timings_s,
    }


def _text(codes: "np.typing.NDArray[np.uint8]") -> str:
    return base64.b64encode(np.ascontiguousarray(codes, np.uint8).tobytes()).decode()


class _Timer:
    """Wall seconds by step."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        """Note the time since the last step."""
        now = time.monotonic()
        self.laps[name], self._last = now - self._last, now
