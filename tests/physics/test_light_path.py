"""What calibrations look for on the light's way: attenuators, leaks, drift, the filter's shape, the switch's paths."""

import math

import numpy as np
import pytest

from qhal.errors import ConfigurationError
from qhal_simulators.physics.light_units import photon_energy_j
from tests.physics.bench import Link, scenario


def lit(*, seed=1, **changes):
    """A link in which the pattern has arrived."""
    link = Link(scenario(**changes), seed).play()
    link.world.advance_to(1e-3)
    return link


def settled(link, part, **settings):
    """The light path once a change at the sender has arrived."""
    link.world.part(part).port.update(**settings)
    link.world.advance_to(link.world.now_s + 2 * link.world.fibre.delay_s)
    return link.world.light_path()


def test_without_its_options_the_light_is_what_it_was_before_there_were_any():
    link = lit().classical(6.0)
    link.world.advance_to(0.021)
    (_, truth), *_ = link.truths(0.015, 0.02)
    # Found before the options came.
    assert truth.photons_per_light_s == pytest.approx(309063493.9529119, rel=1e-12)
    assert truth.detected_per_light_s == pytest.approx(23444863.57728468, rel=1e-12)
    assert truth.raman_hz == pytest.approx(73529.9834229979, rel=1e-12)
    assert truth.leak_hz == pytest.approx(464.7452222751333, rel=1e-12)
    assert truth.attenuation_db == 28.0
    assert link.world.sender.power_dbm(1) == pytest.approx(-84.47179104881823, abs=1e-9)


def test_two_attenuators_stand_in_series():
    link = lit()
    before = link.world.light_path()
    after = settled(link, "second-voa", attenuation_db=7.0)
    assert after.attenuation_db == before.attenuation_db + 7.0 == 35.0
    assert after.signal_hz / before.signal_hz == pytest.approx(10**-0.7, rel=1e-12)
    assert after.power_at_switch_dbm - before.power_at_switch_dbm == pytest.approx(-7.0, abs=1e-9)
    (_, truth), *_ = link.truths(link.world.now_s - 1e-5, link.world.now_s)
    assert truth.attenuation_db == 35.0


def test_a_way_around_both_attenuators_sets_a_floor():
    open_way = lit(transmitter={"bypass_db": 50.0})
    plain = lit().world.light_path()
    settled(open_way, "voa", attenuation_db=60.0)
    found = settled(open_way, "second-voa", attenuation_db=0.0)
    relative = (10**-6.0 + 10**-5.0) / 10**-2.8
    assert found.signal_hz / plain.signal_hz == pytest.approx(relative, rel=1e-9)
    assert found.power_at_switch_dbm - plain.power_at_switch_dbm == pytest.approx(10 * math.log10(relative))
    assert found.attenuation_db == 60.0, "what the attenuators do, not what finds a way around"
    floor = settled(open_way, "second-voa", attenuation_db=60.0)
    assert floor.signal_hz / plain.signal_hz == pytest.approx(10**-2.2, rel=1e-6)


def test_drift_and_a_bad_connector_follow_their_own_time():
    changes = {
        "transmitter": {"laser_drift_db_per_hour": -6.0},
        "channel": {"connector_flutter_db": 3.0, "connector_flutter_period_s": 4.0},
        "world": {"grid_s": 0.5},
    }
    link, plain = lit(**changes), lit()
    link.world.part("detectors").port.update(enabled=False)
    base = plain.world.light_path()
    for cell in range(5):
        link.world.advance_to(cell * 0.5 + 2e-3)
        middle_s = (cell + 0.5) * 0.5
        gain_db = -6.0 * middle_s / 3600
        loss_db = 3.0 * math.sin(math.pi * middle_s / 4.0) ** 2
        found = link.world.light_path()
        assert 10 * math.log10(found.signal_hz / base.signal_hz) == pytest.approx(gain_db - loss_db, abs=1e-9)
        at_switch_db = link.world.sender.power_dbm(1) - base.power_at_switch_dbm
        assert at_switch_db == pytest.approx(gain_db, abs=1e-9), "the connector is behind the switch"
        (_, truth), *_ = link.truths(link.world.now_s - 1e-3, link.world.now_s)
        assert truth.photons_per_light_s == pytest.approx(309063493.9529119 * 10 ** (gain_db / 10), rel=1e-9)


