"""Records: written and read, by qhal and by h5py; altered, cut and invalid ones are refused."""

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import h5py
import numpy as np
import pytest
from pydantic import ValidationError

from qhal.errors import ConfigurationError, DataError, InvalidRecord
from qhal.records import hdf5
from qhal.records.hdf5 import read_record, write_record
from qhal.records.migrations import MIGRATIONS
from qhal.records.origin import RoleOrigin, UnknownOrigin
from qhal.records.record import Fit, Instrument, PathPart, Quantity, Record, Table, Validity
from qhal.records.seal import BLOCK_BYTES, write_sealed
from qhal.records.store import RecordStore
from qhal.records.uncertain import (
    from_db,
    standard_uncertainty,
    statistical,
    systematic,
    to_db,
    uniform,
)
from qhal.records.validity import problems

FILES = Path(__file__).parent / "files"
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
VOA = Instrument(
    role="attenuator",
    device="voa",
    driver_model="OZ Optics DD-100-MC",
    model="DD-100-MC",
    serial_number="A1",
    firmware="1.0",
    settings={"echo": False, "bias_ua": [25.098, 27.0]},
    setting_tolerances={"bias_ua": 0.005},
)


def record(**changes) -> Record:
    meter = systematic("meter", 0.0, 0.05)
    values = {
        "id": "attenuator-curve-20261124T120000000000Z",
        "calibration": "attenuator-curve",
        "title": "Curve",
        "method": "by hand",
        "started": NOW,
        "finished": NOW,
        "operator": "somebody",
        "software": "qhal",
        "instruments": (VOA,),
        "inputs": {"steps": 3},
        "quantities": tuple(
            Quantity.of("attenuation", "dB", statistical("noise", true, 0.02) + meter, set_db=at)
            for at, true in ((0.0, 0.1), (10.0, 10.4), (20.0, 20.3))
        ),
        "fits": (Fit(model="line", chi2=1.0, degrees_of_freedom=2),),
        "validity": Validity(until=NOW + timedelta(days=30), settings={"attenuator": ("echo", "bias_ua")}),
        "path_name": "light",
        "path": (PathPart(name="laser"), PathPart(name="fibre", loss_db=4.0, length_km=20.0)),
        "tables": {
            "steps": Table(
                {
                    "set_db": np.array([0.0, 10.0, 20.0]),
                    "power_dbm": np.arange(6.0).reshape(3, 2),
                    "note": np.array(["a", "b", "ä"], object),
                },
                {"set_db": "dB", "power_dbm": "dBm"},
            )
        },
    }
    return Record(**values | changes)


class Unit:
    """A device as far as validity looks at one."""

    def __init__(self, temperature_k=None, changed=None, settings=None, tolerances=None, **identity):
        given = {
            name: getattr(VOA, name)
            for name in ("manufacturer", "model", "serial_number", "firmware", "shape")
        }
        self.identity = type("Identity", (), given | identity)
        self.settings = {"echo": False, "bias_ua": (25.098, 27.0)} | (settings or {})
        self.setting_tolerances = tolerances or {}
        self.health = type("Health", (), {"settings_changed": changed or {}})
        self.status = lambda: type("Status", (), {"temperature_k": temperature_k})


def test_a_record_is_read_as_it_was_written(tmp_path):
    written = record()
    path = RecordStore(tmp_path).save(written)
    found = read_record(path)
    assert found.model_dump() == written.model_dump()
    for name, column in written.tables["steps"].columns.items():
        assert np.array_equal(found.tables["steps"][name], column)
    assert found.tables["steps"].units == written.tables["steps"].units
    with pytest.raises(ConfigurationError, match="never overwritten"):
        RecordStore(tmp_path).save(written)
    store = RecordStore(tmp_path)
    assert store.load("attenuator-curve").id == store.load(written.id).id == store.load(path).id == written.id
    with pytest.raises(ConfigurationError, match=f"no record 'dark'; there are {written.id}"):
        store.load("dark")


def test_h5py_reads_values_units_and_provenance(tmp_path):
    path = RecordStore(tmp_path).save(record())
    with h5py.File(path) as file:
        assert file["quantities/name"].asstr()[:].tolist() == ["attenuation"] * 3
        assert file["quantities/unit"].asstr()[0] == "dB"
        assert file["quantities/value"][:] == pytest.approx([0.1, 10.4, 20.3])
        assert file["quantities/systematic"][:] == pytest.approx([0.05] * 3)
        assert json.loads(file["quantities/place"].asstr()[2]) == {"set_db": 20.0}
        assert file["data/steps/set_db"].attrs["units"] == "dB"
        assert file["data/steps/power_dbm"].dims[0].label == ""
        assert json.loads(file.attrs["record"])["instruments"][0]["serial_number"] == "A1"


