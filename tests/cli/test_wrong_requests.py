"""Whatever a user gets wrong is one clear line and an exit code, never a traceback; in this process, for speed."""

import importlib.metadata
import json
import os
import sys

import pytest

from qhal import published
from qhal.cli import drivers
from qhal.cli.app import run
from qhal.cli.output import CONSOLE
from qhal.signals import Terminated

GOOD = '[node]\nname = "n"\n[devices.a]\ndriver = "ozoptics.dd100"\naddress = "serial:///dev/qhal-absent"\n'
NODES = {
    "good": GOOD,
    "bom": "\ufeff" + GOOD,
    "typo": GOOD + 'adress = "x"\n',
    "tables": GOOD + "[clocktree]\n",
    "driver": GOOD.replace("dd100", "dd10"),
    "address": GOOD.replace("serial:///dev/qhal-absent", "nowhere"),
    "scheme": GOOD.replace("serial:///dev/qhal-absent", "zmq+tcp://h:1"),
    "connections": GOOD + 'connections = {aux = "tcp://h:1"}\n',
    "options": GOOD + "options = {colour = 1}\n",
    "expected": GOOD + 'expected = {serial = "1"}\n',
    "kind": GOOD.replace('"serial:///dev/qhal-absent"', "7"),
    "nested": "x = " + "[" * 20_000,
    "deep": "a." * 5_000 + "b = 1",
    "digits": "x = " + "9" * 10_000,
    "large": GOOD + "#" * (1 << 20),
    "empty": "",
    "broken": "[node\n",
    "records": GOOD + '[[records]]\nfile = "absent.h5"\n',
}
WORDS = {
    "typo": "devices.a.adress: unknown key 'adress'; did you mean 'address'? allowed: driver, address",
    "tables": "clocktree: unknown key 'clocktree'; did you mean 'clock_tree'? allowed: node, clock",
    "driver": "driver.toml: devices.a: no driver 'ozoptics.dd10'; there are hubersuhner.polatis",
    "address": "address.toml: devices.a: address 'nowhere': no scheme",
    "scheme": "scheme.toml: devices.a: 'zmq+tcp://h:1' on connection 'main'; allowed schemes are serial",
    "connections": "connections.toml: devices.a: no connection 'aux'",
    "options": "options.toml: devices.a: options: colour: unknown key 'colour'",
    "expected": "devices.a.expected.serial",
    "nested": "nested.toml: ",
    "large": "large.toml: larger than 1024 KiB",
    "empty": "node: Field required",
}


@pytest.fixture
def qhal(tmp_path, monkeypatch, capfd):
    """Run a command in a folder with node files; return exit code, standard output and errors."""
    monkeypatch.chdir(tmp_path)
    for name, text in NODES.items():
        (tmp_path / f"{name}.toml").write_text(text, encoding="utf-8")
    (tmp_path / "latin.toml").write_bytes(GOOD.replace('"n"', '"\xe4"').encode("latin-1"))
    (tmp_path / "utf16.toml").write_text(GOOD, encoding="utf-16")
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.bin").write_bytes(bytes(16))
    os.mkfifo(tmp_path / "pipe.toml")

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["qhal", *map(str, arguments)])
        code = 0
        try:
            run()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(bool(stop.code))
        return code, *capfd.readouterr()

    return call


def refused(found, code=2):
    """Check that a request was refused in one line (after the usage, where the command line itself is wrong)."""
    status, shown, errors = found
    assert status == code, errors
    assert shown == ""
    assert "Traceback" not in errors
    lines = [line for line in errors.splitlines() if line and not line.startswith(("Usage:", "Try "))]
    assert len(lines) == 1, errors
    return lines[0]


@pytest.mark.parametrize("command", ["check", "status", "test", "calibrate dark-counts"])
def test_wrong_node_files(qhal, command):
    for name in [*NODES, "latin", "utf16", "folder/absent", "pipe"]:
        if name not in ("good", "bom", "records"):
            line = refused(qhal(*command.split(), f"{name}.toml"))
            assert WORDS.get(name, f"{name}.toml: ") in line
    for path in ("folder", "/dev/full", "/dev/zero", "a\0b.toml", "x" * 300, ""):
        refused(qhal(*command.split(), path))