def test_how_time_is_cut_changes_no_tag_with_drift_and_flutter():
    changes = {
        "transmitter": {"laser_drift_db_per_hour": 10.0, "bypass_db": 60.0},
        "channel": {"connector_flutter_db": 20.0, "connector_flutter_period_s": 4.0, "ambient_hz": 5e3},
        "world": {"grid_s": 0.05},
    }
    found = []
    for cuts in ([], [0.31, 0.333, 0.35, 0.3500001], np.linspace(0.002, 0.59, 97).tolist()):
        link = lit(**changes)
        link.world.part("voa").port.update(attenuation_db=38.0)
        for place in cuts:
            link.world.advance_to(place)
            link.world.part("tagger").port.update()
        link.world.advance_to(0.6)
        found.append(link.readings.take_tags())
    assert len(found[0][0]) > 2e4
    for times, inputs in found[1:]:
        assert np.array_equal(times, found[0][0])
        assert np.array_equal(inputs, found[0][1])


def test_room_light_is_counted_by_all_detectors():
    link = Link(scenario(channel={"ambient_hz": 4e4}))
    link.world.advance_to(0.01)
    _, inputs, _, _ = link.tags(1.0)
    table = link.scenario.detectors
    for channel, (efficiency, dark_hz) in enumerate(
        zip(table.efficiency, table.dark_count_rate_hz, strict=True), 1
    ):
        expected = 1e4 * efficiency + dark_hz
        assert abs((inputs == channel).sum() - expected) < 4 * math.sqrt(expected)
    path = link.world.light_path()
    assert (path.signal_hz, path.stray_hz, path.power_at_switch_dbm) == (0.0, 4e4, None)


@pytest.mark.parametrize(
    ("order", "from_centre_ghz", "loss_db"),
    [
        (None, 49.999, 0.0),
        (None, 50.001, 80.0),
        (1, 0.0, 0.0),
        (1, 50.0, 3.0103),
        (1, -100.0, 4 * 3.0103),
        (3, -50.0, 3.0103),
        (3, 25.0, 3.0103 / 64),
        (3, 80.0, 50.4996),
        (1, 250.0, 74.0009),  # -75.2575 dB by its shape, and -80 dB besides
        (20, 1e5, 80.0),
    ],
)
def test_the_quantum_filters_shape(order, from_centre_ghz, loss_db):
    shape = {"filter_bandwidth_ghz": 100.0, "filter_order": order, "out_of_band_db": 80.0}
    link = lit(receiver={**shape, "filter_centre_offset_ghz": -30.0})
    frequency_thz = link.scenario.receiver.quantum_frequency_thz + (from_centre_ghz - 30.0) * 1e-3
    found = settled(link, "quantum-laser", frequency_thz=frequency_thz)
    centred = settled(link, "quantum-laser", frequency_thz=194.4 - 0.03)
    assert -10 * math.log10(found.filter_transmission) == pytest.approx(loss_db, abs=1e-4)
    # Photons of another frequency have another energy.
    relative = found.signal_hz / centred.signal_hz * frequency_thz / (194.4 - 0.03)
    assert -10 * math.log10(relative) == pytest.approx(loss_db, abs=1e-4)


@pytest.mark.parametrize(("order", "passed"), [(None, 1.0), (2, 0.5)])
def test_a_classical_channel_passes_the_filter_by_its_shape(order, passed):
    changed = scenario(
        classical={"raman_scale": 0.0, "noise_dbc": -200.0},
        receiver={"filter_order": order, "filter_bandwidth_ghz": 100.00001},
    )
    link = Link(changed).classical(-60.0, frequency_thz=194.35)
    link.world.advance_to(0.01)
    (_, truth), *_ = link.truths(0.005, 0.009)
    channel, receiver = changed.channel, changed.receiver
    lost_db = (
        channel.length_km * channel.loss_db_per_km
        + channel.connectors_after_db
        + channel.demux_loss_db
        + receiver.filter_loss_db
        + receiver.controller_loss_db
        + receiver.receiver_loss_db
    )
    # The laser is just inside the edge, where rounding cannot decide.
    expected = truth.classical_w * passed * 10 ** (-lost_db / 10) / photon_energy_j(194.35)
    assert truth.leak_hz == pytest.approx(expected, rel=1e-6)


