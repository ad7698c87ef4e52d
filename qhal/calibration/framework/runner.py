"""Carry a calibration out: remember, measure, restore, evaluate, keep."""

import getpass
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from pydantic import ValidationError
from pydantic_core import to_jsonable_python

import qhal
from qhal.calibration.framework.data import Data, Evaluation
from qhal.calibration.framework.device_state import AS_BEFORE, NotRestored, Restoring
from qhal.calibration.framework.journal import SUFFIX, Journal
from qhal.calibration.framework.plan import Plan, stored_values
from qhal.calibration.framework.points import ProgressCallback, Run, ignore_progress
from qhal.calibration.framework.setup import Setup
from qhal.calibration.framework.suitability import check_suitability
from qhal.devices.detector import Detector, DetectorState
from qhal.devices.interface import Interface
from qhal.errors import ConfigurationError, DataError, DeviceError, InvalidRecord, QhalError
from qhal.records.record import Instrument, PathPart, Record, Validity, utc_text
from qhal.records.shared import correlation
from qhal.records.store import RecordStore
from qhal.signals import deliver, owned
from qhal.transport.connection import ConnectionState

PlanType = TypeVar("PlanType", bound=Plan)
SetupType = TypeVar("SetupType", bound=Setup)


@dataclass(frozen=True)
class Calibration(Generic[PlanType, SetupType]):
    """One calibration.

    ``measure(run, plan, setup)`` drives the devices of the setup and stores rows, ``evaluate(data, plan)`` makes
    quantities of the rows, ``draw(figure, record)`` draws a record.

    ``method``: the model and its source. ``uses``: calibrations whose records the evaluation or ``from_node`` can use.
    ``from_node``: functions of ``(site, values, records)`` that return values of the plan from the node file's path and
    from records, beside the values that are given. ``allows_latching``: a detector may latch; otherwise a row during
    which one latched is discarded. ``retains``: roles that stay as ``measure`` left them after a good end, because
    their settings are the result.
    """

    name: str
    title: str
    method: str
    plan: type[PlanType]
    setup: type[SetupType]
    measure: Callable[[Run, PlanType, SetupType], None]
    evaluate: Callable[[Data, PlanType], Evaluation]
    draw: Callable[[Any, Record], None]
    uses: tuple[str, ...] = ()
    allows_latching: bool = False
    retains: tuple[str, ...] = ()
    from_node: "tuple[Callable[[Site, Mapping[str, Any], Sequence[Record]], dict[str, Any]], ...]" = ()

    def plan_at(self, site: "Site", values: Mapping[str, Any], records: Sequence[Record] = ()) -> PlanType:
        """Return the plan of these values and, for what they do not say, of the node file and the records.

        Raises ConfigurationError naming what is wrong or missing, and what there is; InvalidRecord.
        """
        self.check_values(values)
        found: dict[str, Any] = {}
        for values_of in self.from_node:
            found |= values_of(site, values, records)
        try:
            return self.plan(**stored_values({**found, **values}))
        except ValidationError as error:
            raise self._wrong(error.errors()[0]) from error

    def check_values(self, values: Mapping[str, Any]) -> None:
        """Raise ConfigurationError for a value that no plan takes; what is missing may stand in a node file."""
        try:
            self.plan(**values)
        except ValidationError as error:
            for details in error.errors():
                if details["type"] != "missing" or len(details["loc"]) > 1:
                    raise self._wrong(details) from error

    def _wrong(self, details: Any) -> ConfigurationError:
        key = "".join(f"{part}: " for part in (self.name, ".".join(map(str, details["loc"]))) if part)
        if details["type"] == "extra_forbidden":
            known = ", ".join(self.plan.model_fields)
            return ConfigurationError(f"{key}no such parameter; it takes {known}")
        if details["type"] == "missing":
            return ConfigurationError(f"{key}it is needed")
        message = details.get("ctx", {}).get("error", details["msg"])
        return ConfigurationError(
            f"{key}{message}, not {_shown(details['input'])}" if details["loc"] else f"{key}{message}"
        )

    @property
    def roles(self) -> dict[str, tuple[type[Interface], bool]]:
        """The interface of each role, and whether the role can be left out."""
        return self.setup.roles()


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


