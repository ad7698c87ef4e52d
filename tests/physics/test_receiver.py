"""The receiver's splitter and analysers, what light they leave where, and what the control connection tells of them."""

import json

import numpy as np
import pytest

from qhal.errors import ConfigurationError
from qhal.link.sifting import Sifter
from qhal.link.skew import Receiver as Skews
from qhal.link.sync import SymbolClock
from qhal.tags.batch import TagBatch
from qhal_simulators.physics.expectation import background_rates_hz, expect_link
from qhal_simulators.physics.receiver.passive_receiver import PassiveReceiver
from qhal_simulators.scenario_units import build
from qhal_simulators.simulated_time import SimulationClock
from tests.physics.bench import PATTERN, Link, scenario

UNEVEN = {
    "basis_split": 0.62,
    "leaks": (0.01, 0.06, 0.03, 0.0),
    "analyser_tilt_deg": (11.0, -7.0),
}
WINDOW_S = 3e-9
PAULI = np.array([[[1, 0], [0, -1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]]])  # s1, s2, s3


def shares(stokes):
    """What the outputs of the uneven receiver get of light with a Stokes vector: projectors, then leaks."""
    light = (np.eye(2) + np.tensordot(stokes, PAULI, 1)) / 2
    found = []
    for basis, (to_basis, tilt) in enumerate(zip((0.62, 0.38), np.radians((11.0, -7.0)), strict=True)):
        half = (tilt + basis * np.pi / 2) / 2  # angles on the sphere are twice those of the field
        field = np.array([np.cos(half), np.sin(half)])
        through = float(np.real(field @ light @ field))
        first, second = UNEVEN["leaks"][2 * basis : 2 * basis + 2]
        output = through * (1 - first) + (1 - through) * second
        found += [to_basis * output, to_basis * (1 - output)]
    return np.array(found)


def sifted(link, duration_s):
    """The counts of the analysis, and the log of that time."""
    link.world.advance_to(0.01)
    times, inputs, start, stop = link.tags(duration_s, settle_s=0.0)
    clock = SymbolClock(PATTERN, Skews((1, 2, 3, 4), link.scenario.detectors.skew_ps))
    sifter = Sifter(PATTERN, 35_000)
    sifter.push(clock.push(TagBatch(times, inputs, start, stop)))
    sifter.push(clock.finish())
    return sifter.counts(), link.truths(0.01, 0.01 + duration_s)


def test_matrix_is_that_of_projectors_and_leaks():
    states = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]])
    told = PassiveReceiver(scenario(receiver=UNEVEN).receiver).matrix()
    assert told == pytest.approx(np.array([shares(each) for each in states]))
    assert told.sum(axis=1) == pytest.approx(np.ones(4))
    ideal = PassiveReceiver(scenario(receiver={"optical_error": 0.0}).receiver).matrix()
    assert ideal.tolist() == [
        [0.5, 0, 0.25, 0.25],
        [0, 0.5, 0.25, 0.25],
        [0.25, 0.25, 0.5, 0],
        [0.25, 0.25, 0, 0.5],
    ]


def test_clicks_of_each_state_are_shared_as_the_matrix_says():
    link = Link(scenario(receiver=UNEVEN, detectors={"dark_count_rate_hz": [0.0] * 4}), seed=3)
    link.world.part("voa").port.update(attenuation_db=38.0)
    counts, truths = sifted(link.play(), 2.0)
    pattern = truths[0][1].pattern
    light = (pattern.stokes * pattern.energy_s[:, None]).reshape(len(PATTERN), -1, 3).sum(axis=1)
    energy = pattern.energy_s.reshape(len(PATTERN), -1).sum(axis=1)
    clicks = counts.clicks.sum(axis=0)
    for state in range(4):
        of = PATTERN.states == state
        stokes = light[of].sum(axis=0) / energy[of].sum()
        expected = sum(d * shares(truth.rotation @ stokes) * truth.efficiency for d, truth in truths)
        expected *= clicks[state].sum() / expected.sum()
        # Dead time takes a thousandth more of the brighter detectors.
        assert (np.abs(clicks[state] - expected) < 4 * np.sqrt(expected) + 2e-3 * expected).all()


