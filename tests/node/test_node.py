"""A whole node over real wires: opened together or not at all, every failure reported, nothing else touched."""

import pytest

import qhal
from qhal.devices.attenuator import Attenuator
from qhal.devices.power_meter import PowerMeter
from qhal.errors import ConfigurationError, Disconnected, OpenFailed, OutOfRange, Unsupported, WrongDevice
from qhal_simulators.nodefile import node_file_text

MODELS = ("ozoptics.dd100", "hubersuhner.polatis", "singlequantum.websq")


@pytest.fixture
def rack(simulate, tmp_path):
    """A node file for three simulated devices, with a way to change its text."""
    backgrounds = [simulate(model, **({"homed": True} if "dd100" in model else {})) for model in MODELS]
    texts = [node_file_text("rack", each.simulation, "", {}) for each in backgrounds]
    devices = "".join(text[text.index("[devices") :] for text in texts)
    path = tmp_path / "rack.toml"

    def write(*changes: tuple[str, str], head: str = '[node]\nname = "rack"\n'):
        text = head + devices
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path.write_text(text)
        return path

    return write, dict(zip(MODELS, backgrounds, strict=True))


def test_devices_are_returned_by_interface(rack):
    write, _ = rack
    with qhal.open_node(write()) as node:
        assert isinstance(node.attenuator(MODELS[0]), Attenuator)
        assert node.optical_switch(MODELS[1]).device is node.power_meter(MODELS[1]).device
        with pytest.raises(Unsupported, match="has no PowerMeter interface"):
            node.get(MODELS[0], PowerMeter)
        with pytest.raises(ConfigurationError, match=r"no device 'nobody'; there are ozoptics\.dd100"):
            node.device("nobody")
    assert not node.device(MODELS[0]).is_open


def test_all_failures_are_reported_together_and_nothing_stays_open(rack):
    write, backgrounds = rack
    switch, detectors = (backgrounds[model].address(model) for model in MODELS[1:])
    path = write((switch, "tcp://127.0.0.1:1"), (detectors, backgrounds[MODELS[1]].address(MODELS[1])))
    exchanges = backgrounds[MODELS[0]].unit(MODELS[0]).instrument
    before = exchanges.port.settings.attenuation_db
    with pytest.raises(OpenFailed) as caught:
        qhal.open_node(path)
    failures = caught.value.failures
    assert set(failures) == set(MODELS[1:])
    assert isinstance(failures[MODELS[1]], Disconnected)
    assert exchanges.port.settings.attenuation_db == before


@pytest.mark.parametrize(
    ("driver", "at", "error"),
    [
        ("hubersuhner.polatis", "tektronix.awg5014", WrongDevice),
        ("tektronix.awg5014", "hubersuhner.polatis", WrongDevice),
        ("singlequantum.websq", "hubersuhner.polatis", qhal.QhalError),
        ("hubersuhner.polatis", "singlequantum.websq", qhal.QhalError),
        ("ozoptics.dd100", "purephotonics.ppcl550", qhal.QhalError),
        ("purephotonics.ppcl550", "ozoptics.dd100", qhal.QhalError),
        ("thorlabs.mpc320", "ozoptics.dd100", qhal.QhalError),
    ],
)
def test_a_device_of_another_model_is_refused_and_left_as_it_was(simulate, driver, at, error):
    background = simulate(at)
    connections = background.connections(at)
    if driver == "singlequantum.websq":
        connections = {"counts": background.address(at)}
    with pytest.raises(error) as caught:
        qhal.open_device(
            driver, background.address(at), connections=connections if driver.startswith("single") else None
        )
    assert background.address(at).rpartition("/")[2] in str(caught.value) or isinstance(
        caught.value, WrongDevice
    )


def test_expected_identity_is_checked(rack):
    write, _ = rack
    path = write(
        (
            'driver = "hubersuhner.polatis"',
            'driver = "hubersuhner.polatis"\nexpected = { serial_number = "9" }',
        )
    )
    with pytest.raises(OpenFailed, match="serial_number is '002414', '9' is expected"):
        qhal.open_node(path)


def test_safe_on_exit(rack):
    write, backgrounds = rack
    voa = backgrounds[MODELS[0]].unit(MODELS[0]).instrument
    head = '[node]\nname = "rack"\nsafe_on_exit = true\n'
    with qhal.open_node(write(head=head)) as node:
        node.attenuator(MODELS[0]).set_attenuation_db(20.0)
        assert voa.port.settings.attenuation_db == pytest.approx(20.0, abs=0.2)
        with pytest.raises(OutOfRange):
            node.attenuator(MODELS[0]).set_attenuation_db(200.0)
    assert voa.port.settings.attenuation_db == pytest.approx(60.0, abs=0.2)
    only_looked = qhal.open_node(write(head=head))
    only_looked.attenuator(MODELS[0]).set_attenuation_db(30.0)
    only_looked.release()
    assert voa.port.settings.attenuation_db == pytest.approx(30.0, abs=0.2)
    with qhal.open_node(write()) as node:
        node.attenuator(MODELS[0]).set_attenuation_db(20.0)
    assert voa.port.settings.attenuation_db == pytest.approx(20.0, abs=0.2)


def test_make_safe_goes_on_when_a_device_fails(rack):
    write, backgrounds = rack
    voa = backgrounds[MODELS[0]].unit(MODELS[0]).instrument
    with qhal.open_node(write()) as node:
        node.attenuator(MODELS[0]).set_attenuation_db(20.0)
        switch = backgrounds[MODELS[1]]
        switch.do(lambda: switch.simulation.unplug(MODELS[1]))
        with pytest.raises(ExceptionGroup, match="not everything could be made safe") as caught:
            node.make_safe()
        assert [type(error) for error in caught.value.exceptions] == [Disconnected]
        assert voa.port.settings.attenuation_db == pytest.approx(60.0, abs=0.2)
