"""Bring a scenario to life: its world, its instruments on their parts, and what the control connection tells of it."""

import base64
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qhal.errors import ConfigurationError
from qhal_simulators.instrument_registry import load, make_unit
from qhal_simulators.physics.expectation import (
    LinkExpectation,
    Weighted,
    background_rates_hz,
    expect_link,
    integrated_raman_hz,
)
from qhal_simulators.physics.kernel_compilation import compile_kernels
from qhal_simulators.physics.ports import Port
from qhal_simulators.physics.scenario_tables import InstrumentTable, Scenario, four, timing_fwhm_ps
from qhal_simulators.physics.slow_grid import needed_grid_s
from qhal_simulators.physics.world import World
from qhal_simulators.servers.control_server import Handler
from qhal_simulators.servers.simulation import Unit
from qhal_simulators.simulated_time import SimulationClock

_FWHM_PER_SIGMA = 2.354820045


def build(
    scenario: Scenario,
    options: dict[str, dict[str, Any]],
    clock: SimulationClock,
    seed: int | None,
    *,
    report: Callable[[str], None] = lambda text: None,
) -> tuple[list[Unit], dict[str, Handler], dict[str, Any]]:
    """Return the units of a scenario, handlers for the control connection, and tables for the node file.

    ``options`` are further simulator options by unit. The physics is compiled when this returns; ``report`` gets lines
    of progress. Raises ConfigurationError.
    """
    name = scenario.name
    if unknown := set(options) - set(scenario.instruments):
        raise ConfigurationError(
            f"{name}: no instrument {', '.join(sorted(unknown))}; there are {', '.join(scenario.instruments)}"
        )
    links = scenario.by_link()
    grid_s = min(
        needed_grid_s(alone) for alone in links.values()
    )  # clocks of one name run alike on all links
    worlds = Worlds({link: World(alone, seed, link, grid_s) for link, alone in links.items()})
    clock.world = worlds
    units = [
        _unit(name, unit, table, options.get(unit, {}), worlds, clock)
        for unit, table in scenario.instruments.items()
    ]
    compile_kernels(scenario, report)
    tables = {
        "paths": {name: path.model_dump(exclude_defaults=True) for name, path in scenario.paths.items()},
        "clock_tree": scenario.clock_tree,
    }
    return units, TruthService(worlds).handlers(), tables


class Worlds:
    """The links of a scenario by name, under one time. A part of one among several is called ``link.part``."""

    def __init__(self, links: dict[str, World]) -> None:
        self._links = links

    @property
    def pace_s(self) -> float:
        """How soon a link wants to go on."""
        return min(world.pace_s for world in self._links.values())

    def advance_to(self, t_s: float) -> None:
        """Let all links go on until ``t_s``."""
        for world in self._links.values():
            world.advance_to(t_s)

    def port(self, part: str) -> Port:
        """Return the port of a part. Raises KeyError for a part that there is not."""
        link, _, name = part.rpartition(".")
        return self._links[link].port(name)

    def link(self, name: str) -> World:
        """Return a link. Raises ValueError naming those that there are."""
        if name not in self._links:
            raise ValueError(f"no link {name!r}; there are {', '.join(map(repr, self._links))}")
        return self._links[name]


