"""The file of a record: HDF5 that h5py and xarray open without our code.

::

    /                  attributes: format, schema_version, record (JSON, all but the raw data), sha256
    /quantities/       name, unit, value, statistical, systematic, place (JSON): one row for each result
    /data/TABLE/       one dataset a column with its unit; "row" is the first axis, a dimension scale

``sha256`` covers every dataset and attribute, so that a file that was cut, damaged or edited is told from one that
was not; it is no signature.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from qhal.errors import DataError
from qhal.records.record import SCHEMA_VERSION, Record, Table

FORMAT = "qhal calibration record"
SUFFIX = ".h5"
_SCALE_ATTRIBUTES = {
    "CLASS",
    "NAME",
    "DIMENSION_LIST",
    "REFERENCE_LIST",
    "_Netcdf4Dimid",
    "_Netcdf4Coordinates",
}

Document = dict[str, Any]
MIGRATIONS: dict[int, Callable[[Document], Document]] = {}
"""What brings a document of a version to the next one."""


def write_record(record: Record, path: Path) -> None:
    """Write a record; the file is there whole or not at all."""
    document = record.model_dump_json()
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        with h5py.File(name, "w") as file:
            file.attrs["format"] = FORMAT
            file.attrs["schema_version"] = SCHEMA_VERSION
            file.attrs["record"] = document
            _write_quantities(file.create_group("quantities"), record)
            for table, content in record.tables.items():
                _write_table(file.create_group(f"data/{table}"), content)
            file.attrs["sha256"] = _digest(file)
        with open(name, "rb") as written:
            os.fsync(written.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def read_record(path: Path) -> Record:
    """Read a record of this or an earlier version.

    Raises DataError for a file that is cut, damaged, altered, of another kind or of a later version.
    """
    document, tables = _read(path)
    try:
        return Record.model_validate({**document, "tables": tables})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(f"{path}: the record does not fit its schema: {where}: {first['msg']}") from error


def read_document(path: Path) -> Document:
    """Return what a record says without its raw data, brought to this version. Raises DataError."""
    return _read(path, tables=False)[0]


def _read(path: Path, *, tables: bool = True) -> tuple[Document, dict[str, Table]]:
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise DataError(f"{path}: no {FORMAT}")
            version = int(file.attrs["schema_version"])
            if version > SCHEMA_VERSION:
                raise DataError(
                    f"{path}: written with schema {version}; this version of qhal reads up to {SCHEMA_VERSION}"
                )
            if file.attrs["sha256"] != _digest(file):
                raise DataError(f"{path}: altered or damaged: its content does not have the checksum in it")
            document: Document = json.loads(file.attrs["record"])
            found = (
                {name: _read_table(group) for name, group in file["data"].items()}
                if _has(file, tables)
                else {}
            )
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: damaged, cut or no HDF5 file: {error}") from error
    for step in range(version, SCHEMA_VERSION):
        document = MIGRATIONS[step](document)
    return document, found


def _has(file: h5py.File, tables: bool) -> bool:
    return tables and "data" in file


def _write_quantities(group: h5py.Group, record: Record) -> None:
    quantities = record.quantities
    texts = {
        "name": [q.name for q in quantities],
        "unit": [q.unit for q in quantities],
        "place": [json.dumps(q.at) for q in quantities],
    }
    numbers = {
        "value": [q.value for q in quantities],
        "statistical": [q.statistical for q in quantities],
        "systematic": [q.systematic for q in quantities],
    }
    columns: dict[str, NDArray[Any]] = {name: np.array(column, object) for name, column in texts.items()}
    columns |= {name: np.array(column, np.float64) for name, column in numbers.items()}
    _write_columns(group, columns, {}, "quantity")


def _write_table(group: h5py.Group, table: Table) -> None:
    _write_columns(group, table.columns, table.units, "row")


def _write_columns(group: h5py.Group, columns: Any, units: Any, first_axis: str) -> None:
    lengths = {len(column) for column in columns.values()}
    if len(lengths) != 1:
        raise ValueError(f"{group.name}: columns of different lengths {sorted(lengths)}")
    axes = {(first_axis, lengths.pop()): first_axis}
    for name, column in columns.items():
        for place, length in enumerate(np.shape(column)[1:], 1):
            axes[f"{name}_axis{place}", length] = f"{name}_axis{place}"
    scales = {}
    for (axis, length), label in axes.items():
        scales[axis] = group.create_dataset(label, data=np.arange(length))
        scales[axis].make_scale(label)
    for name, column in columns.items():
        text = np.asarray(column).dtype.kind in "OU"
        data = group.create_dataset(
            name,
            data=[str(cell) for cell in column] if text else column,
            dtype=h5py.string_dtype() if text else None,
        )
        if name in units:
            data.attrs["units"] = units[name]
        for place in range(data.ndim):
            data.dims[place].attach_scale(scales[f"{name}_axis{place}" if place else first_axis])


def _read_table(group: h5py.Group) -> Table:
    columns, units = {}, {}
    for name, data in group.items():
        if data.is_scale:
            continue
        columns[name] = np.array(data.asstr()[:], object) if h5py.check_string_dtype(data.dtype) else data[:]
        if "units" in data.attrs:
            units[name] = str(data.attrs["units"])
    return Table(columns, units)


def _digest(file: h5py.File) -> str:
    digest = hashlib.sha256()
    for line in _content(file):
        digest.update(len(line).to_bytes(8, "little") + line)
    return digest.hexdigest()


def _content(file: h5py.File) -> Iterator[bytes]:
    """Yield everything that the file says, in a fixed order."""
    names: list[str] = ["/"]
    file.visit(names.append)
    for name in sorted(names):
        item = file[name]
        yield name.encode()
        for key in sorted(set(item.attrs) - _SCALE_ATTRIBUTES - {"sha256"}):
            yield f"{key}={item.attrs[key]}".encode()
        if isinstance(item, h5py.Dataset):
            values = item.asstr()[...] if h5py.check_string_dtype(item.dtype) else item[...]
            yield f"{item.dtype}{item.shape}".encode()
            yield "\0".join(values.ravel()).encode() if values.dtype == object else values.tobytes()
