"""Losses and crosstalk of an optical switch from one ingress, by the power monitors at its ports.

The loss of a path is the level at the ingress less that at the egress. Each path is connected several times: what
comes out differently each time is the switch's repeatability. The crosstalk of a path is by how much less light leaves
its egress while the ingress is connected to another one.
"""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field
from scipy import special
from uncertainties import UFloat

from qhal.calibration.figures.labels import in_unit
from qhal.calibration.figures.style import points, tidy
from qhal.calibration.fitting.fit import Array
from qhal.calibration.framework.calibration import Calibration
from qhal.calibration.framework.data import Data, Evaluation
from qhal.calibration.framework.plan import Extent, Plan
from qhal.calibration.framework.points import Run
from qhal.calibration.framework.setup import Setup
from qhal.calibration.optics.attenuators import close_attenuators, turn_on_source
from qhal.calibration.optics.power import find_level_dbm
from qhal.calibration.optics.setups import fitted
from qhal.devices.attenuator import Attenuator
from qhal.devices.detector import Detector
from qhal.devices.optical_switch import OpticalSwitch
from qhal.devices.power_meter import PowerMeter
from qhal.devices.source import Source
from qhal.errors import ConfigurationError, DeviceError
from qhal.records.origin import RoleOrigin
from qhal.records.record import Fit, Quantity, Record, Table
from qhal.records.uncertain import from_db, statistical, systematic, to_db, uniform

DARK, VISITS = "dark", "visits"
NO_DRIFT = "the losses do not drift over the visits"
SAME_CROSSTALK = "crosstalk does not depend on where the ingress is connected"
_ABOVE_RANGE_DB = 3.0
_ABOVE_DARK_DB = 10.0
_SIGNIFICANT = 3.0
_LEAST_PROBABILITY = 1e-300
_Decibel = Annotated[float, Field(ge=0)]


_MANY_EGRESSES = 16
"""Assumed of a switch whose egresses the plan leaves open."""

METER = RoleOrigin("meter")
"""Origin of the errors of the monitors."""


class SwitchLossPlan(Plan):
    """The paths from ``ingress`` to ``egresses`` (None: all that nothing else is connected to).

    Each path is connected ``repetitions`` times, in a fixed order at random. Then all their monitors are read
    ``readings`` times, ``settle_s`` after the switch. The light at the ingress is at least ``level_dbm``;
    ``power_dbm`` of the source None: as it is set.

    Standard uncertainties: ``scale_uncertainty_db`` of each monitor against the others;
    ``nonlinearity_uncertainty_db_per_10db`` of a level difference. ``resolution_db``: last digit of a reading.
    """

    ingress: int = 1
    egresses: tuple[int, ...] | None = None
    repetitions: Annotated[int, Field(ge=2)] = 10
    readings: Annotated[int, Field(ge=2)] = 4
    settle_s: _Decibel = 0.1
    level_dbm: float = 0.0
    power_dbm: float | None = None
    scale_uncertainty_db: _Decibel = 0.1
    nonlinearity_uncertainty_db_per_10db: _Decibel = 0.02
    resolution_db: _Decibel = 0.01

    def extent(self) -> Extent:
        """Return how large the measurement is."""
        egresses = _MANY_EGRESSES if self.egresses is None else len(self.egresses)
        rows = self.repetitions * egresses
        return Extent(rows, rows * self.settle_s, rows * self.readings * egresses)


@dataclass(frozen=True, kw_only=True)
class SwitchLossSetup(Setup):
    """Devices by role."""

    source: Source
    switch: OpticalSwitch
    meter: PowerMeter
    attenuator: Attenuator | None = None
    second_attenuator: Attenuator | None = None
    detectors: Detector | None = None

    @property
    def attenuators(self) -> tuple[Attenuator, ...]:
        """The fitted attenuators, in optical order."""
        return fitted(self.attenuator, self.second_attenuator)