@pytest.mark.parametrize("name", ["good", "bom"])
def test_a_device_that_is_not_there(qhal, name):
    for command in ("check", "status"):
        code, shown, errors = qhal(command, f"{name}.toml", "--json")
        assert code == 1
        assert "Traceback" not in errors
        assert json.loads(shown)["node"] == "n"
    assert "a: Disconnected" in refused(qhal("check", f"{name}.toml"), 1)
    code, _, errors = qhal("test", f"{name}.toml")
    assert code == 1
    assert errors.startswith("OpenFailed: node 'n': 1 device(s) did not open\n")


WRONG = [
    *(
        (name, "--nonsense")
        for name in ("demo", "drivers", "simulate", "udev", "check", "status", "test", "tags", "records")
    ),
    ("nosuch",),
    ("check",),
    ("drivers", "nosuch"),
    ("test", "good.toml", "attic"),
    ("test", "good.toml", "--allow", "all"),
    ("simulate", "ozoptics.dd10"),
    ("simulate", "folder/absent.toml"),
    ("simulate", "good.toml"),
    ("simulate", "ozoptics.dd100", "-o", "homed"),
    ("simulate", "ozoptics.dd100", "-o", "colour=1"),
    ("simulate", "ozoptics.dd100", "--node-file", "nodir/x.toml"),
    ("simulate", "ozoptics.dd100", "--node-file", "folder"),
    ("simulate", "ozoptics.dd100", "--speed", "0"),
    ("demo", "--seconds", "0"),
    ("demo", "--report", "nodir/report"),
    ("demo", "--seed", "-1"),
    ("calibrate", "nosuch", "good.toml"),
    ("calibrate", "list", "nosuch"),
    ("calibrate", "dark-counts"),
    ("calibrate", "dark-counts", "good.toml", "--set", "x"),
    ("calibrate", "dark-counts", "good.toml", "--set", "x=1"),
    ("calibrate", "dark-counts", "good.toml", "--record", "absent"),
    ("calibrate", "dark-counts", "good.toml", "--resume", "absent.jsonl"),
    ("records", "show", "absent"),
    ("records", "plot", "absent"),
    ("records", "plot", "absent", "x.xyz"),
    ("records", "compare", "a", "b"),
    ("records", "list", "--folder", "absent"),
    ("records", "list", "--folder", "a.bin"),
    ("tags", "info", "absent.bin"),
    ("tags", "info", "folder"),
    ("tags", "info", "a.bin"),
    ("tags", "info", "a.bin", "-f", "nosuch"),
    ("tags", "info", "a.bin", "-f", "idq-bin", "-o", "x"),
    ("tags", "convert", "a.bin", "nodir/b.arrows", "-f", "idq-bin"),
    ("tags", "convert", "a.bin", "b.xyz", "-f", "idq-bin"),
    ("tags", "plot", "a.bin", "nodir/x.png", "-f", "idq-bin"),
    ("tags", "plot", "a.bin", "x.xyz", "-f", "idq-bin"),
]


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_wrong_requests(qhal, arguments, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    found = qhal(*arguments)
    refused(found, found[0] if found[0] == 1 else 2)
    assert sorted(tmp_path.rglob("*"))[: len(before)] == sorted(before) or arguments[0] == "calibrate"


def test_json_is_one_strict_document(qhal):
    def strict(text):
        def constant(name):
            raise AssertionError(f"{name} is no JSON")

        return json.loads(text, parse_constant=constant)

    for arguments in (
        ("drivers",),
        ("drivers", "idquantique.id900"),
        ("udev",),
        ("check", "good.toml"),
        ("status", "good.toml"),
        ("calibrate", "list"),
        ("calibrate", "list", "modulator"),
        ("records", "list"),
        ("tags", "info", "a.bin", "-f", "idq-bin"),
        ("tags", "convert", "a.bin", "b.arrows", "-f", "idq-bin"),
        ("tags", "plot", "a.bin", "b.png", "-f", "idq-bin"),
    ):
        code, shown, errors = qhal(*arguments, "--json")
        assert code in (0, 1), errors
        assert strict(shown) is not None, arguments


FAILURES = {
    ("check", "absent.toml"): 2,
    ("check", "good.toml"): 1,
    ("status", "good.toml"): 1,
    ("status", "typo.toml"): 2,
    ("test", "good.toml"): 1,
    ("test", "good.toml", "attic"): 2,
    ("test", "good.toml", "--allow", "all"): 2,
    ("calibrate", "dark-counts", "detectors.toml"): 1,
    ("calibrate", "dark-counts", "detectors.toml", "--set", "period_s=nan"): 2,
    ("calibrate", "dark-counts", "detectors.toml", "--resume", "absent.jsonl"): 2,
    ("calibrate", "dark-counts", "detectors.toml", "--resume", "a.bin"): 1,
    ("calibrate", "nosuch"): 2,
    ("calibrate",): 2,
    ("records", "show", "absent"): 2,
    ("records", "show", "a.h5"): 1,
    ("records", "plot", "a.h5"): 1,
    ("records", "compare", "a.h5", "a.h5"): 1,
    ("records", "list", "--folder", "absent"): 2,
    ("records", "nosuch"): 2,
    ("drivers", "nosuch"): 2,
    ("drivers", "--nonsense"): 2,
    ("udev", "surplus"): 2,
    ("demo", "--seconds", "nan"): 2,
    ("tags", "info", "absent.bin"): 2,
    ("tags", "convert", "absent.bin", "b.arrows"): 2,
    ("tags", "plot", "a.bin", "x.xyz", "-f", "idq-bin"): 2,
    ("simulate", "nosuch"): 2,
}
"""Typical failures and their exit codes."""


@pytest.mark.parametrize("arguments", FAILURES, ids=" ".join)
def test_a_failure_is_one_json_document(qhal, tmp_path, arguments):
    (tmp_path / "a.h5").write_bytes(bytes(64))
    (tmp_path / "detectors.toml").write_text(
        '[node]\nname = "n"\nguard = false\n[devices.a]\ndriver = "singlequantum.websq"\n'
        'address = "tcp://127.0.0.1:9"\nconnections = {counts = "tcp://127.0.0.1:9"}\n'
    )
    code, shown, errors = qhal(*arguments, "--json")
    assert code == FAILURES[arguments], errors
    assert "Traceback" not in errors
    document = json.loads(shown)
    if arguments[0] not in ("check", "status") or code == 2:
        assert document["error"]["message"].splitlines()[0] in errors
        assert ("failures" in document["error"]) == (document["error"]["type"] == "OpenFailed")


@pytest.mark.parametrize(("raised", "code"), [(KeyboardInterrupt, 130), (lambda: Terminated(15), 143)])
def test_an_interruption_is_one_json_document(qhal, monkeypatch, raised, code):
    def interrupted(name):
        raise raised()

    monkeypatch.setattr(drivers, "load_driver", interrupted)
    status, shown, errors = qhal("drivers", "--json")
    assert status == code
    assert "Traceback" not in errors
    assert "interrupted by" in json.loads(shown)["error"]["message"]


PACKAGE = """
from qhal.devices.attenuator import Attenuator
from qhal.devices.device import Device
from qhal.devices.declaration import Declaration, Evidence, IdentityGrade, ConnectionSpec

class Hookless(Device, Attenuator):
    declaration = Declaration("X", {"main": ConnectionSpec(("serial",))}, IdentityGrade.NONE, (Evidence.MANUAL,))

class Undeclared(Hookless):
    _home = _identify = _read_attenuation_db = _read_capabilities = _read_settings = _write_attenuation_db = None

class Connectionless(Undeclared):
    declaration = Declaration("X", {}, IdentityGrade.NONE, (Evidence.MANUAL,))

class Optionless(Undeclared):
    options_model = dict

del Hookless.declaration
Undeclared2 = Undeclared
Optionless.declaration = Declaration("X", {"main": ConnectionSpec(("serial",))}, IdentityGrade.NONE, (Evidence.MANUAL,))

NAMES = ("Hookless", "Undeclared", "Connectionless", "Optionless", "Absent", "dict")
DRIVERS = {name: f"acme_qhal:{name}" for name in NAMES}
DRIVERS |= {"Module": "acme_absent:X", "Raising": "acme_raises:X", "Needing": "acme_needs:X"}
NOT_A_DICT = ["Hookless"]
"""
INCOMPLETE = {
    "Hookless": "lacks _home, _identify, _read_attenuation_db, _read_capabilities, _write_attenuation_db",
    "Undeclared": "lacks its declaration",
    "Connectionless": "no connection 'main'",
    "Optionless": "its options_model is not derived from Options",
    "Absent": "has no attribute 'Absent'",
    "dict": "cannot be imported",
    "Module": "no module 'acme_absent'",
    "Raising": "ZeroDivisionError",
    "Needing": "acme_library",
}


@pytest.fixture
def acme(tmp_path, monkeypatch):
    """Install a package with drivers that are not finished, and entry points that cannot be loaded."""
    (tmp_path / "acme_qhal.py").write_text(PACKAGE)
    (tmp_path / "acme_raises.py").write_text("1 / 0\n")
    (tmp_path / "acme_needs.py").write_text("import acme_library\n")
    monkeypatch.syspath_prepend(tmp_path)
    real = importlib.metadata.entry_points

    def entry_points(*, group):
        values = (
            "acme_qhal:DRIVERS",
            "acme_qhal:NOT_A_DICT",
            "acme_qhal:ABSENT",
            "acme_absent:X",
            "acme_raises:X",
        )
        made = [importlib.metadata.EntryPoint("acme", value, group) for value in values]
        return [*real(group=group), *(made if group == "qhal.drivers" else ())]

    monkeypatch.setattr(published, "entry_points", entry_points)
    yield
    for name in ("acme_qhal", "acme_raises", "acme_needs"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("driver", INCOMPLETE)
def test_a_driver_that_is_not_finished(qhal, acme, tmp_path, driver):
    (tmp_path / "acme.toml").write_text(GOOD.replace("ozoptics.dd100", driver))
    for command in ("check", "status", "test"):
        line = refused(qhal(command, "acme.toml"))
        assert driver in line or driver == "Needing"
        assert INCOMPLETE[driver] in line
    assert INCOMPLETE[driver] in refused(qhal("drivers", driver))


def test_the_others_can_still_be_used(qhal, acme):
    code, shown, errors = qhal("drivers", "--json")
    assert code == 1
    assert {row["name"] for row in json.loads(shown)} >= {"ozoptics.dd100"}
    for reason in (*INCOMPLETE.values(), "is not a dict", "has no attribute 'ABSENT'", "entry point acme"):
        assert reason in errors
    assert "hubersuhner.polatis" in refused(qhal("drivers", "nosuch"))


@pytest.mark.parametrize("width", ["80", "120"])
def test_no_word_is_broken_in_a_table(qhal, monkeypatch, width):
    monkeypatch.setattr(CONSOLE, "_width", int(width))
    for arguments in (("drivers",), ("calibrate", "list"), ("drivers", "idquantique.id900")):
        shown = qhal(*arguments)[1]
        cells = [cell.split() for line in shown.splitlines() if "│" in line for cell in line.split("│")]
        words = {word for cell in cells for word in cell}
        whole = qhal_words(qhal, monkeypatch, arguments)
        assert words <= whole, words - whole


def qhal_words(qhal, monkeypatch, arguments):
    """Return the words of a command's output when it is as wide as it wants to be."""
    with monkeypatch.context() as patch:
        patch.setattr(CONSOLE, "_width", 10_000)
        return set(qhal(*arguments)[1].split())