@pytest.mark.parametrize("path", sorted(FILES.glob("*.h5")), ids=lambda path: path.stem)
def test_files_of_every_version_are_read(path):
    read = read_record(path)
    quantity = read.quantity("attenuation", set_db=10.0)
    assert quantity.value == pytest.approx(10.4)
    lines = {(line.kind, line.name): line.value for line in quantity.contributions}
    assert lines == {("systematic", "meter"): 0.05, ("statistical", "noise"): 0.02}
    assert read.tables["steps"]["set_db"].tolist() == [0.0, 10.0, 20.0]
    assert read.instrument("attenuator").settings["echo"] is False
    difference = read.value("attenuation", set_db=20.0) - read.value("attenuation", set_db=0.0)
    assert (difference.nominal_value, difference.std_dev) == pytest.approx((20.2, 0.02 * 2**0.5))


def test_origins_and_fits_of_the_second_schema_are_read():
    read = read_record(FILES / "version-2.h5")
    origins = {line.name: line.origin for q in read.quantities for line in q.contributions}
    assert origins == {"meter": RoleOrigin("attenuator"), "noise": None}
    assert read.fits[0].parameters == {"slope": 1.01}
    assert read.fits[0].sigmas == pytest.approx([0.01])


def test_contributions_of_the_first_schema_have_no_known_origin():
    old = read_record(FILES / "version-1.h5")
    assert {line.origin for q in old.quantities for line in q.contributions} == {UnknownOrigin()}


@pytest.mark.parametrize(
    ("was", "is_now"), [("(25.0, 27.5)", [25.0, 27.5]), ("None", None), ("HIRES", "HIRES"), ("1e3", 1000.0)]
)
def test_settings_of_the_first_schema_are_values(was, is_now):
    document = json.loads(record().model_dump_json()) | {"quantities": []}
    document["instruments"][0]["settings"] = {"x": was}
    assert MIGRATIONS[1](document)["instruments"][0]["settings"] == {"x": is_now}


def test_losses_of_the_first_schema_keep_their_uncertainty():
    document = json.loads(record().model_dump_json()) | {"quantities": []}
    part = {"name": "pad", "loss_db": 45.0, "tolerance_db": 0.1}
    now = {"name": "pad", "loss_db": 45.0, "uncertainty_db": 0.1}
    new = MIGRATIONS[1](document | {"path": [part], "inputs": {"path": [part], "steps": 3}})
    assert new["path"] == [now]
    assert new["inputs"] == {"path": [now], "steps": 3}


def alter(path: Path, **attributes) -> None:
    """Write other attributes into a record, and seal it anew."""
    content = io.BytesIO(path.read_bytes())
    with h5py.File(content, "r+") as file:
        file.attrs.update(attributes)
    write_sealed(content.getvalue()[BLOCK_BYTES:], path)


def test_there_is_a_file_of_every_version():
    assert [path.stem for path in sorted(FILES.glob("*.h5"))] == [
        f"version-{n}" for n in range(1, hdf5.SCHEMA_VERSION + 1)
    ]


def test_an_older_version_is_migrated_and_a_later_one_refused(tmp_path, monkeypatch):
    # As if the schema had changed: what was called "operator" was "author" in a version before this one.
    path = tmp_path / "old.h5"
    document = json.loads(record().model_dump_json())
    document["author"] = document.pop("operator")
    document["schema_version"] = hdf5.SCHEMA_VERSION - 1
    write_record(record(), path)
    alter(path, schema_version=hdf5.SCHEMA_VERSION - 1, record=json.dumps(document))

    def migrate(old):
        new = {key: value for key, value in old.items() if key != "author"}
        return new | {"operator": old["author"], "schema_version": hdf5.SCHEMA_VERSION}

    monkeypatch.setitem(hdf5.MIGRATIONS, hdf5.SCHEMA_VERSION - 1, migrate)
    assert read_record(path).operator == "somebody"
    alter(path, schema_version=hdf5.SCHEMA_VERSION + 1)
    with pytest.raises(
        DataError, match=f"schema {hdf5.SCHEMA_VERSION + 1}; this version of qhal reads up to"
    ):
        read_record(path)


