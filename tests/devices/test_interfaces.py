"""What every interface owes its user: verbs for what talks to hardware, typed errors for wrong arguments."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from qhal.devices.attenuator import Attenuator
from qhal.devices.detector import Detector
from qhal.devices.device import Device
from qhal.errors import ConfigurationError, Disconnected, QhalError, Unsupported
from qhal.node.device_factory import make_device, open_device
from qhal.node.driver_registry import drivers, load_driver
from qhal.testing import interfaces

INTERFACES = [each for name, each in interfaces.INTERFACES.items() if name != "device"]
WRONG = ("20", None, [1], 3 + 0j, float("nan"), float("inf"), -1e30, True, object(), {}, b"x", "abc")
STARTS = (
    "set",
    "read",
    "enable",
    "disable",
    "connect",
    "disconnect",
    "play",
    "stop",
    "start",
    "home",
    "unlatch",
)
VERBS = re.compile(
    rf"({'|'.join(STARTS)}|make_safe|stream|reserve|release|status|get|offers|open|close)(_|$)"
)


def members(each):
    return [(name, each) for name, each in vars(each).items() if not name.startswith("_")]


@pytest.mark.parametrize("each", [*INTERFACES, Device], ids=lambda each: each.__name__)
def test_names_say_what_talks_to_hardware(each):
    for name, member in members(each):
        if inspect.isfunction(member):
            assert not re.match(r"(is|has|can)_", name), f"{name} is true without its parentheses"
            if each is not Device:
                assert VERBS.match(name), f"{name}: begin with a verb"


@pytest.mark.parametrize("name", sorted(drivers()))
def test_properties_ask_nothing(name, bench):
    device, _ = bench(name)
    sent = []
    for connection in device.session.connections.values():
        connection.exchange = connection.send = lambda *words, **more: sent.append(words)
    for part in device.parts:
        for each in type(part).__mro__:
            for word, member in members(each):
                if isinstance(member, property):
                    getattr(part, word)
        assert repr(part)
    assert "<table>" in device._repr_html_()
    assert sent == []
    for connection in device.session.connections.values():
        del connection.exchange, connection.send


def calls(part):
    """Yield each verb that takes arguments, and good arguments of it."""
    for each in type(part).__mro__:
        if each in INTERFACES:
            for name, member in members(each):
                if inspect.isfunction(member) and VERBS.match(name):
                    parameters = list(inspect.signature(member).parameters.values())[1:]
                    if parameters:
                        yield name, parameters


@pytest.mark.parametrize("name", sorted(drivers()))
def test_wrong_arguments_are_typed_errors_that_name_the_device(name, bench):
    device, _ = bench(name)
    before = device.health.exchanges
    tried = 0
    for part in device.parts:
        for verb, parameters in calls(part):
            if verb in ("reserve", "release"):
                continue  # any text is an owner
            needed = [p for p in parameters if p.default is p.empty]
            for place in range(max(len(needed), 1)):
                for wrong in WRONG:
                    if wrong is True and "on" in {p.name for p in parameters[place : place + 1]}:
                        continue
                    arguments = [1] * max(len(needed), 1)
                    arguments[place] = wrong
                    if verb == "set_pattern" and wrong == {}:
                        continue  # nothing connected is a pattern
                    with pytest.raises(QhalError) as failure:
                        getattr(part, verb)(*arguments)
                    assert device.name in str(failure.value), (verb, arguments)
                    assert not isinstance(failure.value, Disconnected), (verb, arguments)
                    tried += 1
    assert tried
    assert device.health.exchanges - before <= tried, "refusing asks at most what is set now"


@pytest.mark.parametrize("name", sorted(drivers()))
def test_nothing_else_can_be_assigned(name):
    address = {"serial": "serial:///dev/absent", "tcp": "tcp://h:1", "zmq+tcp": "zmq+tcp://h:1"}
    main, *others = [
        (connection, address[spec.schemes[0]])
        for connection, spec in load_driver(name).declaration.connections.items()
    ]
    device = make_device(name, main[1], connections=dict(others))
    for verb in [word for word in dir(type(device)) if word.startswith("set_")]:
        with pytest.raises(AttributeError, match=rf"{verb}\(\.\.\.\)"):
            setattr(device, verb.removeprefix("set_"), 1)
        with pytest.raises(AttributeError, match=f"{verb} is a method"):
            setattr(device, verb, 1)
    for read_only in ("identity", "is_open", "health"):
        with pytest.raises(AttributeError, match="can only be read"):
            setattr(device, read_only, 1)
    assert f"<{type(device).__name__} {device.name!r} at " in repr(device)
    assert repr(device).endswith(", closed>")


def test_repr_names_address_state_and_settings(bench):
    device, background = bench("ozoptics.dd100", homed=True)
    device.set_attenuation_db(20.0)
    address = background.address("ozoptics.dd100")
    assert repr(device) == f"<Dd100 'OZ Optics DD-100-MC' at {address}, ready, attenuation 20 dB>"
    assert repr(device.connection) == f"<Connection 'OZ Optics DD-100-MC' at {address}, ready>"
    assert "attenuation 20 dB" in repr(device.status())
    assert "max attenuation 60 dB" in str(device.capabilities)
    assert "<td>attenuation 20 dB</td>" in device._repr_html_()


def test_wrong_requests_of_open_device(bench):
    device, background = bench("ozoptics.dd100", homed=True)
    device.close()
    address = background.address("ozoptics.dd100")
    with open_device("ozoptics.dd100", address, Attenuator) as voa:
        assert voa.set_attenuation_db(30.0) == 30.0
    with pytest.raises(Unsupported, match="no Detector"):
        open_device("ozoptics.dd100", address, Detector)
    for wrong, message in (
        (
            {"expected": {"serial": "1"}},
            "expected field 'serial'; allowed are manufacturer, model, serial_number",
        ),
        ({"colour": "red"}, "unknown key 'colour'"),
        ({"connections": {"stream": "tcp://h:1"}}, "no connection 'stream'"),
    ):
        with pytest.raises(ConfigurationError, match=re.escape(message)):
            open_device("ozoptics.dd100", "serial:///dev/absent", **wrong)
    with pytest.raises(ConfigurationError, match=r"ozoptics\.dd100: address"):
        open_device("ozoptics.dd100", "nowhere")


@pytest.mark.timeout(300)
def test_open_device_is_typed(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import qhal\n"
        "from qhal.devices.attenuator import Attenuator\n"
        'with qhal.open_device("ozoptics.dd100", "serial:///dev/absent", Attenuator) as voa:\n'
        "    reveal_type(voa)\n"
        "    voa.set_attenuation_bd(20.0)\n"
    )
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--config-file",
            str(Path(__file__).parents[2] / "pyproject.toml"),
            str(script),
        ],
        capture_output=True,
        text=True,
        timeout=250,
        cwd=Path(__file__).parents[2],
    )
    assert 'Revealed type is "qhal.devices.attenuator.Attenuator"' in done.stdout, done.stdout + done.stderr
    assert '"Attenuator" has no attribute "set_attenuation_bd"' in done.stdout


def test_a_failed_setting_is_raised_and_not_also_printed(bench):
    device, background = bench("ozoptics.dd100", homed=True)
    script = (
        "import qhal, sys\n"
        f"device = qhal.open_device('ozoptics.dd100', {background.address('ozoptics.dd100')!r})\n"
        "device._write_attenuation_db = lambda value: None\n"
        "try:\n    device.set_attenuation_db(20.0)\nexcept qhal.QhalError as error:\n    print(error)\n"
    )
    device.close()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50)
    assert "after setting 20.0 dB" in done.stdout
    assert done.stderr == ""
