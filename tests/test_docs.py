"""The documentation's code runs as it stands there, and the notebooks are those of the scripts."""

import json
import re
import runpy
import shutil
import socket
import socketserver
import sys
import threading
import types
from pathlib import Path

import pytest

from qhal import published
from qhal.devices.power_meter import PowerMeter
from qhal.errors import Disconnected
from qhal.node.device_factory import open_device
from qhal.node.schema import parse_node
from qhal.transport.schemes import SCHEMES
from qhal_simulators.physics.scenario_tables import load_scenario
from qhal_simulators.servers.background import Background

ROOT = Path(__file__).parents[1]
ANSWERS = {
    b"*IDN?": b"Acme,PM42,17,1.2",
    b":SYST:ERR?": b'0,"No error"',
    b"SENS:WAV?": b"1310.0NM",
    b"READ1:POW?": b"-12.5",
    b"READ2:POW?": b"-INF",
}


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)


class Unit(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            if answer := ANSWERS.get(line.strip()):
                self.wfile.write(answer + b"\n")


@pytest.fixture
def acme(monkeypatch):
    source, _ = blocks("how-to/add-a-driver.md", "python")
    module = types.ModuleType("acme_pm42")
    exec(compile(source, "how-to/add-a-driver.md", "exec"), vars(module))
    monkeypatch.setitem(sys.modules, "acme_pm42", module)
    monkeypatch.setattr(
        "qhal.node.driver_registry.published_drivers",
        lambda: published.Published("driver", {"acme.pm42": "acme_pm42:Pm42"}),
    )
    with socketserver.TCPServer(("127.0.0.1", 0), Unit) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"tcp://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_the_driver_of_the_page_drives(acme):
    with open_device("acme.pm42", acme, PowerMeter, floor_dbm=-60.0) as meter:
        assert meter.device.identity.serial_number == "17"
        assert meter.read_power_dbm(1) == -12.5
        assert meter.read_power_dbm(2) is None, "no light is an answer"
        status = meter.status()
    assert status.power_dbm == {1: -12.5, 2: None}
    assert "wavelength 1310 nm" in repr(meter)


def test_the_simulator_of_the_page_attenuates(monkeypatch, capsys):
    names = {"__name__": "acme_a5"}
    for block in blocks("how-to/add-a-simulator.md", "python"):
        exec(compile(block, "how-to/add-a-simulator.md", "exec"), names)
    assert capsys.readouterr().out == "".join(blocks("how-to/add-a-simulator.md", "text"))
    module = types.ModuleType("acme_a5")
    vars(module).update(names)
    monkeypatch.setitem(sys.modules, "acme_a5", module)
    monkeypatch.setattr(
        "qhal_simulators.instrument_registry._published",
        lambda: published.Published("simulated instrument", {"acme.a5": "acme_a5:A5"}),
    )
    with Background.of("acme.a5", reply_end="crlf") as background:
        host, port = background.address("acme.a5").removeprefix("tcp://").split(":")
        with (
            socket.create_connection((host, int(port)), timeout=10.0) as client,
            client.makefile("rb") as lines,
        ):
            client.sendall(b"ATT 70\nATT 3\nATT?\n")
            assert [lines.readline() for _ in range(3)] == [b"ERR range\r\n", b"60.00\r\n", b"OK\r\n"]


def test_the_script_of_the_page_is_followed(acme):
    _, script = blocks("how-to/add-a-driver.md", "python")
    exec(compile(script, "how-to/add-a-driver.md", "exec"), {})


def test_the_transport_of_the_page_reaches_a_driver(acme, tmp_path, monkeypatch):
    (source,) = blocks("how-to/add-a-transport.md", "python")
    module = types.ModuleType("acme_unix")
    exec(compile(source, "how-to/add-a-transport.md", "exec"), vars(module))
    monkeypatch.setitem(sys.modules, "acme_unix", module)
    monkeypatch.setitem(SCHEMES, "unix", "acme_unix:UnixTransport")
    path = tmp_path / "pm42"
    with pytest.raises(Disconnected, match="No such file"):
        open_device("acme.pm42", f"unix://{path}", PowerMeter)
    with socketserver.ThreadingUnixStreamServer(str(path), Unit) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        with open_device("acme.pm42", f"unix://{path}", PowerMeter) as meter:
            assert meter.read_power_dbm(1) == -12.5
        server.shutdown()
        thread.join()


def test_the_picture_of_the_packages_is_that_of_the_imports():
    names = runpy.run_path(str(ROOT / "docs" / "packages.py"))
    assert names["PICTURE"].read_text() == names["picture"](), "run python docs/packages.py"


def test_the_node_file_of_the_page_is_one():
    import tomllib

    (text,) = blocks("reference/node-files.md", "toml")
    assert set(parse_node(tomllib.loads(text), "reference/node-files.md").devices) == {"voa", "detectors"}


def test_the_first_reading_reads_as_the_page_does(simulate, capsys):
    background = simulate("ozoptics.dd100", homed=True)
    names = {}
    for block in blocks("tutorial/first-reading.md", "python"):
        source = re.sub(r"serial:///[^\"]+", background.address("ozoptics.dd100"), block)
        exec(compile(source, "first-reading.md", "exec"), names)
    printed = capsys.readouterr().out
    assert "20.0\n" in printed
    _, refused = blocks("tutorial/first-reading.md", "text")
    assert refused in printed


def test_the_first_node_counts_as_the_page_does(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with Background.of_scenario(load_scenario("wuhan-metro-link")) as background:
        (tmp_path / "node.toml").write_text(background.node_file())
        for block in blocks("tutorial/first-node.md", "python"):
            exec(compile(block, "first-node.md", "exec"), {})
    assert capsys.readouterr().out.count("{1: ") >= 2


def test_tags_are_recorded_and_read_as_the_page_does(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with Background.of_scenario(load_scenario("detector-bench")) as background:
        (tmp_path / "bench.toml").write_text(background.node_file())
        for block in blocks("how-to/record-tags.md", "python"):
            exec(compile(block, "how-to/record-tags.md", "exec"), {})
    assert "{1: " in capsys.readouterr().out


@pytest.mark.parametrize(
    "script", sorted(p.stem for p in (ROOT / "examples").glob("*.py") if p.stem != "bench")
)
def test_notebook_is_that_of_the_script(script):
    """Made by ``make notebooks``; a cell of text has no ``# `` before its lines."""
    folder = ROOT / "examples"
    cells = json.loads((folder / f"{script}.ipynb").read_text())["cells"]
    found = [
        ("markdown" if c["cell_type"] == "markdown" else "code", "".join(c["source"]).strip()) for c in cells
    ]
    wanted = []
    for part in re.split(r"^# %%", (folder / f"{script}.py").read_text(), flags=re.MULTILINE)[1:]:
        head, _, body = part.partition("\n")
        if "[markdown]" in head:
            wanted.append(("markdown", re.sub(r"^# ?", "", body, flags=re.MULTILINE).strip()))
        else:
            wanted.append(("code", body.strip()))
    assert found == wanted
    assert all(not c.get("outputs") for c in cells)


def test_h5py_reads_a_record_as_the_page_says(tmp_path, monkeypatch):
    (source,) = blocks("reference/record-files.md", "python")
    (folder := tmp_path / "records").mkdir()
    shutil.copy(ROOT / "tests/records/files/version-2.h5", folder / "dead-time-20261124T120000000000Z.h5")
    monkeypatch.chdir(tmp_path)
    exec(compile(source, "reference/record-files.md", "exec"), found := {})
    assert found["names"].tolist() == ["attenuation"] * 3
    assert found["document"]["schema_version"] == 2