PATH = record().path
EVENTS = {
    "date": ({}, {"now": NOW + timedelta(days=31)}, "valid until 2026-12-24 12:00 UTC"),
    "serial number": ({"serial_number": "A2"}, {}, "serial number is 'A2', was 'A1'"),
    "firmware": ({"firmware": "1.1"}, {}, "firmware is '1.1', was '1.0'"),
    "changed at reopening": (
        {"changed": {"echo": ("False", "True")}},
        {},
        "echo changed from False to True",
    ),
    "setting": ({"settings": {"echo": True}}, {}, "echo is True, was False"),
    "beyond tolerance": (
        {"settings": {"bias_ua": (25.098, 27.006)}},
        {},
        "bias_ua is (25.098, 27.006), was (25.098, 27.0)",
    ),
    "tolerance of the device now": (
        {"settings": {"bias_ua": (25.101, 27.0)}, "tolerances": {"bias_ua": 0.002}},
        {},
        "bias_ua is (25.101, 27.0)",
    ),
    "re-routed": (
        {},
        {"path": (PATH[0], PathPart(name="fibre", loss_db=5.1, length_km=25.0))},
        "element 2 is 'fibre' of 5.1 dB, 25 km, was 'fibre' of 4 dB, 20 km",
    ),
    "switched": (
        {},
        {"path": (PATH[0], PATH[1].model_copy(update={"ingress": 2, "egress": 18}))},
        "element 2 is 'fibre' from 2 to 18",
    ),
    "shorter": ({}, {"path": PATH[:1]}, "element 2 is absent"),
}


@pytest.mark.parametrize("event", EVENTS)
def test_validity_ends(event):
    unit, more, reason = EVENTS[event]
    arguments = {"path": PATH, "now": NOW + timedelta(days=29)} | more
    assert problems(record(), {"voa": Unit()}, PATH, NOW) == ()
    (found,) = problems(record(), {"voa": Unit(**unit)}, **arguments)
    assert reason in found


def test_readings_of_one_setting_within_its_tolerance_change_nothing():
    assert problems(record(), {"voa": Unit(settings={"bias_ua": (25.101, 26.996)})}, PATH, NOW) == ()


def test_validity_ends_outside_a_temperature_band_and_with_a_poor_fit():
    banded = record(
        validity=Validity(until=NOW + timedelta(days=1), temperature_k={"attenuator": (2.2, 2.9)})
    )
    assert problems(banded, {"voa": Unit(temperature_k=2.5)}, PATH, NOW) == ()
    assert (
        "is at 3.1 K, outside of 2.2 to 2.9 K"
        in problems(banded, {"voa": Unit(temperature_k=3.1)}, PATH, NOW)[0]
    )
    assert "reports no temperature" in problems(banded, {"voa": Unit()}, PATH, NOW)[0]
    poor = record(fits=(Fit(model="line", chi2=100.0, degrees_of_freedom=10),))
    assert "fit is poor" in problems(poor, {"voa": Unit()}, PATH, NOW)[0]
    assert "no device 'voa' here" in problems(record(), {}, PATH, NOW)[0]


def test_budget_keeps_kinds_names_and_correlations_apart():
    meter, loss = systematic("meter", 1.0, 0.03), uniform("loss", 2.0, 0.3)
    first = Quantity.of("a", "1", meter * loss + statistical("counts", 0.0, 0.1))
    lines = {(line.kind, line.name): line.value for line in first.contributions}
    assert lines == pytest.approx(
        {("systematic", "meter"): 0.06, ("systematic", "loss"): 0.3 / 3**0.5, ("statistical", "counts"): 0.1}
    )
    assert first.uncertainty == pytest.approx(np.hypot(first.statistical, first.systematic))
    made = record()
    difference = made.value("attenuation", set_db=20.0) - made.value("attenuation", set_db=10.0)
    assert standard_uncertainty(difference) == pytest.approx(
        0.02 * 2**0.5
    )  # the meter's error is the same in both
    assert standard_uncertainty(to_db(from_db(statistical("x", -3.0, 0.01)))) == pytest.approx(0.01)
    with pytest.raises(InvalidRecord, match="0 quantities 'gain'"):
        made.value("gain")
    with pytest.raises(ValidationError):
        Quantity(name="a", unit="1", value=float("nan"))


def test_a_fit_keeps_its_parameters(tmp_path):
    line = {"model": "line", "chi2": 1.0, "degrees_of_freedom": 2}
    stored = Fit(
        **line,
        at={"channel": 2},
        parameters={"offset": 1.0, "slope": -2.0},
        covariance=((0.25,), (-0.1, 0.04)),
        constants={"middle": 3.0},
    )
    path = tmp_path / "r.h5"
    write_record(record(fits=(stored, Fit(**line))), path)
    read = read_record(path)
    assert read.fit("line", channel=2) == stored
    assert stored.values.tolist() == [1.0, -2.0]
    assert read.fits[0].label == "line, channel 2"
    for model, at in (("line", {"channel": 1}), ("line", {}), ("curve", {"channel": 2})):
        with pytest.raises(InvalidRecord, match=f"0 fits with parameters of '{model}'"):
            read.fit(model, **at)
    with pytest.raises(InvalidRecord, match="those of schema 1 store none"):
        read_record(FILES / "version-1.h5").fit("line")
    with pytest.raises(ValidationError, match="no row of n values"):
        Fit(**line, parameters={"offset": 1.0})