def measure(run: Run, plan: SwitchLossPlan, setup: SwitchLossSetup) -> None:
    """Read the monitors without light, then with each path connected. Other paths of the switch stay as they are."""
    attenuators = setup.attenuators
    run.refuse_new_clock(VISITS, setup.meter.device.clock.now_s())
    setup.source.disable()
    close_attenuators(attenuators)
    if setup.detectors is not None:
        setup.detectors.disable()
    setup.switch.disconnect(plan.ingress)
    for point in run.points(DARK, [{"ingress": plan.ingress}]):
        egresses = _egresses(plan, setup.switch, setup.meter)
        setup.meter.device.clock.sleep_s(plan.settle_s)
        run.store(
            DARK,
            **point,
            egresses=egresses,
            power_dbm=_read_dbm(setup.meter, egresses),
            **_range(setup.meter),
        )
    egresses = run.rows(DARK)[0]["egresses"]
    turn_on_source(setup.source, plan.power_dbm, attenuators)
    find_level_dbm(attenuators, setup.meter, plan.ingress, plan.level_dbm, plan.settle_s)
    for point in run.points(VISITS, _visits(plan, egresses)):
        setup.switch.disconnect(plan.ingress)
        setup.switch.connect(plan.ingress, point["egress"])
        setup.meter.device.clock.sleep_s(plan.settle_s)
        read = [_read_dbm(setup.meter, [plan.ingress, *egresses]) for _ in range(plan.readings)]
        run.store(
            VISITS,
            **point,
            entering_dbm=[each[0] for each in read],
            leaving_dbm=[each[1:] for each in read],
            at_s=setup.meter.device.clock.now_s(),
        )


def _egresses(plan: SwitchLossPlan, switch: OpticalSwitch, meter: PowerMeter) -> list[int]:
    """Return the egresses to look at. Raises ConfigurationError for one without a monitor, or fewer than two."""
    pattern, monitored = switch.read_pattern(), meter.capabilities.channels
    free = [egress for egress in switch.capabilities.egress if egress not in pattern.values()]
    egresses = free if plan.egresses is None else list(plan.egresses)
    if missing := [port for port in (plan.ingress, *egresses) if port not in monitored]:
        raise ConfigurationError(f"{meter.device.name}: no power monitor at ports {missing}")
    if len(set(egresses)) < 2:
        raise ConfigurationError(f"{switch.device.name}: egresses {egresses}: crosstalk needs two or more")
    return egresses


def _range(meter: PowerMeter) -> dict[str, float]:
    limits = meter.capabilities
    return {"lowest_dbm": limits.min_power_dbm, "highest_dbm": limits.max_power_dbm}


def _read_dbm(meter: PowerMeter, ports: list[int]) -> list[float]:
    """Return the readings of ports; the lower end of the meter's range where it is darker than that."""
    limits, found = meter.capabilities, []
    for port in ports:
        power_dbm = meter.read_power_dbm(port)
        if power_dbm is not None and power_dbm > limits.max_power_dbm:
            raise DeviceError(
                f"{meter.device.name}: {power_dbm:g} dBm at port {port}, more than {limits.max_power_dbm:g}"
            )
        found.append(limits.min_power_dbm if power_dbm is None else power_dbm)
    return found


def _visits(plan: SwitchLossPlan, egresses: list[int]) -> list[dict[str, int]]:
    shuffle = np.random.default_rng(1)  # fixed, so that a resumed run has the same order
    return [
        {"repetition": repetition, "egress": int(egress)}
        for repetition in range(1, plan.repetitions + 1)
        for egress in shuffle.permutation(egresses)
    ]


