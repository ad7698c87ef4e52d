"""The file of a record: HDF5 that h5py and xarray open without our code.

::

    bytes 0 to 511     text: format, and the SHA-256 of all that follows (:mod:`seal`)
    /                  attributes: format, schema_version, record (JSON, all but the raw data)
    /quantities/       name, unit, value, statistical, systematic, place (JSON): one row for each result
    /data/TABLE/       one dataset a column with its unit; "row" is the first axis, a dimension scale
"""

import io
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from qhal.errors import DataError
from qhal.records.columns import attributes, members, read_columns, text_attribute, write_columns
from qhal.records.migrations import MIGRATIONS, Document
from qhal.records.record import SCHEMA_VERSION, Record, Table
from qhal.records.seal import BLOCK_BYTES, FORMAT, read_sealed, write_sealed

SUFFIX = ".h5"


def write_record(record: Record, path: Path) -> None:
    """Write a record; the file is complete or absent.

    Raises
    ------
    ConfigurationError
        If the file cannot be written.
    """
    image = io.BytesIO()
    with h5py.File(image, "w", userblock_size=BLOCK_BYTES) as file:
        file.attrs["format"] = FORMAT
        file.attrs["schema_version"] = SCHEMA_VERSION
        file.attrs["record"] = record.model_dump_json()
        write_columns(file.create_group("quantities"), _quantities(record), {}, "quantity")
        for name, table in record.tables.items():
            write_columns(file.create_group(f"data/{name}"), table.columns, table.units, "row")
    write_sealed(image.getvalue()[BLOCK_BYTES:], path)


def read_record(path: Path) -> Record:
    """Read a record of this or an earlier schema.

    Contributions of schema 1 have an unknown origin (:class:`~qhal.records.origin.UnknownOrigin`); values and
    budgets are as they were written.

    Raises
    ------
    DataError
        For a file that is cut, damaged, altered, not a record, or of a later schema.
    """
    whole = read_sealed(path)
    try:
        version, document, tables = _parse(whole)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    except (OSError, KeyError, ValueError, RuntimeError, TypeError) as error:
        # The checksum matches, but another program wrote the content: h5py raises any of these.
        raise DataError(f"{path}: not as qhal writes a record: {error}") from error
    try:
        for step in range(version, SCHEMA_VERSION):
            document = MIGRATIONS[step](document)
        return Record.model_validate({**document, "tables": tables})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(f"{path}: the record does not fit its schema: {where}: {first['msg']}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: the record does not fit schema {version}: {error!r}") from error


def _parse(whole: bytes) -> tuple[int, Document, dict[str, Table]]:
    # From memory: the bytes that are parsed are those that were compared with the checksum.
    with h5py.File(h5py.h5f.open_file_image(whole), "r") as file:
        version = _version(file)
        attributes(file, {"format", "schema_version", "record"})
        if text_attribute(file, "format") != FORMAT:
            raise DataError(f"format is not {FORMAT}")
        document = json.loads(text_attribute(file, "record"))
        if not isinstance(document, dict):
            raise DataError("record is not a JSON object")
        groups = members(file, h5py.Group)
        if not {"quantities"} <= set(groups) <= {"quantities", "data"}:
            raise DataError(f"groups {', '.join(groups)}; expected quantities and data")
        read_columns(groups["quantities"], "quantity", len(whole))
        tables = members(groups["data"], h5py.Group) if "data" in groups else {}
        found = {name: read_columns(group, "row", len(whole)) for name, group in tables.items()}
        for group in (*groups.values(), *tables.values()):
            attributes(group, set())
        return version, document, found


def _version(file: h5py.File) -> int:
    version = file.attrs["schema_version"]
    if not isinstance(version, np.integer):
        raise DataError("schema_version is not an integer")
    if version not in (*MIGRATIONS, SCHEMA_VERSION):
        raise DataError(f"written with schema {version}; this version of qhal reads up to {SCHEMA_VERSION}")
    return int(version)


def _quantities(record: Record) -> dict[str, NDArray[Any]]:
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
    return columns | {name: np.array(column, np.float64) for name, column in numbers.items()}