@dataclass(frozen=True, slots=True)
class Site:
    """Where it is done, as a node file says: the node's name, and the optical path that a result rests on."""

    node: str = ""
    path_name: str = ""
    path: tuple[PathPart, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    """Name of the device in the node, by role."""


def calibrate(
    calibration: Calibration[PlanType, Any] | ModuleType,
    devices: Mapping[str, Interface],
    plan: PlanType | None = None,
    *,
    folder: str | Path = "records",
    operator: str | None = None,
    site: Site | None = None,
    records: Sequence[Record] = (),
    on_progress: ProgressCallback = ignore_progress,
    resume: str | Path | None = None,
) -> Record:
    """Carry out a calibration with open devices, by role, and return its record, which is in ``folder`` then.

    What the devices were set to is restored, but for roles that it ``retains``; when it does not end well (Ctrl-C, a
    lost device), light and bias stay off, and what was measured is kept in a journal in ``folder``, from which
    ``resume`` goes on. ``records``: results of other calibrations to use. ``site``: which node, path and device names
    the record is for.

    Raises ConfigurationError for wrong roles, plans and journals (then nothing was sent), what devices raise, what the
    evaluation raises, and NotRestored when it ended well but not everything could be restored (the record is kept).
    SIGTERM and SIGHUP end it as Ctrl-C does, by :class:`qhal.signals.Terminated`. Signals that come while devices are
    restored after it ended well are raised at the end (the record is kept).
    """
    if isinstance(calibration, ModuleType):
        calibration = calibration.CALIBRATION
    assert isinstance(calibration, Calibration)
    with owned():
        return _calibrate(
            calibration, devices, plan, Path(folder), operator, site or Site(), records, on_progress, resume
        )


def _calibrate(
    calibration: Calibration[PlanType, Any],
    devices: Mapping[str, Interface],
    plan: PlanType | None,
    folder: Path,
    operator: str | None,
    site: Site,
    records: Sequence[Record],
    on_progress: ProgressCallback,
    resume: str | Path | None,
) -> Record:
    plan = plan or calibration.plan_at(site, {}, records)
    _check_roles(calibration, devices)
    check_suitability(calibration.name, plan, devices)
    started = datetime.now(UTC)
    instruments = tuple(_instrument(role, kind, site) for role, kind in devices.items())
    journal, started = _journal(calibration, plan, instruments, folder, started, resume)
    guard = partial(_refuse_latched, [] if calibration.allows_latching else list(devices.values()))
    run = Run(journal, on_progress, guard)
    retained = [devices[role] for role in calibration.retains if role in devices]
    restoring = Restoring(devices, retained)
    not_restored: NotRestored | None = None
    try:
        try:
            with restoring:
                try:
                    calibration.measure(run, plan, calibration.setup(**devices))
                    # What the result rests on is how they were set then, not before or after.
                    instruments = tuple(_instrument(role, kind, site) for role, kind in devices.items())
                except QhalError as error:
                    guard(error)  # a latched detector is the cause of whatever else went wrong
                    raise
        except NotRestored as error:
            not_restored = error
        record = make_record(calibration, plan, run, instruments, started, site, operator, records)
        RecordStore(folder).save(record)
    except BaseException as error:
        journal.close()
        for note in restoring.notes:
            error.add_note(note)
        error.add_note(f"what was measured is kept; go on with it: resume {journal.path}")
        raise
    journal.remove()
    if not_restored is not None:
        not_restored.add_note(f"record {record.id} is kept")
        raise not_restored
    deliver(restoring.late, note=f"it had ended, and {AS_BEFORE}; record {record.id} is kept")
    return record


def make_record(
    calibration: Calibration[PlanType, Any],
    plan: PlanType,
    run: Run,
    instruments: tuple[Instrument, ...],
    started: datetime,
    site: Site,
    operator: str | None,
    records: Sequence[Record],
) -> Record:
    """Evaluate what a run has kept. Raises what the evaluation raises, such as NotEnoughCounts."""
    tables = run.tables()
    found = calibration.evaluate(Data(tables, records), plan)
    finished = datetime.now(UTC)
    return Record(
        id=f"{calibration.name}-{utc_text(finished)}",
        calibration=calibration.name,
        title=calibration.title,
        method=calibration.method,
        started=started,
        finished=finished,
        operator=operator or getpass.getuser(),
        software=f"qhal {qhal.__version__}",
        node=site.node,
        instruments=instruments,
        inputs=plan.model_dump(mode="json"),
        uses=tuple(record.id for record in records if record.calibration in calibration.uses),
        traceability=found.traceability,
        path=site.path,
        path_name=site.path_name,
        quantities=tuple(found.quantities),
        correlation=correlation([quantity.number for quantity in found.quantities]),
        fits=tuple(found.fits),
        remarks=tuple(found.remarks),
        validity=Validity(
            until=finished + timedelta(days=plan.valid_days),
            settings=dict(found.settings),
            temperature_k=dict(found.temperature_k),
        ),
        tables=tables,
    )


def _refuse_latched(devices: Sequence[Interface], cause: QhalError | None = None) -> None:
    """Raise DeviceError unless all detectors are known to count; after another error (``cause``), if one is latched."""
    wrong = {DetectorState.LATCHED} if cause else {DetectorState.LATCHED, DetectorState.UNKNOWN}
    for kind in devices:
        if cause is not None and kind.device.connection.state is not ConnectionState.READY:
            continue  # its loss is the cause, and asking would wait for it
        states = kind.status().states if isinstance(kind, Detector) else ()
        if bad := [n for n, state in enumerate(states, 1) if state in wrong]:
            raise DeviceError(
                f"{kind.device.name}: channels {bad} are latched, or it is unknown whether they are; "
                "what was counted is of no use"
            )


def _check_roles(calibration: Calibration[Any, Any], devices: Mapping[str, Interface]) -> None:
    roles = calibration.roles
    missing = [role for role, (_, optional) in roles.items() if not optional and role not in devices]
    unknown = set(devices) - set(roles)
    if missing or unknown:
        raise ConfigurationError(
            f"{calibration.name} takes {', '.join(f'{r} ({k.__name__})' for r, (k, _) in roles.items())}; "
            + ", ".join([f"{r} is missing" for r in missing] + [f"{r} is unknown" for r in sorted(unknown)])
        )
    for role, kind in devices.items():
        if not isinstance(kind, roles[role][0]):
            raise ConfigurationError(f"{calibration.name}: {role} is no {roles[role][0].__name__}")
        if twice := [other for other, also in devices.items() if also is kind and other != role]:
            raise ConfigurationError(
                f"{calibration.name}: {kind.device.name} cannot be {role} and {twice[0]} at once"
            )


def _instrument(role: str, kind: Interface, site: Site) -> Instrument:
    device = kind.device
    return Instrument(
        role=role,
        device=site.names.get(role, device.name),
        driver_model=device.declaration.model,
        **device.identity.model_dump(),
        settings=to_jsonable_python(device.settings),
        setting_tolerances=dict(device.setting_tolerances),
    )


def _journal(
    calibration: Calibration[Any, Any],
    plan: Plan,
    instruments: tuple[Instrument, ...],
    folder: Path,
    started: datetime,
    resume: str | Path | None,
) -> tuple[Journal, datetime]:
    """Begin a journal, or open one that belongs to just this calibration; return it with the time of its start."""
    identities = [
        instrument.model_dump(exclude={"settings", "setting_tolerances"}) for instrument in instruments
    ]
    header = {
        "calibration": calibration.name,
        "plan": plan.model_dump(mode="json"),
        "instruments": identities,
    }
    if resume is None:
        path = folder / f"{calibration.name}-{utc_text(started)}{SUFFIX}"
        return Journal.create(path, {**header, "started": started.isoformat()}), started
    journal, found = Journal.resume(Path(resume))
    try:
        began = _began(resume, found)
        _check_same(resume, found, header)
    except QhalError:
        journal.close()
        raise
    return journal, began


def check_journal(resume: str | Path, calibration: Calibration[Any, Any], plan: Plan | None = None) -> None:
    """Raise for a journal from which a calibration (with this plan) cannot be resumed; no device is needed.

    Raises ConfigurationError for a file that is absent, DataError for one that is not a journal, InvalidRecord for one
    of another calibration or plan.
    """
    journal, found = Journal.resume(Path(resume))
    journal.close()
    _check_same(resume, found, {"calibration": calibration.name})
    _began(resume, found)
    if plan is not None:
        _check_same(resume, found, {"plan": plan.model_dump(mode="json")})


def _began(resume: str | Path, header: Mapping[str, Any]) -> datetime:
    try:
        return datetime.fromisoformat(header["started"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{resume}: it does not say when it was started") from error


def _check_same(resume: str | Path, found: Mapping[str, Any], header: Mapping[str, Any]) -> None:
    for key, value in header.items():
        if found.get(key) != value:
            raise InvalidRecord(f"{resume}: another {key}: {_difference(found.get(key), value)}")


def _difference(there: Any, now: Any) -> str:
    """Return what is there and what now; of a plan only what differs."""
    if isinstance(there, dict) and isinstance(now, dict):
        names = [name for name in {**there, **now} if there.get(name) != now.get(name)]
        return "; ".join(f"{name} {there.get(name)} there, {now.get(name)} now" for name in names)
    return f"{there} there, {now} now"