def _unit(
    scenario: str,
    name: str,
    table: InstrumentTable,
    options: dict[str, Any],
    worlds: Worlds,
    clock: SimulationClock,
) -> Unit:
    try:
        port = worlds.port(table.part)
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
    """What the world knows and no instrument tells: for checks, over the control connection.

    Where a scenario has several links, a request names one: ``link``.
    """

    def __init__(self, worlds: Worlds) -> None:
        self._worlds = worlds
        self._raman: dict[tuple[str, float, float], float] = {}

    def handlers(self) -> dict[str, Handler]:
        """Return the requests by name."""
        return {
            "datasheet": self._datasheet,
            "expect": self._expect,
            "background": self._background,
            "light-path": self._light_path,
            "receiver": self._receiver,
            "detectors": self._detectors,
        }

    def _datasheet(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return what calibrations and data sheets of the parts say."""
        world = self._world(request)
        scenario = world.scenario
        tables = ("transmitter", "channel", "classical", "receiver", "detectors")
        return {
            "scenario": scenario.name,
            "seed": world.seed,
            **{table: getattr(scenario, table).model_dump() for table in tables},
        }

    def _expect(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return gains and error rates that a perfect analysis finds from ``start_s`` to ``stop_s``.

        ``best_error_rates``: those at the controller's best setting for the fibre as it was at the end.
        """
        world, truths = self._world(request), self._truths(request)
        scenario = world.scenario
        detectors = scenario.detectors
        special = (
            *four(detectors.afterpulse_probability),
            *four(detectors.recovery_time_ns),
            detectors.gate_period_ps,
        )
        if any(special) or scenario.tagger.dnl or scenario.transmitter.intensity_noise:
            raise ValueError(
                "no closed form for detectors with gates or a memory, a tagger with unequal bins, or noisy pulses"
            )
        jitter_s = np.array(timing_fwhm_ps(scenario)) / _FWHM_PER_SIGMA * 1e-12
        rounding_s = world.tagger.resolution_ps * 1e-12 / np.sqrt(12)

        def expect(truths: Weighted) -> LinkExpectation:
            return expect_link(
                truths,
                _bytes(request["intensity"]),
                _bytes(request["states"]),
                float(request["window_s"]),
                scenario.receiver,
                np.hypot(jitter_s, rounding_s),
                self._integrated(request, truths),
            )

        best = expect([(1.0, world.best_aligned(truths[-1][1]))])
        return {**asdict(expect(truths)), "best_error_rates": best.error_rates}

    def _background(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the mean rate of background events of each detector, and the powers behind it."""
        truths = self._truths(request)
        raman_hz = self._integrated(request, truths)
        total_s = sum(duration for duration, _ in truths)

        def mean(values: list[float]) -> float:
            return sum(d * v for (d, _), v in zip(truths, values, strict=True)) / total_s

        return {
            "rates_hz": background_rates_hz(
                truths, self._world(request).scenario.receiver, raman_hz
            ).tolist(),
            "raman_hz": mean(raman_hz),
            "leak_hz": mean([truth.leak_hz for _, truth in truths]),
            "classical_w": mean([truth.classical_w for _, truth in truths]),
            "efficiency": truths[0][1].efficiency.tolist(),
        }

    def _light_path(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return what the light meets now: see :class:`LightPath`. ``ingress``: of the switch's paths that are told."""
        return asdict(self._world(request).light_path(request.get("ingress")))

    def _receiver(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return what the receiver is now.

        ``matrix``: share of the light of a state (row, 2 * basis + bit) prepared at the receiver's input along the
        ideal s1 and s2 that leaves by each output (column). ``fibre``: ``rotation`` without the controller.
        """
        world = self._world(request)
        truth = world.present()
        return {
            "matrix": world.receiver.matrix().tolist(),
            "efficiency": truth.efficiency.tolist(),
            "dark_count_rate_hz": truth.dark_count_rate_hz.tolist(),
            "rotation": truth.rotation.tolist(),
            "fibre": world.fibre.tolist(),
            "retardances_rad": list(world.retardances_rad),
            "stray_hz": truth.raman_hz + truth.leak_hz,
        }

    def _detectors(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return what each detector is now. ``jitter_fwhm_ps``: its own, without the fibre's."""
        world = self._world(request)
        truth, table = world.present(), world.scenario.detectors
        return {
            "efficiency": truth.efficiency.tolist(),
            "dark_count_rate_hz": truth.dark_count_rate_hz.tolist(),
            "latched": list(world.detectors.read_latched()),
            "skew_ps": list(table.skew_ps),
            **{
                name: list(four(getattr(table, name)))
                for name in (
                    "dead_time_ns",
                    "recovery_time_ns",
                    "afterpulse_probability",
                    "jitter_fwhm_ps",
                    "pulse_v",
                )
            },
        }

    def _world(self, request: dict[str, Any]) -> World:
        return self._worlds.link(request.get("link", ""))

    def _truths(self, request: dict[str, Any]) -> Weighted:
        truth = self._world(request).truth
        return truth.interval(float(request["start_s"]), float(request["stop_s"]))

    def _integrated(self, request: dict[str, Any], truths: Weighted) -> list[float]:
        """Return the Raman rate of each truth by integration along the fibre, not by the world's closed form."""
        world = self._world(request)
        frequency = world.classical_laser.frequency_thz
        found = []
        for _, truth in truths:
            key = (request.get("link", ""), truth.classical_w, frequency)
            if key not in self._raman:
                self._raman[key] = integrated_raman_hz(world.scenario, truth, frequency)
            found.append(self._raman[key])
        return found


def _bytes(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(base64.b64decode(text), np.uint8)
