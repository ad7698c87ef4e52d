"""Files of records: a changed byte is found before libhdf5 sees it, and so is a file made to be mistaken for one."""

import errno
import io
import json
import os
import resource
import stat

import h5py
import numpy as np
import pytest

from qhal.errors import ConfigurationError, DataError
from qhal.records import hdf5, seal
from qhal.records.hdf5 import read_record, write_record
from qhal.records.record import Table
from qhal.records.store import RecordStore
from tests.records.test_records import record

REFUSED = "not a qhal calibration record$|altered, cut or damaged"


@pytest.fixture
def path(tmp_path):
    return RecordStore(tmp_path).save(record())


def _never(*_):
    raise AssertionError("libhdf5 was given a file that is not as it was written")


def test_every_changed_byte_is_found_before_libhdf5_sees_it(path, monkeypatch):
    monkeypatch.setattr(hdf5, "_parse", _never)
    whole = path.read_bytes()
    random = np.random.default_rng(6)
    places = [*range(600), *random.integers(600, len(whole), 600).tolist(), len(whole) - 1]
    for place in places:
        changed = bytearray(whole)
        changed[place] ^= int(random.integers(1, 256))
        path.write_bytes(changed)
        with pytest.raises(DataError, match=REFUSED):
            read_record(path)
    for length in (*range(0, 700, 7), *range(700, len(whole), 97), len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=REFUSED):
            read_record(path)
    for more in (b"\0", b"\n", whole, bytes(512)):
        for grown in (whole + more, more + whole):
            path.write_bytes(grown)
            with pytest.raises(DataError, match=REFUSED):
                read_record(path)
    listed = RecordStore(path.parent).list()
    assert listed[0].record is None
    assert path.name in listed[0].problem


def test_altered_by_h5py_is_refused(path):
    with h5py.File(path, "r+") as file:
        file["quantities/value"][1] = 11.0
    with pytest.raises(DataError, match="altered, cut or damaged"):
        read_record(path)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["x"] = 1
    with pytest.raises(DataError, match=r"not a qhal calibration record$"):
        read_record(path)
    with pytest.raises(DataError, match="no such file"):
        read_record(tmp_path / "absent.h5")
    with pytest.raises(DataError, match=r"cannot be read: Is a directory$"):
        read_record(tmp_path)


STEPS = "data/steps"


def _replace(file, name, **how):
    del file[name]
    file.create_dataset(name, **how)


def _other_attribute(name, key, value):
    return lambda file: file[name].attrs.__setitem__(key, value)


def _without(name, key):
    return lambda file: file[name].attrs.__delitem__(key)


def _hide(file):
    """Make a column look like an axis."""
    column = file[f"{STEPS}/set_db"]
    del column.attrs["DIMENSION_LIST"]
    column.make_scale("set_db")


def _swap_axes(file):
    column = file[f"{STEPS}/set_db"]
    column.dims[0].detach_scale(file[f"{STEPS}/row"])
    column.dims[0].attach_scale(file[f"{STEPS}/power_dbm_axis1"])


def _document(**changes):
    def make(file):
        file.attrs["record"] = json.dumps(json.loads(file.attrs["record"]) | changes)

    return make


def _contribution(kind, origin):
    line = {"kind": kind, "name": "noise", "value": 0.1, "origin": origin}
    return _document(quantities=[{"name": "gain", "unit": "1", "value": 1.0, "contributions": [line]}])


