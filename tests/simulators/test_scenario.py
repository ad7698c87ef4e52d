"""Scenario files: the shipped one comes to life; a wrong one is refused by file, table and key."""

import json
import re
import tomllib
from importlib.resources import files

import numpy as np
import pytest

from qhal.errors import ConfigurationError
from qhal.node.schema import parse_node
from qhal_simulators.nodefile import node_file_text
from qhal_simulators.physics.light_units import photon_energy_j
from qhal_simulators.physics.scenario_tables import load_scenario, parse_scenario, scenario_names
from qhal_simulators.scenario_units import build
from qhal_simulators.servers.background import Background
from qhal_simulators.servers.simulation import Simulation
from qhal_simulators.simulated_time import SimulationClock
from tests.physics.bench import Link

NAME = "wuhan-metro-link"
TEXT = (files("qhal_simulators") / "scenarios" / f"{NAME}.toml").read_text()


PATHS = {NAME: {"quantum", "classical"}, "detector-bench": {"light"}, "source-bench": {"quantum"}}
PATHS["wuhan-hefei-span"] = {"from-wuhan", "to-hefei"}


def test_these_scenarios_are_shipped():
    assert set(scenario_names()) == set(PATHS)


@pytest.mark.parametrize("name", PATHS)
def test_a_shipped_scenario_yields_a_node_file(name):
    clock = SimulationClock(stepped=True)
    units, handlers, tables = build(load_scenario(name), {}, clock, seed=7)
    with Background(Simulation(units, clock)) as background:
        text = node_file_text(name, background.simulation, "tcp://127.0.0.1:1", tables)
        node = parse_node(tomllib.loads(text), "written")
        sheets = [handlers["datasheet"]({"link": link}) for link in load_scenario(name).by_link()]
    assert set(node.devices) == set(load_scenario(name).instruments)
    assert set(node.paths) == PATHS[name]
    assert node.clock.mode == "stepped"
    assert {sheet["scenario"] for sheet in sheets} == {name}
    assert (len(sheets) == 1 and sheets[0]["seed"] == 7) or name == "wuhan-hefei-span"


def test_a_trunk_station_receives_from_one_side_and_sends_to_the_other():
    spans = load_scenario("wuhan-hefei-span").by_link()
    assert np.mean([span.channel.length_km for span in spans.values()]) == pytest.approx(609 / (11 - 1))
    wuhan, hefei = (Link(span, seed=3, name=name).play() for name, span in spans.items())
    for link in (wuhan, hefei):
        times, _, start, stop = link.tags(0.2, settle_s=0.01)
        now = link.world.now_s
        clicks_hz = len(times) / ((stop - start) * 1e-12)
        rates = []
        for _, truth in link.truths(now - 0.1, now):
            seen = truth.detected_per_light_s * truth.pattern.mean_transmission
            rates.append(seen * truth.efficiency.mean() + 4 * 50.0)
        assert clicks_hz == pytest.approx(np.mean(rates), rel=0.05), "up to dead time and polarization"
    # The station's clock times the tags from one side and the pulses to the other.
    truth = hefei.truths(0.1, 0.1001)[0][1]
    station_hz = truth.pattern.slot_s / truth.slot_s
    reading = wuhan.readings.clock_ps
    assert (reading(0.1002) - reading(0.1)) / 2e8 == pytest.approx(station_hz, abs=1e-8)
    far = wuhan.truths(0.1, 0.1001)[0][1]
    assert abs(far.pattern.slot_s / far.slot_s - station_hz) > 1e-8
    assert not np.allclose(far.rotation, truth.rotation, atol=0.05), "two fibres"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"west": {"channel": {"length_km": -1.0}}}, "mine.toml: links.west: channel.length_km"),
        ({"west": {"channel": {"colour": "red"}}}, "mine.toml: links.west: channel.colour"),
        ({"west": {"kitchen": {}}}, "mine.toml: links.west.kitchen"),
        ({"West side": {}}, "mine.toml: links.West side"),
        (
            {
                "west": {"receiver": {"clock": "one", "clock_offset": 1e-7}},
                "east": {"transmitter": {"clock": "one"}},
            },
            "mine.toml: clock 'one' has more than one clock_offset",
        ),
    ],
)
def test_wrong_changes_of_a_link_are_named(changes, message):
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        parse_scenario({**tomllib.loads(TEXT), "links": changes}, "mine.toml")


def test_a_request_names_its_link_where_there_are_several():
    _, handlers, _ = build(load_scenario("wuhan-hefei-span"), {}, SimulationClock(stepped=True), None)
    with pytest.raises(ValueError, match="no link ''; there are 'wuhan', 'hefei'"):
        handlers["datasheet"]({})


