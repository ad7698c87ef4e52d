"""Run a calibration: store device state, measure, restore, evaluate, store the record."""

import getpass
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic_core import to_jsonable_python

import qhal
from qhal.calibration.framework.calibration import Calibration, PlanType, Site
from qhal.calibration.framework.data import Data
from qhal.calibration.framework.device_state import AS_BEFORE, NotRestored, Restoring
from qhal.calibration.framework.points import ProgressCallback, Run, ignore_progress
from qhal.calibration.framework.resuming import open_journal
from qhal.calibration.framework.suitability import check_suitability
from qhal.devices.detector import Detector, DetectorState
from qhal.devices.interface import Interface
from qhal.errors import ConfigurationError, DeviceError, QhalError
from qhal.records.record import Instrument, Record, Validity, utc_text
from qhal.records.shared import correlation
from qhal.records.store import RecordStore
from qhal.signals import deliver, owned
from qhal.transport.connection import ConnectionState


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
    """Run a calibration with open devices, by role; store its record in ``folder`` and return it.

    The devices' settings are restored, but for roles that it ``retains``; after a bad end (Ctrl-C, a lost device) light
    and bias stay off, and the measured rows stay in a journal in ``folder``, from which ``resume`` continues.
    ``records``: results of other calibrations to use. ``site``: node, path and device names of the record.

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
    journal, started = open_journal(calibration, plan, instruments, folder, started, resume)
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
                    guard(error)  # a latched detector explains any other error
                    raise
        except NotRestored as error:
            not_restored = error
        record = make_record(calibration, plan, run, instruments, started, site, operator, records)
        RecordStore(folder).save(record)
    except BaseException as error:
        journal.close()
        for note in restoring.notes:
            error.add_note(note)
        error.add_note(f"measurements stored; continue with: resume {journal.path}")
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
                f"{kind.device.name}: channels {bad} are latched, or in an unknown state; counts discarded"
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
            raise ConfigurationError(f"{calibration.name}: {role} is not a {roles[role][0].__name__}")
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