def evaluate(data: Data, plan: SwitchLossPlan) -> Evaluation:
    """Average the losses of each path over its visits, and its crosstalk over visits of the others."""
    table, ports = data[VISITS], [int(port) for port in data[DARK]["egresses"][0]]
    lost_db = _lost_db(table)
    connected_db, deviations_db = _connected_db(table, ports, lost_db)
    freedom = len(connected_db) - len(ports)
    scatter_db = max(float(np.sqrt((deviations_db**2).sum() / freedom)), plan.resolution_db)
    drift = _drift(table, deviations_db, freedom, plan)
    quantities, fits, remarks = [], [drift], []
    entering = systematic(
        f"scale of the monitor at port {plan.ingress}", 0.0, plan.scale_uncertainty_db, METER
    )
    bent = systematic("non-linearity of the monitors", 0.0, plan.nonlinearity_uncertainty_db_per_10db, METER)
    digit = uniform("resolution of the monitors", 0.0, plan.resolution_db / 2)
    for column, port in enumerate(ports):
        at = {"ingress": plan.ingress, "egress": port}
        own = table["egress"] == port
        mean_db = float(connected_db[own].mean())
        # During a drift, more visits do not predict the next one better.
        sigma_db = scatter_db if drift.poor else scatter_db / float(own.sum()) ** 0.5
        measured = statistical("connecting and reading", mean_db, sigma_db)
        leaving = systematic(f"scale of the monitor at port {port}", 0.0, plan.scale_uncertainty_db, METER)
        loss_db: Any = measured + entering - leaving + bent * mean_db / 10 + digit
        quantities.append(Quantity.of("insertion_loss", "dB", loss_db, **at))
        threshold_dbm = _threshold_dbm(data, column)
        if table["leaving_dbm"][~own, :, column].mean() < threshold_dbm:
            limit_db = table["leaving_dbm"][own, :, column].mean() - threshold_dbm
            remarks.append(
                f"crosstalk from {plan.ingress} to {port}: at least {limit_db:.0f} dB, too dark to be measured"
            )
            continue
        more_db, sigma_db, fit = _crosstalk_db(lost_db[~own, :, column] - mean_db, plan)
        fits.append(fit.model_copy(update={"at": {"egress": port}}))
        found = statistical("reading", more_db, sigma_db) - (measured - mean_db) + bent * more_db / 10 + digit
        found += _stray_db(data, column, float(table["leaving_dbm"][~own, :, column].mean()))
        quantities.append(Quantity.of("crosstalk", "dB", found, **at))
    repeatability, limit_db = _repeatability_db(connected_db, deviations_db, freedom)
    if repeatability is None:
        remarks.append(
            f"the paths repeat to better than {limit_db:.2g} dB, which the monitors do not resolve"
        )
    else:
        quantities.append(Quantity.of("repeatability", "dB", repeatability, ingress=plan.ingress))
    remarks.append("connected again, a path differs from its loss here by the repeatability")
    return Evaluation(quantities, fits, remarks)


def _lost_db(table: Table) -> Array:
    """Return ingress less egress, dB, of each visit, reading and egress."""
    lost: Array = table["entering_dbm"][:, :, None] - table["leaving_dbm"]
    return lost


def _connected_db(table: Table, ports: list[int], lost_db: Array) -> tuple[Array, Array]:
    """Return the losses of the connected paths (visits, readings), and each visit's mean less that of its path."""
    columns = np.array([ports.index(int(port)) for port in table["egress"]])
    connected: Array = lost_db[np.arange(len(columns)), :, columns]
    visits = connected.mean(axis=1)
    means = np.array([visits[columns == column].mean() for column in range(len(ports))])
    deviations: Array = visits - means[columns]
    return connected, deviations


def _threshold_dbm(data: Data, column: int) -> float:
    """Return the level above which a monitor's reading is light from the ingress."""
    dark_dbm, lowest_dbm = data[DARK]["power_dbm"][0][column], data[DARK]["lowest_dbm"][0]
    if dark_dbm <= lowest_dbm:
        return float(lowest_dbm) + _ABOVE_RANGE_DB
    return float(dark_dbm) + _ABOVE_DARK_DB


def _stray_db(data: Data, column: int, leaving_dbm: float) -> Any:
    """Return by how much less light leaves an egress than its monitor reads, because of light from elsewhere.

    A monitor that shows the end of its range without light gives an upper bound only.
    """
    dark_dbm, lowest_dbm = data[DARK]["power_dbm"][0][column], data[DARK]["lowest_dbm"][0]
    fraction = from_db(max(dark_dbm, lowest_dbm) - leaving_dbm)
    known = fraction if dark_dbm > lowest_dbm else uniform("light from elsewhere", fraction / 2, fraction / 2)
    return -to_db(1 - known)


def _crosstalk_db(more_db: Array, plan: SwitchLossPlan) -> tuple[float, float, Fit]:
    """Return mean, its standard uncertainty, and whether visits (rows) differ by more than their readings do."""
    visits, readings = more_db.shape
    within = max(float(more_db.var(axis=1, ddof=1).mean()), plan.resolution_db**2 / 6)
    means = more_db.mean(axis=1)
    spread = float(means.var(ddof=1))
    fit = _of_variances(SAME_CROSSTALK, readings * spread / within, visits - 1, visits * (readings - 1))
    sigma_db = spread**0.5 if fit.poor else (within / more_db.size) ** 0.5
    return float(means.mean()), sigma_db, fit