def test_the_detector_bench_counts_what_its_path_promises():
    scenario = load_scenario("detector-bench")
    link = Link(scenario)
    link.world.part("voa").port.update(attenuation_db=30.0)
    link.world.part("second-voa").port.update(attenuation_db=40.0)
    link.world.part("quantum-laser").port.update(enabled=True, power_dbm=10.0, frequency_thz=193.4)
    times, inputs, start, stop = link.tags(0.5, settle_s=0.01)
    photons_hz = 1e-2 / photon_energy_j(193.4) * 10 ** (-(30 + 40 + 30 + 1.0 + 0.2 + 0.2 + 0.4 + 0.0004) / 10)
    counted = 0.0
    for channel, efficiency in enumerate(scenario.detectors.efficiency, 1):
        observed = (inputs == channel).sum() / ((stop - start) * 1e-12)
        # Dead time and the recovery after it take as much as a dead time of both together.
        counted += observed / (1 - observed * (35e-9 + 12e-9)) / efficiency
    assert counted == pytest.approx(photons_hz * 1.002, rel=0.005)
    link.world.part("quantum-laser").port.update(enabled=False)
    times, _, _, _ = link.tags(2.0, settle_s=0.01)
    assert len(times) / 2.0 == pytest.approx(390.0 / 0.998, abs=4 * (390 / 2) ** 0.5)


def test_the_control_link_tells_the_light_path():
    exact = {"slope_error": 0.0, "ripple_db": 0.0, "repeatability_db": 0.0}
    errors = {"voa": exact, "second-voa": {**exact, "offset_error_db": 0.5}}
    units, handlers, _ = build(load_scenario("detector-bench"), errors, SimulationClock(stepped=True), None)
    told = json.loads(json.dumps(handlers["light-path"]({"ingress": 2})))
    assert told["attenuation_db"] == 120.5, "both attenuators power up closed"
    assert (told["ingress"], told["egresses"]) == (2, list(range(17, 33)))
    assert told["switch_loss_db"] == [1.0] * 16
    assert (told["power_at_switch_dbm"], told["signal_hz"], told["stray_hz"]) == (None, 0.0, 0.0)
    laser = next(unit.instrument.port for unit in units if unit.name == "laser")
    laser.update(enabled=True, power_dbm=10.0, frequency_thz=193.4)
    assert handlers["light-path"]({})["power_at_switch_dbm"] == pytest.approx(10 - 120.5)
    with pytest.raises(ValueError, match="no ingress 17"):
        handlers["light-path"]({"ingress": 17})


def test_the_source_bench_plays():
    link = Link(load_scenario("source-bench"))
    link.world.part("voa").port.update(attenuation_db=38.0)
    times, _, _, _ = link.play().tags(0.05, settle_s=0.01)
    assert 1e5 < len(times) / 0.05 < 1e7


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("channel", "length_km"), -1.0, "channel.length_km"),
        (("channel", "length_km"), "far", "channel.length_km"),
        (("channel", "colour"), "red", "channel.colour"),
        (("receiver", "controller_loops"), "3-3-3", "receiver.controller_loops"),
        (("receiver", "optical_error"), 0.7, "receiver.optical_error"),
        (("detectors", "efficiency"), [0.8, 0.8, 0.8], "detectors.efficiency"),
        (("detectors", "efficiency"), [0.8, 0.8, 0.8, 1.8], "detectors.efficiency.3"),
        (("transmitter", "decoy"), {"channel": 9}, "transmitter.decoy.channel"),
        (("transmitter",), None, "transmitter"),
        (("seed",), -1, "seed"),
    ],
)
def test_wrong_files_are_named_by_table_and_key(path, value, message):
    content = tomllib.loads(TEXT)
    table = content
    for key in path[:-1]:
        table = table[key]
    if value is None:
        del table[path[-1]]
    else:
        table[path[-1]] = value
    with pytest.raises(ConfigurationError) as caught:
        parse_scenario(content, "mine.toml")
    assert "mine.toml" in str(caught.value)
    assert message in str(caught.value)


def test_wrong_instruments_are_refused(tmp_path):
    for old, new, message in (
        ('part = "voa"', 'part = "attic"', "no part 'attic'"),
        ('part = "voa"', 'part = "awg"', "takes WaveformSettings, ozoptics.dd100 has AttenuatorSettings"),
        ('model = "ozoptics.dd100"', 'model = "nobody.knows"', "no simulated instrument 'nobody.knows'"),
    ):
        file = tmp_path / "mine.toml"
        assert old in TEXT
        file.write_text(TEXT.replace(old, new))
        with pytest.raises(ConfigurationError, match=message):
            build(load_scenario(file), {}, SimulationClock(stepped=True), None)


def test_wrong_options_are_refused():
    clock = SimulationClock(stepped=True)
    with pytest.raises(ConfigurationError, match="no instrument attic; there are quantum-laser"):
        build(load_scenario(NAME), {"attic": {"a": 1}}, clock, None)
    with pytest.raises(ConfigurationError, match=r"options of voa \(ozoptics.dd100\): colour"):
        build(load_scenario(NAME), {"voa": {"colour": "red"}}, clock, None)
    with pytest.raises(
        ConfigurationError, match="there are detector-bench, source-bench, wuhan-hefei-span, wuhan-metro-link"
    ):
        load_scenario("wuhan-moon-link")
    with pytest.raises(ConfigurationError, match="No such file"):
        load_scenario("absent.toml")
