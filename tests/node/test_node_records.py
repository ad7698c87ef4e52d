"""A node that uses calibration records: right while they hold, an error to begin with when not, degraded meanwhile."""

import tomllib
from datetime import UTC, datetime, timedelta

import pytest

from qhal.calibration import load_calibration
from qhal.calibration.framework.roles import assign_roles, site_of
from qhal.calibration.inputs.path_loss import losses, losses_to, parts_from
from qhal.devices.status import Quality
from qhal.errors import ConfigurationError, DataError, InvalidRecord, OutOfRange
from qhal.node import node_records
from qhal.node.node import Node, open_node
from qhal.node.schema import parse_node
from qhal.records.record import Instrument, Quantity, Record, Validity
from qhal.records.store import RecordStore
from qhal.records.uncertain import nominal, standard_uncertainty, statistical
from qhal_simulators.nodefile import node_file_text

VOA = "ozoptics.dd100"


def curve(node, days=30.0, settings=(), role="attenuator", last_db=60.0):
    """A curve that is half a decibel off, of the node's attenuator as it is."""
    device, now = node.device(VOA), datetime.now(UTC)
    instrument = Instrument(
        role=role,
        device=VOA,
        driver_model="DD-100",
        settings=device.settings,
        **device.identity.model_dump(),
    )
    return Record(
        id=f"attenuator-curve-{days:g}",
        calibration="attenuator-curve",
        title="curve",
        method="by hand",
        started=now,
        finished=now,
        operator="test",
        software="qhal",
        instruments=(instrument,),
        inputs={},
        quantities=(
            Quantity.of("repeatability", "dB", statistical("noise", 0.01, 0.001)),
            *(
                Quantity.of("attenuation", "dB", statistical("noise", at + 0.5, 0.02), set_db=at)
                for at in (2.0, 10.0, 30.0, last_db)
            ),
        ),
        validity=Validity(until=now + timedelta(days=days), settings={role: tuple(settings)}),
    )


@pytest.fixture
def bench(simulate, tmp_path):
    """Return a function that opens the node with a record of its own attenuator."""
    background = simulate(VOA, homed=True, move_time_s=0.0)
    text = node_file_text("n", background.simulation, "", {})
    opened = []

    def start(**record):
        with Node(parse_node(tomllib.loads(text), "n")) as node:
            made = curve(node, **record)
        path = RecordStore(tmp_path / "records").save(made)
        file = tmp_path / "node.toml"
        file.write_text(f'{text}\n[[records]]\nfile = "records/{path.name}"\n')
        opened.append(open_node(file))
        return opened[-1], path

    yield start
    for node in opened:
        node.release()


def test_attenuates_as_the_record_says(bench):
    node, _ = bench()
    voa = node.calibrated_attenuator(VOA)
    achieved = voa.set_attenuation_db(23.0)
    assert node.attenuator(VOA).read_attenuation_db() == pytest.approx(22.5)
    assert nominal(achieved) == pytest.approx(23.0)
    assert standard_uncertainty(achieved) > 0.01
    status = voa.status()
    assert (status.quality, status.attenuation_db) == (Quality.GOOD, pytest.approx(23.0))
    assert node.record_problems() == {voa.record.id: ()}
    assert [record.id for record in node.checked(node.records_of(("attenuator-curve",)))] == [voa.record.id]


def test_out_of_date_nothing_begins_with_it(bench):
    node, _ = bench(days=-1.0)
    for begin in (
        lambda: node.calibrated_attenuator(VOA),
        lambda: node.record("attenuator-curve", attenuator=VOA),
        lambda: node.checked(node.records_of(("attenuator-curve",))),
    ):
        with pytest.raises(InvalidRecord, match="attenuator-curve--1 may not be used: valid until"):
            begin()
    with pytest.raises(ConfigurationError, match="0 records of dark-counts in"):
        node.record("dark-counts")
    assert "valid until" in node.record_problems()["attenuator-curve--1"][0]


