"""Bring a scenario to life: its world, its instruments on their parts, and what the control link tells of it."""

import base64
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qhal.errors import ConfigurationError
from qhal_simulators.clock import SimulationClock
from qhal_simulators.physics.expectation import (
    LinkExpectation,
    Weighted,
    background_rates_hz,
    expect_link,
    integrated_raman_hz,
)
from qhal_simulators.physics.scenario import InstrumentTable, load_scenario, timing_fwhm_ps
from qhal_simulators.physics.world import World
from qhal_simulators.registry import load, make_unit
from qhal_simulators.servers.control import Handler
from qhal_simulators.servers.simulation import Unit

_FWHM_PER_SIGMA = 2.354820045


def build(
    name: str, options: dict[str, dict[str, Any]], clock: SimulationClock, seed: int | None
) -> tuple[list[Unit], dict[str, Handler], dict[str, Any]]:
    """Return the units of a scenario, handlers for the control link, and tables for the node file.

    ``options`` are further simulator options by unit. Raises ConfigurationError.
    """
    scenario = load_scenario(name)
    if unknown := set(options) - set(scenario.instruments):
        raise ConfigurationError(
            f"{name}: no instrument {', '.join(sorted(unknown))}; there are {', '.join(scenario.instruments)}"
        )
    world = World(scenario, seed)
    clock.world = world
    units = [
        _unit(name, unit, table, options.get(unit, {}), world, clock)
        for unit, table in scenario.instruments.items()
    ]
    tables = {
        "paths": {name: path.model_dump(exclude_defaults=True) for name, path in scenario.paths.items()},
        "clock_tree": scenario.clock_tree,
    }
    return units, TruthService(world).handlers(), tables


def _unit(
    scenario: str,
    name: str,
    table: InstrumentTable,
    options: dict[str, Any],
    world: World,
    clock: SimulationClock,
) -> Unit:
    try:
        port = world.port(table.part)
    except KeyError as error:
        raise ConfigurationError(f"{scenario}: instruments.{name}: no part {table.part!r}") from error
    needed = load(table.model).port_type
    if not isinstance(port, needed):
        raise ConfigurationError(
            f"{scenario}: instruments.{name}: part {table.part!r} is a {type(port).__name__}, "
            f"a {table.model} needs a {needed.__name__}"
        )
    settings = {**table.options, **options}
    return make_unit(name, table.model, settings, clock, port, driver_options=table.driver_options)


class TruthService:
    """What the world knows and no instrument tells: for checks, over the control link."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._raman: dict[tuple[float, float], float] = {}

    def handlers(self) -> dict[str, Handler]:
        """Return the requests by name."""
        return {"datasheet": self._datasheet, "expect": self._expect, "background": self._background}

    def _datasheet(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return what calibrations and data sheets of the parts say."""
        scenario = self._world.scenario
        tables = ("transmitter", "channel", "classical", "receiver", "detectors")
        return {
            "scenario": scenario.name,
            "seed": self._world.seed,
            **{table: getattr(scenario, table).model_dump() for table in tables},
        }

    def _expect(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return gains and error rates that a perfect analysis finds from ``start_s`` to ``stop_s``.

        ``best_error_rates``: those at the controller's best setting for the fibre as it was at the end.
        """
        truths = self._truths(request)
        scenario = self._world.scenario
        detectors = scenario.detectors
        special = (detectors.afterpulse_probability, detectors.recovery_time_ns, detectors.gate_period_ps)
        if any(special) or scenario.tagger.dnl or scenario.transmitter.intensity_noise:
            raise ValueError(
                "no closed form for detectors with gates or a memory, a tagger with unequal bins, or noisy pulses"
            )
        jitter_s = timing_fwhm_ps(scenario) / _FWHM_PER_SIGMA * 1e-12
        rounding_s = self._world.tagger.resolution_ps * 1e-12 / np.sqrt(12)

        def expect(truths: Weighted) -> LinkExpectation:
            return expect_link(
                truths,
                _bytes(request["intensity"]),
                _bytes(request["states"]),
                float(request["window_s"]),
                scenario.receiver.optical_error,
                float(np.hypot(jitter_s, rounding_s)),
                self._integrated(truths),
            )

        best = expect([(1.0, self._world.best_aligned(truths[-1][1]))])
        return {**asdict(expect(truths)), "best_error_rates": best.error_rates}

    def _background(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the mean rate of background events of each detector, and the powers behind it."""
        truths = self._truths(request)
        raman_hz = self._integrated(truths)
        total_s = sum(duration for duration, _ in truths)

        def mean(values: list[float]) -> float:
            return sum(d * v for (d, _), v in zip(truths, values, strict=True)) / total_s

        return {
            "rates_hz": background_rates_hz(truths, raman_hz).tolist(),
            "raman_hz": mean(raman_hz),
            "leak_hz": mean([truth.leak_hz for _, truth in truths]),
            "classical_w": mean([truth.classical_w for _, truth in truths]),
            "efficiency": truths[0][1].efficiency.tolist(),
        }

    def _truths(self, request: dict[str, Any]) -> Weighted:
        return self._world.truth.interval(float(request["start_s"]), float(request["stop_s"]))

    def _integrated(self, truths: Weighted) -> list[float]:
        """Return the Raman rate of each truth by integration along the fibre, not by the world's closed form."""
        frequency = self._world.classical_laser.frequency_thz
        found = []
        for _, truth in truths:
            key = (truth.classical_w, frequency)
            if key not in self._raman:
                self._raman[key] = integrated_raman_hz(self._world.scenario, truth, frequency)
            found.append(self._raman[key])
        return found


def _bytes(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(base64.b64decode(text), np.uint8)