def test_expectation_of_an_uneven_receiver_is_what_the_analysis_finds():
    uneven = {"jitter_fwhm_ps": (50.0, 900.0, 300.0, 1500.0)}
    pulses = {"pulse_v": (0.4, 0.12, 0.3, 0.25), "pulse_sigma_v": 0.03, "noise_v": 0.021}
    link = Link(scenario(receiver=UNEVEN, detectors=uneven | pulses), seed=4).play().classical(6.0)
    counts, truths = sifted(link, 1.0)
    jitter_s = np.array(uneven["jitter_fwhm_ps"]) * 1e-12 / 2.3548
    smear_s = np.hypot(jitter_s, 100e-12 / 12**0.5)
    assert 0.7 < truths[0][1].tagged_fraction[1] < 0.8
    assert (truths[0][1].noise_hz > 5e3).all()
    expected = expect_link(
        truths, PATTERN.intensity, PATTERN.states, WINDOW_S, link.scenario.receiver, smear_s
    )
    for level in range(3):
        gain, qber = counts.gain(level), counts.qber(level)
        assert abs(gain.value - expected.gains[level]) < 4 * gain.standard_uncertainty
        assert abs(qber.value - expected.error_rates[level]) < 4 * qber.standard_uncertainty


def test_stray_light_is_split_like_any_unpolarized_light():
    link = Link(scenario(receiver=UNEVEN)).classical(9.0)
    _, inputs, start, stop = link.tags(2.0, settle_s=0.01)
    (_, truth), *_ = link.truths(1.0, 1.01)
    stray_hz = truth.raman_hz + truth.leak_hz
    expected = 100.0 + stray_hz * shares(np.zeros(3)) * truth.efficiency
    assert background_rates_hz([(1.0, truth)], link.scenario.receiver) == pytest.approx(expected)
    counts = np.bincount(inputs, minlength=5)[1:]
    seen = expected / (1 + expected * 35e-9) * (stop - start) * 1e-12
    assert (np.abs(counts - seen) < 4 * np.sqrt(seen)).all()
    assert counts[1] < 0.97 * counts[0] * 0.78 / 0.82, "the leaks of basis 0 are told apart"


def test_the_best_angles_know_where_the_analysers_are():
    def errors(tilt_deg):
        link = Link(scenario(receiver={"analyser_tilt_deg": tilt_deg})).play()
        link.world.advance_to(0.005)
        truth = link.world.best_aligned(link.world.present())
        receiver = link.scenario.receiver
        return expect_link(
            [(1.0, truth)], PATTERN.intensity, PATTERN.states, WINDOW_S, receiver, np.full(4, 40e-12)
        ).error_rates[0]

    plain = errors((0.0, 0.0))
    assert errors((20.0, 20.0)) == pytest.approx(plain, abs=5e-4), "one rotation undoes a common tilt"
    # Half the difference is left in each basis: sin^2(10 deg / 2) of the light.
    assert errors((10.0, -10.0)) - plain == pytest.approx(np.sin(np.radians(5.0)) ** 2, rel=0.1)


def test_the_control_link_tells_receiver_and_detectors():
    link_scenario = scenario(receiver=UNEVEN, detectors={"dead_time_ns": (30.0, 35.0, 40.0, 45.0)})
    units, handlers, _ = build(link_scenario, {}, SimulationClock(stepped=True), 7)
    detectors = next(unit.instrument.port for unit in units if unit.name == "detectors")
    assert handlers["receiver"]({})["efficiency"] == [0.0] * 4
    detectors.update(enabled=True, bias_ua=link_scenario.detectors.operating_ua)
    told = json.loads(json.dumps(handlers["receiver"]({})))
    assert np.array(told["matrix"]) == pytest.approx(PassiveReceiver(link_scenario.receiver).matrix())
    assert told["efficiency"] == pytest.approx([0.82, 0.78, 0.80, 0.76])
    assert told["dark_count_rate_hz"] == pytest.approx([100.0] * 4)
    assert told["stray_hz"] == 0.0
    fibre, rotation = np.array(told["fibre"]), np.array(told["rotation"])
    assert fibre @ fibre.T == pytest.approx(np.eye(3))
    assert not np.allclose(fibre, rotation)
    assert told["retardances_rad"] == pytest.approx(np.array([0.47, 0.94, 0.47]) * np.pi)
    told = json.loads(json.dumps(handlers["detectors"]({})))
    assert told["dead_time_ns"] == [30.0, 35.0, 40.0, 45.0]
    assert told["pulse_v"] == [0.4] * 4
    assert told["skew_ps"] == [0, 310, -420, 950]
    assert told["efficiency"] == pytest.approx([0.82, 0.78, 0.80, 0.76])
    assert told["latched"] == [False] * 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"basis_split": 1.0}, r"receiver\.basis_split.*less than 1"),
        ({"leaks": (0.1, 0.1, 0.5, 0.1)}, r"receiver\.leaks\.2.*less than 0\.5"),
        ({"analyser_tilt_deg": (0.0, 90.0)}, r"receiver\.analyser_tilt_deg\.1.*45"),
    ],
)
def test_unphysical_receivers_are_refused(change, message):
    with pytest.raises(ConfigurationError, match=message):
        scenario(receiver=change)