MADE = {
    "soft link to a table": lambda f: f.__setitem__("data/a", h5py.SoftLink("/data/steps")),
    "soft link to a column": lambda f: f.__setitem__(f"{STEPS}/a", h5py.SoftLink(f"/{STEPS}/set_db")),
    "dangling link": lambda f: f.__setitem__("data/a", h5py.SoftLink("/nowhere")),
    "external link": lambda f: f.__setitem__("data/a", h5py.ExternalLink("a.h5", "/data/steps")),
    "link beside the groups": lambda f: f.__setitem__("more", h5py.SoftLink("/data")),
    "second name of a table": lambda f: f.__setitem__("data/a", f[STEPS]),
    "second name of a column": lambda f: f.__setitem__(f"{STEPS}/z", f[f"{STEPS}/set_db"]),
    "loop": lambda f: f.__setitem__("data/a", f["/"]),
    "another group": lambda f: f.create_group("more"),
    "no quantities": lambda f: f.__delitem__("quantities"),
    "table in a table": lambda f: f.create_group(f"{STEPS}/more"),
    "column beside the tables": lambda f: f.create_dataset("data/a", data=[1]),
    "table of nothing": lambda f: f.create_group("data/none").attrs.__setitem__("a", 1),
    "type as a member": lambda f: f.__setitem__("data/type", np.dtype("f8")),
    "column without an axis": _without(f"{STEPS}/set_db", "DIMENSION_LIST"),
    "axis that is none": _without(f"{STEPS}/row", "CLASS"),
    "axis without a name": _without(f"{STEPS}/row", "NAME"),
    "column as an axis": _hide,
    "axes swapped": _swap_axes,
    "DIMENSION_LIST of numbers": _other_attribute(f"{STEPS}/set_db", "DIMENSION_LIST", [1, 2]),
    "CLASS of a column": _other_attribute(f"{STEPS}/set_db", "CLASS", np.bytes_("DIMENSION_SCALE")),
    "CLASS of the root": _other_attribute("/", "CLASS", "evil"),
    "attribute of a group": _other_attribute("data", "x", 1),
    "empty attribute": _other_attribute("data", "x", h5py.Empty("f")),
    "unit that is not a text": _other_attribute(f"{STEPS}/set_db", "units", np.array([1, 2])),
    "empty unit": _other_attribute(f"{STEPS}/set_db", "units", h5py.Empty("f")),
    "no version": _without("/", "schema_version"),
    "version an array": _other_attribute("/", "schema_version", np.array([1, 1])),
    "version a text": _other_attribute("/", "schema_version", "1"),
    "version 0": _other_attribute("/", "schema_version", 0),
    "version of tomorrow": _other_attribute("/", "schema_version", hdf5.SCHEMA_VERSION + 1),
    "another format": _other_attribute("/", "format", "other"),
    "format of numbers": _other_attribute("/", "format", np.array([1, 2])),
    "record of numbers": _other_attribute("/", "record", np.array([1, 2])),
    "empty record": _other_attribute("/", "record", h5py.Empty("S1")),
    "record no JSON": _other_attribute("/", "record", "{"),
    "record a list": _other_attribute("/", "record", "[]"),
    "record too deep": _other_attribute("/", "record", "[" * 20000),
    "record of other fields": _document(more=1),
    "statistical error of another record": _contribution("statistical", {"type": "record", "record": "a-1"}),
    "error of no instrument": _contribution("systematic", {"type": "role", "role": "monitor"}),
    "error of an unknown type": _contribution("systematic", {"type": "person"}),
    "record of another version": _document(schema_version=hdf5.SCHEMA_VERSION + 1),
    "empty column": lambda f: f.create_dataset(f"{STEPS}/a", data=h5py.Empty("f")),
    "number for a column": lambda f: f.create_dataset(f"{STEPS}/a", data=1.0),
    "references": lambda f: f.create_dataset(f"{STEPS}/a", (3,), dtype=h5py.ref_dtype),
    "lists": lambda f: f.create_dataset(f"{STEPS}/a", (3,), dtype=h5py.vlen_dtype(np.int32)),
    "structures": lambda f: f.create_dataset(f"{STEPS}/a", data=np.zeros(3, [("a", "f8")])),
    "opaque": lambda f: f.create_dataset(f"{STEPS}/a", data=np.zeros(3, "V4")),
    "no text in a text": lambda f: f[f"{STEPS}/note"].write_direct(np.array([b"\xff"] * 3, object)),
    "longer column": lambda f: _replace(f, f"{STEPS}/set_db", data=np.zeros(4)),
    "bytes elsewhere": lambda f: _replace(
        f, f"{STEPS}/set_db", shape=(3,), dtype="f8", external=[("/etc/hostname", 0, 24)]
    ),
    "more than fits": lambda f: _replace(f, f"{STEPS}/set_db", shape=(10**13,), dtype="f8"),
    "in pieces": lambda f: _replace(f, f"{STEPS}/set_db", shape=(10**13,), dtype="f8", chunks=(10**6,)),
}


@pytest.mark.parametrize("name", MADE)
def test_what_was_made_on_purpose_is_refused(path, name):
    content = io.BytesIO(path.read_bytes())
    with h5py.File(content, "r+") as file:
        MADE[name](file)
    seal.write_sealed(content.getvalue()[seal.BLOCK_BYTES :], path)
    with pytest.raises(DataError, match=path.name):
        read_record(path)


def test_sealed_anew_without_a_change_it_is_read(path):
    content = io.BytesIO(path.read_bytes())
    with h5py.File(content, "r+") as file:
        file["quantities/value"][1] = 11.0
    seal.write_sealed(content.getvalue()[seal.BLOCK_BYTES :], path)
    assert read_record(path).id == record().id  # else the test above would show nothing


def test_wrong_tables_are_not_written(tmp_path):
    for columns, reason in (
        ({"a": np.zeros(2), "b": np.zeros(3)}, "different lengths"),
        ({"a": np.zeros(2, complex)}, "neither numbers nor text"),
    ):
        with pytest.raises(ValueError, match=reason):
            write_record(record(tables={"t": Table(columns, {})}), tmp_path / "r.h5")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o002, 0o664)])
def test_who_may_read_is_as_the_umask_says(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        path = RecordStore(tmp_path).save(record())
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_what_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / ("x" * 300)):
        with pytest.raises(ConfigurationError, match=f"{folder}: not a folder, and it cannot be made: "):
            RecordStore(folder).save(record())
    with pytest.raises(ConfigurationError, match=r"x\.h5: cannot be written: File name too long"):
        RecordStore(tmp_path).save(record(id="x" * 300))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    try:
        with pytest.raises(ConfigurationError, match=f"{record().id}.h5: cannot be written: File too large"):
            RecordStore(tmp_path).save(record())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    def refuse(*_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(ConfigurationError, match="cannot be written: Permission denied"):
        RecordStore(tmp_path).save(record())
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
