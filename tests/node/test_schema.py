"""Node files: what is right passes, what is wrong is named by file, table and key."""

import pytest

from qhal.errors import ConfigurationError
from qhal.node.schema import load_node_file, parse_node

GOOD = {
    "node": {"name": "wuhan-gov-07"},
    "devices": {
        "voa": {"driver": "ozoptics.dd100", "address": "serial:///dev/ttyUSB0"},
        "switch": {"driver": "hubersuhner.polatis", "address": "tcp://10.0.0.5:5025"},
    },
    "paths": {
        "quantum": {
            "elements": [
                {"device": "voa"},
                {"name": "pad", "loss_db": 45.0, "uncertainty_db": 0.1},
                {"device": "switch", "ingress": 1, "egress": 17},
                {"name": "fibre", "loss_db": 4.0, "length_km": 20.0},
            ]
        }
    },
    "clock_tree": {"voa": "internal", "switch": "voa"},
}


def changed(path, value):
    """GOOD with one entry changed (None: removed)."""
    import copy

    content = copy.deepcopy(GOOD)
    *tables, key = path
    place = content
    for table in tables:
        place = place[table]
    if value is None:
        del place[key]
    else:
        place[key] = value
    return content


def test_good():
    file = parse_node(GOOD, "good.toml")
    assert file.paths["quantum"].elements[2].egress == 17
    assert file.clock.mode == "wall"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("node", "name"), None, "node.name: Field required"),
        (("node", "name"), "a b", "node.name"),
        (("devices",), {}, "devices"),
        (
            ("devices", "voa", "adress"),
            "x",
            "devices.voa.adress: unknown key 'adress'; did you mean 'address'? allowed: driver, address",
        ),
        (("devices", "voa", "address"), 7, "devices.voa.address"),
        (("devices", "voa", "expected"), {"colour": "red"}, "devices.voa.expected.colour"),
        (("paths", "quantum", "elements"), [], "paths.quantum.elements"),
        (("paths", "quantum", "elements"), [{"name": "x"}], "an element is a device, or has a loss_db"),
        (("paths", "quantum", "elements"), [{"device": "nobody"}], "no device 'nobody'"),
        (("paths", "quantum", "elements"), [{"device": "switch", "ingress": 1}], "go together"),
        (("paths", "quantum", "elements"), [{"loss_db": -1.0}], "loss_db"),
        (("clock_tree", "voa"), "switch", "locked to itself"),
        (("clock_tree", "nobody"), "internal", "no device 'nobody'"),
        (("clock",), {"mode": "stepped"}, "control connection of a simulator"),
        (("clock",), {"speed": 0}, "clock.speed"),
    ],
)
def test_wrong_content_is_named(path, value, message):
    with pytest.raises(ConfigurationError) as failure:
        parse_node(changed(path, value), "wrong.toml")
    assert str(failure.value).startswith("wrong.toml: ")
    assert message in str(failure.value)


def test_wrong_files(tmp_path):
    with pytest.raises(ConfigurationError, match="No such file"):
        load_node_file(tmp_path / "absent.toml")
    path = tmp_path / "broken.toml"
    path.write_text("[node")
    with pytest.raises(ConfigurationError, match=r"broken.toml"):
        load_node_file(path)
