"""The truth about a simulated world over the control connection, for checks."""

import base64
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qhal_simulators.physics.expectation import (
    LinkExpectation,
    Weighted,
    background_rates_hz,
    expect_link,
    integrated_raman_hz,
)
from qhal_simulators.physics.scenario_tables import four, timing_fwhm_ps
from qhal_simulators.physics.world import World
from qhal_simulators.physics.worlds import Worlds
from qhal_simulators.servers.control_server import Handler

_FWHM_PER_SIGMA = 2.354820045


class TruthService:
    """Requests for the truth about the world, which no instrument can read.

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
        """Return the parts' tables, as their data sheets and calibrations have them."""
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
        rounding_s = world.readout.tagger.settings.resolution_ps * 1e-12 / np.sqrt(12)

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
        """Return the light path: see :class:`LightPath`. ``ingress``: start of the switch's paths."""
        return asdict(self._world(request).light_path(request.get("ingress")))

    def _receiver(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the receiver's present properties.

        ``matrix``: fraction of the light of a state (row, 2 * basis + bit) prepared at the receiver's input along the
        ideal s1 and s2 that leaves by each output (column). ``fibre``: ``rotation`` without the controller.
        """
        world = self._world(request)
        truth = world.present()
        return {
            "matrix": world.receiver.optics.matrix().tolist(),
            "efficiency": truth.efficiency.tolist(),
            "dark_count_rate_hz": truth.dark_count_rate_hz.tolist(),
            "rotation": truth.rotation.tolist(),
            "fibre": world.fibre.rotation.tolist(),
            "retardances_rad": list(world.receiver.retardances_rad),
            "stray_hz": truth.raman_hz + truth.leak_hz,
        }

    def _detectors(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return each detector's present properties. ``jitter_fwhm_ps``: its own, without the fibre's."""
        world = self._world(request)
        truth, table = world.present(), world.scenario.detectors
        return {
            "efficiency": truth.efficiency.tolist(),
            "dark_count_rate_hz": truth.dark_count_rate_hz.tolist(),
            "latched": list(world.readout.detectors.latched()),
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
        frequency = world.sender.ports.classical_laser.settings.frequency_thz
        found = []
        for _, truth in truths:
            key = (request.get("link", ""), truth.classical_w, frequency)
            if key not in self._raman:
                self._raman[key] = integrated_raman_hz(world.scenario, truth, frequency)
            found.append(self._raman[key])
        return found


def _bytes(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(base64.b64decode(text), np.uint8)
