"""A customer's traffic: which devices and ports carry it, and that leaving a node and restoring leave it alone."""

import pytest

from qhal.calibration.framework.device_state import Restoring
from qhal.devices.interface import SafeState
from qhal.errors import ConfigurationError
from qhal.node.node import open_node
from qhal.node.schema import parse_node
from tests.node.test_leaving import OfTheUser, background, bench, broken, light_up, lit

__all__ = ["background", "bench"]


def test_traffic_is_left_alone(bench, background):
    changes = [("[devices.laser]\n", '[devices.laser]\ncarries = "traffic"\n')]

    def fails():
        with open_node(bench(*changes)) as node:
            light_up(node)
            assert node.source("laser").make_safe() is SafeState.UNTOUCHED
            assert node.make_safe()["laser"] is SafeState.UNTOUCHED
            assert lit(background) == (True, False, False)
            light_up(node)
            raise OfTheUser

    with pytest.raises(OfTheUser):
        fails()
    assert lit(background) == (True, False, False)
    with open_node(bench(*changes)) as node:
        laser = node.source("laser")
        before = laser.status().model_dump(exclude={"time", "power_dbm"})

        def fails_again():
            with Restoring({"source": laser}):
                laser.disable()
                laser.set_frequency_thz(before["frequency_thz"] + 0.1)
                laser.set_power_dbm(before["set_power_dbm"] - 1.0)
                raise OfTheUser

        with pytest.raises(OfTheUser):
            fails_again()
        assert laser.status().model_dump(exclude={"time", "power_dbm"}) == before
        assert lit(background)[0]


def test_traffic_through_a_switch_stays_connected(bench):
    path = '[paths.customer]\ncarries = "traffic"\nelements = [{ device = "switch", ingress = 3, egress = 20 }]\n'
    with open_node(bench(("[clock_tree]\n", f"{path}\n[clock_tree]\n"))) as node:
        switch = node.optical_switch("switch")
        switch.set_pattern({1: 17, 3: 20, 4: 21})
        assert node.make_safe()["switch"] is SafeState.VERIFIED
        assert switch.read_pattern() == {3: 20}
        switch.set_pattern({})


def test_restoring_a_switch_changes_no_connection_of_a_customer(bench, monkeypatch, caplog):
    path = '[paths.customer]\ncarries = "traffic"\nelements = [{ device = "switch", ingress = 3, egress = 20 }]\n'
    with open_node(bench(("[clock_tree]\n", f"{path}\n[clock_tree]\n"))) as node:
        switch = node.optical_switch("switch")
        switch.set_pattern({1: 17, 3: 20, 4: 21})
        with monkeypatch.context() as patch:
            patch.setattr(switch, "_replace", broken(AssertionError("traffic was part of a change")))
            with Restoring({"switch": switch}):
                switch.disconnect(1)
                switch.disconnect(4)
                switch.connect(4, 17)
                switch.disconnect(3)
            assert switch.read_pattern() == {1: 17, 3: 20, 4: 21}
            with Restoring({"switch": switch}):
                switch.disconnect(3)
                switch.connect(3, 22)
            assert switch.read_pattern() == {1: 17, 3: 22, 4: 21}
        assert "ports 3 and 20 of a customer were moved" in caplog.text
        switch.set_pattern({})


def test_who_carries_traffic():
    element = {"device": "laser"}, {"device": "switch", "ingress": 1, "egress": 17}, {"device": "voa"}
    content = {
        "node": {"name": "n"},
        "devices": {
            name: {"driver": driver, "address": "tcp://127.0.0.1:1"}
            for name, driver in (("laser", "x.y"), ("switch", "x.y"), ("voa", "x.y"), ("other", "x.y"))
        },
        "paths": {"customer": {"carries": "traffic", "elements": element}},
    }
    file = parse_node(content, "n")
    carrying = {name for name in file.devices if file.carries_traffic(name)}
    assert carrying == {"laser", "voa"}
    assert file.traffic_ports("switch") == {1, 17}
    content["devices"]["laser"]["carries"] = "water"
    with pytest.raises(ConfigurationError, match=r"devices.laser.carries: .*'quantum' or 'traffic'"):
        parse_node(content, "n")


def test_detectors_carry_no_traffic(bench):
    path = bench(("[devices.detectors]\n", '[devices.detectors]\ncarries = "traffic"\n'))
    with pytest.raises(ConfigurationError, match="detectors: single-photon detectors carry no traffic"):
        open_node(path)