def _drift(table: Table, deviations_db: Array, freedom: int, plan: SwitchLossPlan) -> Fit:
    """Test whether the losses keep changing in one direction."""
    since_s = table["at_s"] - table["at_s"].mean()
    slope = float((since_s * deviations_db).sum() / (since_s**2).sum())
    left = max(
        float(((deviations_db - slope * since_s) ** 2).sum()) / (freedom - 1), plan.resolution_db**2 / 6
    )
    return _of_variances(NO_DRIFT, slope**2 * float((since_s**2).sum()) / left, 1, freedom - 1)


def _of_variances(model: str, ratio: float, freedom: int, freedom_below: int) -> Fit:
    """Return the test of a ratio of variances (Fisher's F) as the chi2 that is as improbable.

    The noise is not known before; with chi2 itself the test would be too strict.
    """
    probability = max(float(special.fdtrc(freedom, freedom_below, ratio)), _LEAST_PROBABILITY)
    fit = Fit(model=model, chi2=float(special.chdtri(freedom, probability)), degrees_of_freedom=freedom)
    return fit.model_copy(update={"scaled": fit.poor})


def _repeatability_db(connected_db: Array, deviations_db: Array, freedom: int) -> tuple[UFloat | None, float]:
    """Return the standard deviation of a path's loss over connections, without noise; or None and an upper limit."""
    variance = float((deviations_db**2).sum()) / freedom
    of_readings = float(connected_db.var(axis=1, ddof=1).mean()) / connected_db.shape[1]
    own, fraction = variance - of_readings, (2 / freedom) ** 0.5
    within = (2 / (len(connected_db) * (connected_db.shape[1] - 1))) ** 0.5
    sigma = float(np.hypot(variance * fraction, of_readings * within))
    if own <= _SIGNIFICANT * of_readings * float(np.hypot(fraction, within)):
        return None, (max(own, 0.0) + 2 * sigma) ** 0.5
    return statistical("connecting and reading", own**0.5, sigma / (2 * own**0.5)), 0.0


def draw(figure: Any, record: Record) -> None:
    """Show each path's loss with all its visits, and its crosstalk or the limit of it."""
    data, plan = Data(record.tables), SwitchLossPlan(**record.inputs)
    table, ports = data[VISITS], [int(port) for port in data[DARK]["egresses"][0]]
    lost_db = _lost_db(table)
    upper, lower = figure.subplots(2, 1, sharex=True)
    tidy(upper, "", "insertion loss / dB")
    tidy(lower, f"egress, from ingress {plan.ingress}", "crosstalk / dB")
    for column, port in enumerate(ports):
        own = table["egress"] == port
        at = {"ingress": plan.ingress, "egress": port}
        loss = record.quantity("insertion_loss", **at)
        first = column == 0
        points(
            upper, [column], [loss.value], [loss.uncertainty], 0, "mean and its uncertainty" if first else ""
        )
        visits = np.linspace(0.12, 0.42, int(own.sum()))
        upper.plot(
            column + visits,
            lost_db[own, :, column].mean(axis=1),
            ".",
            markersize=3,
            color="0.55",
            label="each time that it was connected" if first else None,
        )
        found = [q for q in record.quantities if q.name == "crosstalk" and q.at == at]
        if found:
            points(lower, [column], [found[0].value], [found[0].uncertainty], 0)
        else:
            limit_db = float(table["leaving_dbm"][own, :, column].mean()) - _threshold_dbm(data, column)
            lower.errorbar([column], [limit_db], [[0], [2.0]], lolims=True, fmt="_", color="0.5")
    for q in record.quantities:
        if q.name == "repeatability":
            upper.set_title(f"repeatability {in_unit(q)}", fontsize=9, loc="right")
    lower.set_xticks(range(len(ports)), [str(port) for port in ports])
    lower.set_title("arrows: at least", fontsize=9, loc="right")
    upper.margins(y=0.3)
    upper.legend(frameon=False, fontsize=8, loc="upper right", ncols=2)


CALIBRATION = Calibration(
    name="switch-loss",
    title="Losses, crosstalk and repeatability of the switch from one ingress",
    method="levels at ingress and egress by the switch's power monitors, each path connected several times",
    plan=SwitchLossPlan,
    setup=SwitchLossSetup,
    measure=measure,
    evaluate=evaluate,
    draw=draw,
)
