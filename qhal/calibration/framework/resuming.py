"""Journals of a calibration: made for one plan and its instruments, and resumed with the same only."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from qhal.calibration.framework.calibration import Calibration
from qhal.calibration.framework.journal import SUFFIX, Journal
from qhal.calibration.framework.plan import Plan
from qhal.errors import DataError, InvalidRecord, QhalError
from qhal.records.record import Instrument, utc_text


def open_journal(
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
        raise DataError(f"{resume}: the time of its start is missing") from error


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