SPREAD = {"switch_loss_spread_db": 0.4, "switch_crosstalk_db": 55.0, "switch_crosstalk_spread_db": 6.0}


def test_each_path_of_the_switch_has_a_loss_and_a_crosstalk_of_its_own():
    link = lit(channel=SPREAD)
    switch, world, power_dbm = link.world.sender.ports.switch, link.world, link.world.sender.power_dbm
    path = world.light_path()
    losses, crosstalks = np.array(path.switch_loss_db), np.array(path.switch_crosstalk_db)
    assert path.egresses == tuple(range(17, 33))
    assert losses[0] == link.scenario.channel.switch_loss_db == 1.0
    assert len(set(losses)) == len(set(crosstalks)) == 16
    for values, mean, spread in ((losses[1:], 1.0, 0.4), (crosstalks, 55.0, 6.0)):
        assert (abs(values - mean) <= spread).all()
        assert np.ptp(values) > spread
    assert world.light_path(2).switch_loss_db != path.switch_loss_db
    assert lit(channel=SPREAD).world.light_path() == path
    assert lit(channel=SPREAD, seed=2).world.light_path().switch_loss_db != path.switch_loss_db
    assert set(lit().world.light_path().switch_loss_db) == {1.0}

    switch.update(pairs={1: 20, 2: 18})
    entering = power_dbm(1)
    assert power_dbm(20) == pytest.approx(entering - losses[3], abs=1e-9)
    for egress in (17, 18, 32):
        lost = losses[egress - 17] + crosstalks[egress - 17]
        assert power_dbm(egress) == pytest.approx(entering - lost, abs=1e-9)
    switch.update(moving=frozenset({1}))
    assert power_dbm(20) == pytest.approx(entering - losses[3] - crosstalks[3], abs=1e-9)
    assert [power_dbm(port) for port in (2, 16, 33)] == [None] * 3
    astray = settled(link, "switch", moving=frozenset())
    assert astray.signal_hz / path.signal_hz == pytest.approx(10 ** (-crosstalks[0] / 10), rel=1e-9)
    settled(link, "quantum-laser", enabled=False)
    assert power_dbm(20) == -math.inf


def test_a_path_comes_out_a_little_different_each_time_it_is_steered():
    link = lit(channel={"switch_repeatability_db": 0.05, "switch_creep_db": 0.01})
    switch, power_dbm = link.world.sender.ports.switch, link.world.sender.power_dbm
    lost = []
    for moves in range(200):
        switch.update(pairs={1: 20}, moves={1: moves})
        lost.append(power_dbm(1) - power_dbm(20))
    landings = np.array(lost) - 1.0 - 0.01 * np.arange(200)
    assert abs(landings.mean()) < 4 * 0.05 / math.sqrt(200)
    assert abs(landings.std() / 0.05 - 1) < 4 / math.sqrt(400)
    assert set(link.world.light_path().switch_loss_db) == {1.0}


def test_an_ingress_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="no ingress 17; there are 1 to 16"):
        lit().world.light_path(17)


@pytest.mark.parametrize(
    ("table", "entries", "message"),
    [
        (
            "channel",
            {"switch_loss_spread_db": 1.1},
            "switch_loss_spread_db 1.1 is more than switch_loss_db 1.0",
        ),
        ("channel", {"switch_crosstalk_spread_db": 61.0}, "more than switch_crosstalk_db 60.0"),
        ("channel", {"connector_flutter_period_s": 1.0}, "channel.connector_flutter_period_s"),
        ("channel", {"ambient_hz": -1.0}, "channel.ambient_hz"),
        ("receiver", {"filter_order": 0}, "receiver.filter_order"),
        ("transmitter", {"bypass_db": -1.0}, "transmitter.bypass_db"),
    ],
)
def test_wrong_figures_are_named(table, entries, message):
    with pytest.raises(ConfigurationError, match=message):
        scenario(**{table: entries})
