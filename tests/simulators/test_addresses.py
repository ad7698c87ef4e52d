"""Addresses of `qhal simulate`: the same at each start, a clear error when taken, nothing left behind."""

import contextlib
import os
import socket

import pytest

from qhal.errors import ConfigurationError
from qhal_simulators.instrument_registry import instruments, make_unit
from qhal_simulators.run import run
from qhal_simulators.servers import addresses
from qhal_simulators.servers.addresses import FixedAddresses, addresses_for
from qhal_simulators.servers.background import Background
from qhal_simulators.servers.simulation import Simulation
from qhal_simulators.simulated_time import SimulationClock

ALL = sorted(instruments())

pytestmark = pytest.mark.xdist_group("addresses")  # a row of ports that are free for one test at a time


def test_one_worker_runs_these_tests(request):
    """Some releases of pytest ignore the groups of pytest-xdist without a word."""
    if hasattr(request.config, "workerinput"):
        assert request.node.nodeid.endswith("@addresses")


def background(where, models=ALL):
    clock = SimulationClock()
    return Background(Simulation([make_unit(model, model, {}, clock) for model in models], clock, where))


def reached(found):
    return {model: (found.address(model), found.connections(model)) for model in found.simulation.units}


def free_ports(count):
    """A row of ports that are free now, where no system and no scenario of another test takes any."""
    for first in range(20_000, 30_000, count):
        with contextlib.ExitStack() as stack:
            try:
                for number in range(first, first + count):
                    stack.enter_context(socket.create_server(("127.0.0.1", number)))
            except OSError:
                continue
        return first
    raise AssertionError("no row of free ports")


def ask_all(found):
    """Talk to one link of each transport, so that connections of this run are there when it ends."""
    kind, host, port = found.address("hubersuhner.polatis").replace("//", "").split(":")
    assert (kind, host) == ("tcp", "127.0.0.1")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(b"*IDN?\n")
        assert b"Polatis" in client.recv(1000)


def test_addresses_are_the_same_over_restarts_and_nothing_is_left(tmp_path):
    first, folder = free_ports(32), tmp_path / "lines"
    seen = []
    for _ in range(3):
        with background(FixedAddresses(folder, first)) as found:
            ask_all(found)
            seen.append(reached(found))
            assert all(path.is_symlink() for path in folder.iterdir())
        assert not folder.exists()
    assert seen[0] == seen[1] == seen[2]
    ports = [text for address, connections in seen[0].values() for text in (address, *connections.values())]
    assert len(set(ports)) == len(ports)
    assert f"serial://{folder}/ozoptics.dd100" in ports


def test_new_addresses_never_clash():
    with background(None) as one, background(None) as other:
        assert not {a for a, _ in reached(one).values()} & {a for a, _ in reached(other).values()}


def test_a_port_that_is_taken_is_named_and_nothing_is_left(tmp_path):
    first = free_ports(32)
    ports = (first, first + 3)
    for taken in ports:
        with (
            socket.create_server(("127.0.0.1", taken)),
            pytest.raises(ConfigurationError, match=rf"port {taken} for .* is taken .*--port-base N"),
            background(FixedAddresses(tmp_path / "lines", first)),
        ):
            pass
        assert list(tmp_path.iterdir()) == []


def test_a_port_that_another_simulation_only_keeps_is_taken(tmp_path):
    """A stream's port is bound by nobody until a stream runs."""
    first = free_ports(32)
    with background(FixedAddresses(tmp_path / "one", first), ["idquantique.id900"]) as one:
        kept = int(one.connections("idquantique.id900")["stream3"].rpartition(":")[2])
        with (
            pytest.raises(ConfigurationError, match=f"port {kept} for hubersuhner.polatis is taken"),
            background(FixedAddresses(tmp_path / "two", kept), ["hubersuhner.polatis"]),
        ):
            pass