def test_what_runs_goes_on_degraded_but_changes_nothing(bench):
    node, _ = bench(settings=("attenuation_db",))
    voa = node.calibrated_attenuator(VOA)
    node.attenuator(VOA).set_attenuation_db(40.0)  # another program has changed what the record rests on
    with pytest.raises(InvalidRecord, match=r"attenuation_db is 40\.0, was"):
        voa.set_attenuation_db(20.0)
    assert node.attenuator(VOA).read_attenuation_db() == pytest.approx(40.0)
    status = voa.status()
    assert status.quality is Quality.DEGRADED
    assert "attenuation_db is 40.0" in status.problems[0]
    assert status.attenuation_db == pytest.approx(40.5)


def test_a_curve_of_another_attenuator_is_not_taken(bench):
    node, _ = bench(role="auxiliary")
    with pytest.raises(ConfigurationError, match=f"0 records of attenuator-curve with '{VOA}' as attenuator"):
        node.calibrated_attenuator(VOA)


def test_beyond_its_curve_it_runs_degraded(bench):
    node, _ = bench(last_db=40.0)
    voa = node.calibrated_attenuator(VOA)
    node.attenuator(VOA).make_safe()
    status = voa.status()
    assert (status.quality, status.attenuation_db) == (Quality.DEGRADED, None)
    assert "its curve is known from 2 to 40 dB" in status.problems[0]
    with pytest.raises(OutOfRange, match="its curve is known"):
        voa.read_attenuation_db()


def test_damaged_record_is_told(bench):
    node, path = bench()
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=path.name):
        node.calibrated_attenuator(VOA)


def test_a_file_is_parsed_once_until_it_changes(bench, mocker):
    node, path = bench()
    parsed = mocker.spy(node_records, "read_record")
    for _ in range(3):
        assert len(node.records()) == len(node.records_of(("attenuator-curve",))) == 1
        assert node.record_problems() == {path.stem: ()}
        node.record("attenuator-curve", attenuator=VOA)
    assert parsed.call_count == 1
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    assert [str(path) in str(error) for error in node.damaged_records().values()] == [True]
    with pytest.raises(DataError, match=path.name):
        node.records()
    path.write_bytes(whole)
    assert len(node.records()) == 1


SCENARIO = """
[node]
name = "n"
[devices.near]
driver = "ozoptics.dd100"
address = "serial:///dev/x"
[devices.far]
driver = "ozoptics.dd100"
address = "serial:///dev/y"
[paths.light]
elements = [
    { device = "far" },
    { device = "near", loss_db = 1.0, uncertainty_db = 0.1 },
    { name = "pad", loss_db = 30.0 },
]
"""


def test_roles_follow_the_light_and_losses_the_path(mocker):
    node = Node(parse_node(tomllib.loads(SCENARIO), "n"))
    curve_calibration = load_calibration("attenuator-curve")
    mocker.patch("qhal.calibration.framework.roles._can", lambda device, kind: kind.__name__ == "Attenuator")
    with pytest.raises(ConfigurationError, match="attenuator-curve: source needs a Source"):
        assign_roles(curve_calibration, node, {})
    with pytest.raises(ConfigurationError, match="no role lamp"):
        assign_roles(curve_calibration, node, {"lamp": "far"})
    site = site_of(node, {"meter": "near"}, None)
    behind = parts_from(site, "meter")
    assert [(part.name, part.loss_db) for part in losses(behind)["path"]] == [("near", 1.0), ("pad", 30.0)]

    def to_output(values, role):
        return losses_to(site, values, role, "output")

    assert [part.name for part in to_output({"output": "near"}, "meter")["path"]] == ["near"]
    with pytest.raises(
        ConfigurationError, match="output: part 'fibre' does not exist; it is one of near, pad"
    ):
        to_output({"output": "fibre"}, "meter")
    with pytest.raises(ConfigurationError, match="output: it is needed; it is one of near, pad"):
        to_output({}, "meter")
    assert to_output({"path": ()}, "meter") == to_output({"output": "pad"}, "switch") == {}
    with pytest.raises(ConfigurationError, match="no path 'dark'; there are light"):
        site_of(node, {}, "dark")
