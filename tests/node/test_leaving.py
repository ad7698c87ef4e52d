"""How a node is left: as it was set, or safe, in the order of danger, whatever a device raises; traffic goes on."""

import itertools
import logging
import os
import re
import signal
import threading
import tomllib
from contextlib import nullcontext

import pytest

from qhal.calibration.framework.device_state import Restoring, is_unsafe
from qhal.devices.device import Device
from qhal.devices.interface import Hazard, SafeState
from qhal.devices.safety import by_device, interfaces_of
from qhal.errors import Disconnected, OpenFailed, ReplyTimeout
from qhal.node.node import Node, open_node
from qhal.node.schema import load_node_file
from qhal_simulators.physics.scenario_tables import load_scenario, scenario_names
from qhal_simulators.servers.background import Background

BIAS_UA = [25.1, 27.1, 29.4, 28.8]


@pytest.fixture(scope="module")
def background():
    with Background.of_scenario(load_scenario("detector-bench"), 1, {"voa": {"homed": True}}) as background:
        yield background


@pytest.fixture
def bench(background, tmp_path):
    """Write a node file of the bench, with keys of its tables changed; light, bias and attenuator can be looked at."""

    def write(*changes, **settings):
        text = background.node_file()
        settings = {"guard": False, **settings}
        lines = "".join(f"{key} = {str(value).lower()}\n" for key, value in settings.items())
        text = re.sub(rf"^({'|'.join(settings)}) = .*\n", "", text, flags=re.MULTILINE)
        text = text.replace("[node]\n", f"[node]\n{lines}")
        for old, new in changes:
            assert old in text
            text = text.replace(old, new, 1)
        path = tmp_path / "bench.toml"
        path.write_text(text)
        return path

    yield write
    with open_node(write()) as node:
        node.make_safe()


def lit(background):
    ports = {name: background.unit(name).instrument.port for name in ("laser", "detectors", "voa")}
    return background.do(
        lambda: (
            ports["laser"].settings.enabled,
            ports["detectors"].settings.enabled,
            ports["voa"].settings.attenuation_db < 50,
        )
    )


def light_up(node):
    node.attenuator("voa").set_attenuation_db(20.0)
    node.detector("detectors").set_bias_ua(BIAS_UA)
    node.detector("detectors").enable()
    node.source("laser").enable()


class OfTheUser(BaseException):
    pass


ENDS = [
    (None, {}, True),
    (SystemExit(0), {}, True),
    (SystemExit(), {}, True),
    (SystemExit(1), {}, False),
    (SystemExit("no"), {}, False),
    (ValueError("a slip"), {}, False),
    (KeyboardInterrupt(), {}, False),
    (OfTheUser(), {}, False),
    (ValueError("a slip"), {"safe_on_failure": False}, True),
    (None, {"safe_on_exit": True}, False),
    (ValueError("a slip"), {"safe_on_failure": False, "safe_on_exit": True}, False),
]


def end_by(error):
    if error is not None:
        raise error


@pytest.mark.parametrize(("error", "settings", "stays"), ENDS, ids=repr)
def test_what_stays_on(error, settings, stays, bench, background, caplog):
    caplog.set_level(logging.WARNING)
    with pytest.raises(type(error)) if error else nullcontext(), open_node(bench(**settings)) as node:
        light_up(node)
        end_by(error)
    assert lit(background) == ((True, True, True) if stays else (False, False, False))
    noted = [record.message for record in caplog.records if "made safe" in record.message]
    if error is not None and not stays:
        (line,) = noted
        for text in ("detectors: safe", "laser: safe", "voa: safe", "second-voa: closed as far as commanded"):
            assert text in line
        assert (
            f"ended by {'SIGINT' if isinstance(error, KeyboardInterrupt) else type(error).__name__}" in line
        )
    announced = [record.message for record in caplog.records if "safe_on_failure = false" in record.message]
    if settings.get("safe_on_failure", True):
        assert not announced
    else:
        what = "the death of this process" if "safe_on_exit" in settings else "a failure"
        assert announced[0].endswith(f"safe_on_failure = false: {what} leaves light and bias on")


def test_a_fresh_bench_is_made_safe_and_says_how_sure_that_is(bench):
    with open_node(bench()) as node:
        states = node.make_safe()
        assert states["second-voa"] is SafeState.COMMANDED
        assert (
            states["voa"] is states["laser"] is states["detectors"] is states["switch"] is SafeState.VERIFIED
        )
        assert states["tagger"] is states["polarization"] is SafeState.UNTOUCHED
        node.attenuator("second-voa").home()
        assert node.make_safe()["second-voa"] is SafeState.VERIFIED
        with pytest.raises(ExceptionGroup, match="not everything"):  # not moving is not being safe
            stuck(node, "voa")