def test_a_folder_has_one_simulation_at_a_time(tmp_path):
    with (
        background(FixedAddresses(tmp_path / "lines", 0), ["ozoptics.dd100"]) as one,
        pytest.raises(ConfigurationError, match=r"lines: in use by another simulation.*--at FOLDER"),
        background(FixedAddresses(tmp_path / "lines", 0), ["ozoptics.dd100"]),
    ):
        pass
    assert one.simulation.units
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_simulation_left_does_not_block_the_next(tmp_path):
    for stale in ("ozoptics.dd100", "of-another-scenario"):
        (tmp_path / stale).symlink_to("/dev/pts/99999999")
    (tmp_path / "node.toml").write_text("mine")
    with background(FixedAddresses(tmp_path, 0), ["ozoptics.dd100"]):
        assert os.readlink(tmp_path / "ozoptics.dd100") != "/dev/pts/99999999"
        assert not (tmp_path / "of-another-scenario").is_symlink(), "its terminal may be anybody's now"
    assert [path.name for path in tmp_path.iterdir()] == ["node.toml"], "what is not ours stays"


@pytest.mark.parametrize("make", ["file", "folder", "link"])
def test_what_is_no_line_is_never_replaced(tmp_path, make):
    path = tmp_path / "ozoptics.dd100"
    {"file": path.touch, "folder": path.mkdir, "link": lambda: path.symlink_to("elsewhere")}[make]()
    with (
        pytest.raises(ConfigurationError, match=r"ozoptics.dd100: exists and is not a simulated line"),
        background(FixedAddresses(tmp_path, 0), ["ozoptics.dd100"]),
    ):
        pass
    assert os.path.lexists(path)


@pytest.mark.parametrize("folder", ["absent/lines", "a file", "a?b", "a#b"])
def test_folders_that_cannot_be(tmp_path, folder):
    (tmp_path / "a file").touch()
    with (
        pytest.raises(ConfigurationError, match="--at FOLDER"),
        background(FixedAddresses(tmp_path / folder, 0), ["ozoptics.dd100"]),
    ):
        pass


def test_the_default_follows_from_user_and_name(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    one, again, other = (addresses_for(name, None, None) for name in ("voa", "voa", "switch"))
    assert one._folder == again._folder == tmp_path / "qhal" / "voa"
    assert one._next_port == again._next_port != other._next_port
    assert addresses_for("voa", tmp_path, None)._next_port != one._next_port, (
        "--at alone is enough for a second one"
    )
    monkeypatch.setattr(addresses.os, "getuid", lambda: 54321)
    assert addresses_for("voa", None, None)._next_port != one._next_port
    assert addresses._FIRST_PORT <= one._next_port <= addresses._LAST_PORT - addresses._MOST_LINKS
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr(addresses.tempfile, "gettempdir", lambda: str(tmp_path))
    (tmp_path / "qhal-54321").mkdir()
    with pytest.raises(ConfigurationError, match="--at FOLDER"):
        addresses_for("voa", None, None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "ozoptics.dd10"}, r"no scenario or instrument 'ozoptics.dd10'; did you mean ozoptics.dd100\?"),
        ({"name": "wuhan-metro"}, r"did you mean wuhan-metro-link\? .*detector-bench.*tektronix.awg5014"),
        ({"name": "qq"}, r"'qq'; there are detector-bench, .*tektronix.awg5014"),
        ({"name": "absent/own.toml"}, "absent/own.toml: No such file"),
        ({"name": "absent/own"}, "absent/own: No such file"),
        ({"name": "ozoptics.dd100", "node_file": "absent/n.toml"}, "--node-file .*absent/n.toml: no folder"),
        ({"name": "ozoptics.dd100", "node_file": "."}, "--node-file .*: Is a directory"),
        ({"name": "ozoptics.dd100", "at": "absent/lines"}, r"No such file or directory \(--at FOLDER\)"),
        ({"name": "hubersuhner.polatis", "first_port": 65_536}, "the last one is 65535"),
    ],
)  # fmt: skip
def test_wrong_requests_leave_nothing_behind(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    paths = {key: tmp_path / arguments[key] for key in ("node_file", "at") if key in arguments}
    given = {"at": tmp_path / "lines", **arguments, **paths}
    with pytest.raises(ConfigurationError, match=message):
        run(given.pop("name"), [], **given)
    assert list(tmp_path.iterdir()) == []
