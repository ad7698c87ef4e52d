"""``qhal records`` on records made by hand: what is wrong is one clear line, text of users is text."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from qhal.calibration.figures import record_picture
from qhal.cli.app import run
from qhal.records.hdf5 import write_record
from qhal.records.record import Quantity
from qhal.records.store import RecordStore
from qhal.records.uncertain import statistical
from qhal.tags.batch import TagBatch
from qhal.tags.formats import TagWriter
from tests.records.test_records import NOW, record

ID = record().id


@pytest.fixture
def qhal(tmp_path, monkeypatch, capsys):
    """Run a command in a folder of its own; return exit code, standard output and errors."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["qhal", *map(str, arguments)])
        try:
            run()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def store(tmp_path):
    store = RecordStore(tmp_path / "records")
    store.save(record())
    return store


def test_a_folder_that_is_not_there_is_no_empty_one(qhal, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    assert qhal("records", "list", "--folder", "empty", "--json")[:2] == (0, "[]\n")
    assert qhal("records", "list", "--json")[:2] == (0, "[]\n"), "nothing was calibrated here yet"
    for folder, reason in (("absent", "No such file or directory"), ("file", "Not a directory")):
        code, shown, errors = qhal("records", "list", "--folder", folder)
        assert (code, shown) == (2, "")
        assert errors == f"error: --folder: {folder}: {reason}\n"
        code, _, errors = qhal("records", "show", "x", "--folder", folder)
        assert code == 2
        assert errors == f"error: --folder: no record 'x': {folder}: {reason}\n"


def test_names_of_no_record(qhal, store, tmp_path):
    (tmp_path / "c.h5").mkdir()
    (store.folder / "d.h5").mkdir()
    long = f"{'x' * 300}.h5"
    for name, expected in (
        ("", (2, "error: no record '': give an id, the name of a calibration or a file\n")),
        ("c.h5", (1, "DataError: c.h5: cannot be read: Is a directory\n")),
        ("[/x]", (2, f"error: records: no record '[/x]'; there are {ID}, d\n")),
        (long, (2, f"error: records: no record '{long}'; there are {ID}, d\n")),
    ):
        for command in (("show",), ("plot",), ("compare", ID)):
            code, _, errors = qhal("records", *command, name)
            assert (code, errors) == expected
    code, shown, _ = qhal("records", "list", "--json")
    assert code == 1
    assert "Is a directory" in json.loads(shown)[0]["problem"]


@pytest.mark.parametrize("picture", ["pic", "", ".", "pic.h5", "pic.png.", ".png"])
def test_the_ending_of_a_picture_is_told_before_it_is_drawn(qhal, store, tmp_path, monkeypatch, picture):
    monkeypatch.setattr(record_picture, "save_picture", None)
    code, _, errors = qhal("records", "plot", ID, picture)
    assert code == 2
    assert "PICTURE must end in .png, .pdf or .svg" in errors
    assert [each.name for each in tmp_path.iterdir()] == ["records"]


def test_text_is_no_markup(qhal, store):
    odd = record(
        id="odd-1", calibration="odd", title="[/title]", operator="[/operator]", method="[/method]",
        traceability="[bold]lamp [/x]", remarks=("[/remark]",), inputs={"a": "[/input]"}, path_name="[/path]",
        uses=("[/uses]",), software="[/software]",
    )  # fmt: skip
    store.save(odd)
    code, listed, _ = qhal("records", "list")
    assert code == 0
    assert "[/oper" in listed  # a narrow column folds it
    code, shown, _ = qhal("records", "show", "odd")
    assert code == 0
    for text in (
        "[/title]",
        "[/operator]",
        "[/method]",
        "[bold]lamp [/x]",
        "note: [/remark]",
        "[/input]",
        "[/path]",
    ):
        assert text in shown
    assert "[/software]" in shown
    assert "[/uses]" in shown
    write_record(odd, store.folder / "[b]x.h5")
    assert qhal("records", "show", "records/[b]x.h5")[0] == 0
    (store.folder / "[b]y.h5").write_text("[/y]")
    assert qhal("records", "show", "records/[b]y.h5")[2] == (
        "DataError: records/[b]y.h5: not a qhal calibration record\n"
    )


@pytest.mark.parametrize(("other", "sigmas", "code"), [(0.0, 0.0, 0), (1.0, None, 1)])
def test_comparing_what_has_no_uncertainty_is_json(qhal, store, other, sigmas, code):
    for number, value in enumerate((0.0, other)):
        quantity = Quantity.of("offset", "dB", statistical("noise", value, 0.0))
        store.save(record(id=f"zero-{number}", quantities=(quantity,), finished=NOW))
    found, shown, _ = qhal("records", "compare", "zero-0", "zero-1", "--json")
    assert found == code

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    (row,) = json.loads(shown, parse_constant=refuse)
    assert row == {
        "quantity": "offset", "before": 0.0, "after": other, "difference": other, "uncertainty": 0.0,
        "sigmas": sigmas,
    }  # fmt: skip
    assert qhal("records", "compare", "zero-0", "zero-1")[0] == code


def test_names_of_files_are_no_markup_in_other_commands(qhal, tmp_path):
    (tmp_path / "[").mkdir()
    for command in (("check",), ("tags", "info"), ("status",)):
        code, _, errors = qhal(*command, "[/absent].toml")
        assert code in (1, 2)
        assert "[/absent].toml" in errors
    with TagWriter(Path("[/x].parquet")) as writer:
        writer.write(TagBatch(np.arange(5), np.ones(5, np.uint8), 0, 10))
    assert "[/x].parquet" in qhal("tags", "info", "[/x].parquet")[1]
    assert "5 tags in [/y].arrows" in qhal("tags", "convert", "[/x].parquet", "[/y].arrows")[1]