def stuck(node, name):
    voa = node.attenuator(name)
    voa.set_attenuation_db(20.0)
    voa._write_attenuation_db = lambda attenuation_db: None
    node.make_safe()


HOOKS = {
    "laser": "_write_emitting",
    "detectors": "_write_enabled",
    "voa": "_write_attenuation_db",
    "switch": "_replace",
}
FAULTS = (
    ValueError("of a driver"),
    RecursionError("of a parser"),
    ZeroDivisionError(),
    KeyError("label"),
    SystemExit(0),
    KeyboardInterrupt(),
)


def broken(fault):
    def raises(*arguments):
        raise fault

    return raises


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
@pytest.mark.parametrize("name", HOOKS)
def test_whatever_one_raises_the_others_are_made_safe(name, fault, bench, background, monkeypatch):
    with open_node(bench()) as node:
        light_up(node)
        with monkeypatch.context() as patch:
            patch.setattr(node.device(name), HOOKS[name], broken(fault))
            with pytest.raises(ExceptionGroup) as caught:
                node.make_safe()
            assert any(fault in (error, error.__cause__) for error in caught.value.exceptions)
            expected = {
                "laser": (True, False, False),
                "detectors": (False, True, False),
                "voa": (False, False, True),
            }
            assert lit(background) == expected.get(name, (False, False, False))


@pytest.mark.parametrize("settings", [{}, {"safe_on_exit": True}], ids=["failure", "exit"])
@pytest.mark.parametrize("fault", [ValueError("of a driver"), SystemExit(0), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("where", ["in a driver", "around it"])
def test_whatever_ends_making_safe_leaves_the_rest_to_the_guard(
    where, fault, settings, bench, background, monkeypatch, caplog
):
    def ends(node):
        with node:
            light_up(node)
            if where == "in a driver":
                monkeypatch.setattr(node.device("laser"), "_write_emitting", broken(fault))
            else:
                monkeypatch.setattr("qhal.node.node.make_devices_safe", broken(fault))
            end_by(None if settings else OfTheUser())

    node = open_node(bench(guard=True, **settings))
    with pytest.raises((type(fault), OfTheUser, ExceptionGroup)):
        ends(node)
    assert lit(background) == (False, False, False)
    assert "made safe by its guard" in caplog.text
    assert node._guard is None


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()], ids=repr)
def test_without_a_thread_all_are_made_safe_in_order(error, bench, background, monkeypatch):
    with open_node(bench()) as node:
        light_up(node)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", broken(error))
            states = node.make_safe()
    assert states["laser"] is states["detectors"] is states["voa"] is SafeState.VERIFIED
    assert lit(background) == (False, False, False)


