"""Light of a known power at a meter, and its photons per second downstream of known attenuators."""

import math
from collections.abc import Sequence
from typing import Annotated, Any, Protocol

import numpy as np
from pydantic import Field
from scipy.constants import h
from uncertainties import UFloat, umath

from qhal.calibration.fitting.fit import Array, fit_values
from qhal.calibration.framework.data import Data
from qhal.calibration.framework.plan import Plan
from qhal.calibration.framework.points import Run
from qhal.calibration.inputs.attenuator_model import attenuator_model
from qhal.calibration.optics.attenuators import (
    close_attenuators,
    set_attenuators,
    split_evenly,
    turn_on_source,
)
from qhal.calibration.optics.power import find_level_dbm, isolate_detectors, noise_db, read_powers_dbm
from qhal.calibration.optics.sources import frequency_thz
from qhal.devices.attenuator import Attenuator
from qhal.devices.detector import Detector
from qhal.devices.optical_switch import OpticalSwitch
from qhal.devices.power_meter import PowerMeter
from qhal.devices.source import Source
from qhal.records.origin import RoleOrigin
from qhal.records.record import Fit
from qhal.records.uncertain import systematic

LEVEL, POWER, ATTENUATORS = "level", "power", "attenuators"
CONSTANT_POWER = "power the same each time"
_NEPERS_PER_DB = math.log(10) / 10
_CLEARLY_DB = 3.0
"""Above the lower end of a meter's range, because a meter may show that end without light."""
_Decibel = Annotated[float, Field(ge=0)]


class BrightPlan(Plan):
    """Light that a meter reads before it is attenuated.

    The attenuators open until channel ``meter_channel`` of the meter reads ``meter_power_dbm``, or fully;
    ``readings`` are taken, ``settle_s`` after a move. ``power_dbm`` of the source None: as it is set.

    Standard uncertainties (k = 1): ``meter_uncertainty_db`` of the meter's scale against the reference that
    ``traceability`` names, ``attenuator_uncertainty_db`` of each set point of an attenuator whose record of
    ``attenuator-curve`` is not given, ``repeatability_db`` of its moves, ``frequency_uncertainty_ghz`` of the light.
    ``meter_resolution_db``: last digit of a reading.
    """

    meter_channel: int = 1
    meter_power_dbm: float = 0.0
    readings: Annotated[int, Field(ge=2)] = 10
    settle_s: _Decibel = 0.1
    power_dbm: float | None = None
    meter_uncertainty_db: _Decibel = 0.05
    meter_resolution_db: _Decibel = 0.01
    attenuator_uncertainty_db: _Decibel = 0.1
    repeatability_db: _Decibel = 0.02
    frequency_uncertainty_ghz: _Decibel = 2.5
    traceability: str = "the power meter's scale, as its data sheet declares it"


class BrightSetup(Protocol):
    """Devices of :func:`measure_bright`."""

    @property
    def source(self) -> Source:
        """The light."""

    @property
    def attenuators(self) -> tuple[Attenuator, ...]:
        """The fitted attenuators, in optical order."""

    @property
    def meter(self) -> PowerMeter:
        """The meter that reads the light before it is attenuated."""

    @property
    def detectors(self) -> Detector | None:
        """Detectors that the light could reach."""

    @property
    def switch(self) -> OpticalSwitch | None:
        """The switch between light and detectors."""


def measure_bright(
    run: Run, plan: BrightPlan, when: str, setup: BrightSetup, ingress: int | None = None
) -> None:
    """Read the power once, with detectors off and the switch (its ``ingress``, or all of it) disconnected.

    The attenuators are closed after it.
    """
    source, attenuators, meter = setup.source, setup.attenuators, setup.meter
    for place in run.points(ATTENUATORS, [{"place": n} for n in range(len(attenuators))]):
        run.store(ATTENUATORS, **place, device=attenuators[place["place"]].device.name)
    for point in run.points(POWER, [{"when": when}]):
        isolate_detectors(setup.detectors, setup.switch, ingress)
        turn_on_source(source, plan.power_dbm, attenuators)
        for level in run.points(LEVEL, [{"channel": plan.meter_channel}]):
            floor_dbm = meter.capabilities.min_power_dbm + _CLEARLY_DB
            found = find_level_dbm(attenuators, meter, plan.meter_channel, floor_dbm, plan.settle_s)
            run.store(LEVEL, **level, level_dbm=found)
        total_db = run.rows(LEVEL)[0]["level_dbm"] - plan.meter_power_dbm
        lowest_db = sum(each.capabilities.min_attenuation_db for each in attenuators)
        set_db = set_attenuators(attenuators, split_evenly(max(total_db, lowest_db), attenuators))
        power_dbm = read_powers_dbm(meter, plan.meter_channel, plan.readings, plan.settle_s)
        run.store(
            POWER, **point, set_db=list(set_db), power_dbm=power_dbm, frequency_thz=frequency_thz(source)
        )
        close_attenuators(attenuators)


class BrightLight:
    """The light at the meter, from all readings. ``fit``: whether the power was the same each time."""

    def __init__(self, data: Data, plan: BrightPlan) -> None:
        table = data[POWER]
        self._known = [
            attenuator_model(data, str(name), plan.attenuator_uncertainty_db, plan.repeatability_db)
            for name in data[ATTENUATORS]["device"]
        ]
        moves_db = [each.repeatability_db for each in self._known]
        noise = noise_db(table["power_dbm"]) / table["power_dbm"].shape[1] ** 0.5
        sigma_db = float(np.sqrt(noise**2 + plan.meter_resolution_db**2 / 12 + np.sum(np.square(moves_db))))
        readings = table["power_dbm"].mean(axis=1)

        def constant(p: Array) -> Array:
            return np.full(len(readings), p[0])

        sigma = np.full(len(readings), max(sigma_db, 1e-6))
        fitted = fit_values(
            "power readings",
            CONSTANT_POWER,
            constant,
            readings,
            sigma,
            {"power_dbm": float(readings.mean())},
        )
        self.fit: Fit = fitted.fit
        scale = systematic("meter scale", 0.0, plan.meter_uncertainty_db, RoleOrigin("meter"))
        frequency = systematic(
            "photon energy", float(table["frequency_thz"].mean()), plan.frequency_uncertainty_ghz * 1e-3
        )
        bright_db: Any = sum(
            known.mean_attenuation_db(float(set_db))
            for known, set_db in zip(self._known, table["set_db"][0], strict=True)
        )
        self._log_rate = (
            umath.log(1e-3 / (h * 1e12 * frequency)) + (fitted.values[0] + scale + bright_db) * _NEPERS_PER_DB
        )

    def log_photon_rate(self, set_db: Sequence[float], loss_db: UFloat | float) -> UFloat:
        """Return the logarithm of the photons per second with the attenuators set to this, and behind a loss."""
        attenuation_db: Any = sum(
            known.attenuation_db(float(each)) for known, each in zip(self._known, set_db, strict=True)
        )
        rate: UFloat = self._log_rate - (attenuation_db + loss_db) * _NEPERS_PER_DB
        return rate