def test_without_a_thread_a_node_does_not_open(bench, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", broken(RuntimeError("can't start new thread")))
        with pytest.raises(OpenFailed, match="can't start new thread"):
            open_node(bench())


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_node_is_of_the_process_that_opens_it(bench, background):
    node = Node(load_node_file(bench()))
    child = os.fork()
    if child == 0:
        signal.alarm(50)
        try:
            with node:
                light_up(node)
                os.write(2, b"lit")
                raise OfTheUser
        except OfTheUser:
            os._exit(7)
        finally:
            os._exit(8)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert lit(background) == (False, False, False)


def test_what_does_not_end_is_not_waited_for_without_limit(bench, background, monkeypatch):
    goes_on = threading.Event()
    with open_node(bench()) as node:
        light_up(node)
        with monkeypatch.context() as patch:
            patch.setattr("qhal.devices.safety._LIMIT_S", 1.0)
            patch.setattr(node.device("laser"), "_write_emitting", lambda emitting: goes_on.wait())
            with pytest.raises(ExceptionGroup) as caught:
                node.make_safe()
            goes_on.set()
    (error,) = caught.value.exceptions
    assert isinstance(error, ReplyTimeout)
    assert lit(background) == (True, False, False)


@pytest.mark.parametrize("ends", [None, ValueError("a slip")], ids=repr)
@pytest.mark.parametrize("name", ["laser", "detectors", "voa"])
def test_a_device_closed_by_hand_is_left_as_the_others_are(name, ends, bench, background, caplog):
    with pytest.raises(ValueError, match="a slip") if ends else nullcontext(), open_node(bench()) as node:
        light_up(node)
        node.device(name).close()
        end_by(ends)
    assert lit(background) == ((False, False, False) if ends else (True, True, True))
    assert (f"{name}: safe" in caplog.text) == (ends is not None)
    assert not node.device(name).is_open
    with open_node(bench()) as node:
        light_up(node)
        node.device(name).close()
        assert node.make_safe()[name] is SafeState.VERIFIED
        assert lit(background) == (False, False, False)
        node.open()
        assert node.device(name).is_open


def test_a_device_that_does_not_open_again_is_the_guards(bench, background, monkeypatch, caplog):
    def ends():
        with open_node(bench(guard=True)) as node:
            light_up(node)
            node.device("laser").close()
            monkeypatch.setattr(node.device("laser"), "_start", broken(Disconnected("laser: gone")))
            with pytest.raises(OpenFailed, match="gone"):
                node.open()
            assert node.device("voa").is_open
            assert not node.device("laser").is_open
            raise OfTheUser

    with pytest.raises(OfTheUser):
        ends()
    assert "laser: NOT SAFE: " in caplog.text
    assert "made safe by its guard" in caplog.text
    assert lit(background) == (False, False, False)


@pytest.mark.parametrize("ends", ["well", "badly"])
@pytest.mark.parametrize("name", ["laser", "detectors", "voa"])
def test_whatever_one_raises_the_others_are_restored(name, ends, bench, background, monkeypatch):
    fault = ValueError("Atten:1.60.00(dB)")
    with open_node(bench()) as node:
        light_up(node)
        devices = {each: interfaces_of(node.device(each))[0] for each in ("laser", "voa", "detectors")}

        def ends_while_one_is_broken(patch):
            with Restoring(devices):
                patch.setattr(node.device(name), HOOKS[name], broken(fault))
                end_by(OfTheUser() if ends == "badly" else None)

        with monkeypatch.context() as patch, pytest.raises((ExceptionGroup, OfTheUser)) as caught:
            ends_while_one_is_broken(patch)
        noted = str(getattr(caught.value, "exceptions", "")) + str(getattr(caught.value, "__notes__", ""))
        assert str(fault) in noted
        assert is_unsafe(caught.value) == (ends == "badly")
        expected = {
            "laser": (True, False, False),
            "detectors": (False, True, False),
            "voa": (False, False, True),
        }
        assert lit(background) == expected[name]


def test_the_order_of_danger(bench, monkeypatch):
    order = []
    with open_node(bench()) as node:
        light_up(node)
        for name, hook in HOOKS.items():
            real = getattr(node.device(name), hook)

            def written(*arguments, name=name, real=real):
                order.append(name)
                return real(*arguments)

            monkeypatch.setattr(node.device(name), hook, written)
        node.make_safe()
    assert order == ["detectors", "laser", "voa", "switch"]
    assert list(Hazard) == [Hazard.BIAS, Hazard.LIGHT, Hazard.PATH, Hazard.OTHER]


def test_bias_that_stays_does_not_hold_up_the_light(bench, background, monkeypatch):
    dark = threading.Event()
    with open_node(bench()) as node:
        light_up(node)
        laser = node.source("laser")
        real_off, real_bias = laser._write_emitting, node.device("detectors")._write_enabled

        def off(emitting):
            real_off(emitting)
            dark.set()

        def waits_for_dark(on):
            assert dark.wait(30)
            real_bias(on)

        monkeypatch.setattr(laser, "_write_emitting", off)
        monkeypatch.setattr(node.device("detectors"), "_write_enabled", waits_for_dark)
        node.make_safe()
    assert lit(background) == (False, False, False)


@pytest.mark.parametrize("states", list(itertools.permutations((SafeState.VERIFIED, SafeState.UNTOUCHED))))
def test_a_part_that_has_no_unsafe_state_hides_none_that_has(states):
    assert by_device([("laser", state) for state in states]) == {"laser": SafeState.VERIFIED}
    fault = ValueError()
    for parts in itertools.permutations((*states, fault)):
        assert by_device([("laser", state) for state in parts]) == {"laser": fault}


def test_a_device_that_does_not_close_keeps_nothing_else_open(bench, monkeypatch):
    node = open_node(bench())

    def fails(device):
        real(device)
        if device.name == "voa":
            raise RuntimeError("of a driver")

    real = Device.close
    with monkeypatch.context() as patch:
        patch.setattr(Device, "close", fails)
        with pytest.raises(RuntimeError, match="of a driver"):
            node.close()
    assert not any(device.is_open for device in node.devices.values())


def test_nodes_of_scenarios_say_how_they_are_left(background):
    for name in scenario_names():
        scenario = load_scenario(name)
        with_traffic = [path for path in scenario.paths.values() if path.carries == "traffic"]
        lasers = {each for each in scenario.instruments if "classical" in each}
        assert lasers <= {element.device for path in with_traffic for element in path.elements}
    table = tomllib.loads(background.node_file())["node"]
    assert table["safe_on_exit"] is False
    assert table["safe_on_failure"] is True
