"""Raman, modulators, polarization, clocks and detectors, each against its own formula."""

import numpy as np
import pytest

from qhal.errors import OutOfRange
from qhal.link import photonics
from qhal_simulators.physics.channel import poincare_rotations, raman
from qhal_simulators.physics.expectation import background_rates_hz, integrated_raman_hz
from qhal_simulators.physics.light_units import SPEED_OF_LIGHT_M_PER_S, photon_energy_j, wavelength_nm
from qhal_simulators.physics.oscillator import Oscillator
from qhal_simulators.physics.receiver import snspd
from tests.physics.bench import PATTERN, Link, scenario


def thz(nm):
    return SPEED_OF_LIGHT_M_PER_S / nm * 1e-3


@pytest.mark.parametrize(
    ("pump_nm", "quantum_nm", "rho"),
    # First principles from the silica Raman gain (peak 0.42 /(W km) pumped at 1454 nm), 295 K, recomputed.
    [
        (1550, 1530, 6.1e-9),
        (1550, 1570, 8.5e-9),
        (1550, 1490, 3.0e-9),
        (1310, 1550, 3.6e-10),
        (1490, 1310, 9.7e-12),
    ],
)
def test_raman_cross_section(pump_nm, quantum_nm, rho):
    found = raman.cross_section_per_km_nm(thz(pump_nm), thz(quantum_nm), 295.0, scale=1.0)
    assert found == pytest.approx(rho, rel=0.05)


def test_raman_of_the_metro_link_and_beyond_the_profile():
    assert raman.cross_section_per_km_nm(193.4, 194.4) == pytest.approx(3.1e-9, rel=0.02)
    assert raman.cross_section_per_km_nm(150.0, 194.4) == 0.0
    near, nearer = (raman.cross_section_per_km_nm(194.4 - d, 194.4) for d in (0.02, 0.0))
    assert 0.5 * near < nearer < 2 * near, "no shift at all is a limit, not a pole"


@pytest.mark.parametrize(
    ("length_km", "forward", "backward"),
    # Photons/s at 1550 nm for 1 mW, 1 nm, rho 3e-9 /(km nm), 0.2 dB/km: closed forms, recomputed.
    [(10, 1.477e8, 1.530e8), (25, 1.851e8, 2.287e8), (50, 1.170e8, 2.516e8), (80, 4.704e7, 2.540e8)],
)
def test_raman_lengths(length_km, forward, backward):
    scale = 1e-3 * 3e-9 / photon_energy_j(thz(1550))
    assert scale * raman.forward_length_km(length_km, 0.2, 0.2) == pytest.approx(forward, rel=2e-3)
    assert scale * raman.backward_length_km(length_km, 0.2, 0.2) == pytest.approx(backward, rel=2e-3)
    unequal = raman.forward_length_km(length_km, 0.2, 0.2001)
    assert unequal == pytest.approx(raman.forward_length_km(length_km, 0.2, 0.2), rel=1e-2)


@pytest.mark.parametrize(
    "changes", [{}, {"channel": {"length_km": 45.0}}, {"receiver": {"filter_bandwidth_ghz": 100.0}}]
)
def test_the_worlds_raman_is_what_integration_along_the_fibre_gives(changes):
    link = Link(scenario(**changes)).classical(6.0)
    link.world.advance_to(0.01)
    (_, truth), *_ = link.truths(0.005, 0.009)
    assert truth.raman_hz == pytest.approx(integrated_raman_hz(link.scenario, truth, 193.4), rel=1e-5)
    assert truth.raman_hz > 1e4
    assert truth.leak_hz < 0.01 * truth.raman_hz


def test_counted_raman_at_a_second_length_is_what_integration_gives():
    link = Link(scenario(channel={"length_km": 45.0})).classical(6.0)
    link.world.advance_to(0.01)
    counted = len(link.tags(1.0)[0])
    (_, truth), *_ = link.truths(0.5, 0.51)
    raman_hz = integrated_raman_hz(link.scenario, truth, 193.4)
    expected = float(background_rates_hz([(1.0, truth)], link.scenario.receiver, [raman_hz]).sum())
    assert abs(counted - expected) < 4 * np.sqrt(expected)
    assert np.sqrt(expected) < 0.01 * (expected - 400)


def test_without_raman_only_leakage_is_left():
    def background_hz(raman_scale):
        link = Link(scenario(classical={"raman_scale": raman_scale})).classical(12.0)
        return len(link.tags(0.2)[0]) / 0.2

    assert background_hz(0.0) - 400 < 0.01 * (background_hz(0.52) - 400)


def test_a_classical_laser_in_the_quantum_channel_blinds_the_receiver():
    link = Link(scenario()).classical(6.0, frequency_thz=194.4)
    link.world.advance_to(0.01)
    assert all(link.world.readout.detectors.latched())
    assert len(link.tags(0.01)[0]) == 0


def test_the_pulse_its_window_and_the_extinction():
    link = Link(scenario()).play()
    link.world.advance_to(0.001)
    pattern = link.truths(5e-4, 9e-4)[0][1].pattern
    energy = pattern.energy_s.reshape(-1, 2)
    signal, decoy, vacuum = (energy[PATTERN.intensity == level].sum(axis=1).mean() for level in range(3))
    # Neighbours leave a little light in a symbol: the levels settle with 0.64 ns.
    assert decoy / signal == pytest.approx(0.2, rel=0.02)
    assert 1e-3 < vacuum / signal < 1.25e-3
    pulse = pattern.shapes[np.bincount(pattern.shape_class[1::2]).argmax()].astype(float) * pattern.slot_s
    middle, density = (pulse[1:] + pulse[:-1]) / 2, 1 / np.diff(pulse)
    above = middle[density > density.max() / 2]
    assert (above[-1] - above[0]) * 1e9 == pytest.approx(1.6, abs=0.16)
    best = max(np.mean(abs(middle - centre) < 1.5e-9) for centre in np.linspace(*middle[[0, -1]], 200))
    assert best > 0.985


def test_four_states_stand_at_right_angles():
    link = Link(scenario()).play()
    link.world.advance_to(0.001)
    stokes = link.truths(5e-4, 9e-4)[0][1].pattern.stokes[1::2]
    means = [stokes[PATTERN.states == state].mean(axis=0) for state in range(4)]
    for found, wanted in zip(means, [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0)], strict=True):
        assert found == pytest.approx(wanted, abs=0.01)


def test_light_behind_bright_light_is_shifted():
    energies = []
    for effect in (0.0, 0.04):
        link = Link(scenario(transmitter={"pattern_effect": effect, "pattern_memory_ns": 10.0})).play()
        link.world.advance_to(0.001)
        energies.append(link.truths(5e-4, 9e-4)[0][1].pattern.energy_s)
    plain, shifted = energies
    slots = np.arange(len(plain))
    for slot in (slots[1::2])[np.argsort(-plain[1::2])[:50]]:
        before = plain[slot - np.arange(1, 60)] / plain.max()
        expected = 1 + 0.04 * (before * np.exp(-np.arange(59) * 5.0 / 10.0)).sum()
        assert shifted[slot] / plain[slot] == pytest.approx(expected, rel=1e-9)
    after = [
        (shifted[1::2] / plain[1::2])[
            np.roll(PATTERN.intensity == level, 1) & (PATTERN.intensity == 0)
        ].mean()
        for level in range(3)
    ]
    assert after[0] - 1 > 1.3 * (after[1] - 1) > 1.3 * (after[2] - 1) > 0


def test_an_open_switch_still_leaks():
    link = Link(scenario(channel={"switch_crosstalk_db": 35.0})).play()
    closed = len(link.tags(0.01)[0]) / 0.01
    link.world.part("switch").port.update(moving=frozenset({1}))
    moving = len(link.tags(0.5)[0]) / 0.5
    link.world.part("switch").port.update(pairs={1: 18}, moving=frozenset())
    astray = len(link.tags(0.5)[0]) / 0.5
    expected = (closed * 10**-3.5) + 400
    for found in (moving, astray):
        assert found == pytest.approx(expected, abs=4 * np.sqrt(expected / 0.5))
    assert link.world.sender.power_dbm(17) == pytest.approx(
        link.world.sender.power_dbm(1) - link.scenario.channel.switch_loss_db - 35.0
    )


@pytest.mark.parametrize(("isolation_db", "photons_hz"), [(80.0, 7.8e7), (110.0, 7.8e4)])
def test_what_a_channel_of_0_dbm_leaks_through_the_demultiplexer(isolation_db, photons_hz):
    # The isolation is counted from the line: a channel that arrives with 0 dBm.
    changed = scenario(
        channel={"length_km": 0.0, "mux_loss_db": 0.0, "connectors_before_db": 0.0},
        classical={"pad_db": 0.0, "isolation_db": isolation_db, "noise_dbc": -200.0, "raman_scale": 0.0},
    )
    link = Link(changed).classical(0.0)
    link.world.advance_to(0.01)
    (_, truth), *_ = link.truths(0.005, 0.009)
    assert truth.leak_hz == pytest.approx(photons_hz, rel=0.01)


@pytest.mark.parametrize(("elapsed_s", "error"), [(10, 0.0014), (60, 0.0083), (300, 0.040)])
def test_what_drift_adds_to_the_error_rate_of_an_aligned_basis(elapsed_s, error):
    # A correlation time of an hour; the walk itself and the closed form.
    assert photonics.error_of_drift(elapsed_s, 3600.0) == pytest.approx(error, abs=5e-5)
    draw = np.random.default_rng(7)
    walked = np.array([np.eye(3)] * 600)
    for _ in range(10):
        walked = np.array(
            [poincare_rotations.walk_step(draw, elapsed_s / 10, 3600.0) @ each for each in walked]
        )
    errors = (1 - walked[:, 0, 0]) / 2
    assert abs(errors.mean() - error) < 4 * errors.std() / np.sqrt(len(errors))
    with pytest.raises(OutOfRange):
        photonics.error_of_drift(elapsed_s, 0.0)


def test_rotations_are_uniform_and_orthogonal():
    draw = np.random.default_rng(3)
    turns = np.array([poincare_rotations.random_rotation(draw) for _ in range(3000)])
    assert np.allclose(turns @ turns.transpose(0, 2, 1), np.eye(3), atol=1e-12)
    assert np.linalg.det(turns) == pytest.approx(1.0)
    # Each column is uniform on the sphere: mean 0, each coordinate squared 1/3.
    assert np.abs(turns.mean(axis=0)).max() < 4 / np.sqrt(3 * 3000)
    assert (turns**2).mean(axis=0) == pytest.approx(1 / 3, abs=0.03)


def test_the_walk_decays_as_its_correlation_time_says():
    # Czegledi et al., arXiv:1507.00953: mean overlap exp(-t / tau_p).
    draw, steps, walks = np.random.default_rng(5), 40, 400
    state = np.array([np.eye(3)] * walks)
    for _ in range(steps):
        state = np.array([poincare_rotations.walk_step(draw, 0.05, 4.0) @ each for each in state])
    overlap = np.trace(state, axis1=1, axis2=2) / 3
    assert overlap.mean() == pytest.approx(
        np.exp(-steps * 0.05 / 4.0), abs=4 * overlap.std() / np.sqrt(walks)
    )


@pytest.mark.parametrize(
    ("loops", "reached"), [("1-2-1", (0.95, 1.0)), ("1-1-1", (0.8, 0.99)), ("2-3-2", (0.2, 0.75))]
)
def test_which_fibres_a_controller_can_align(loops, reached):
    draw = np.random.default_rng(11)
    retardances = [np.pi * share for share in poincare_rotations.PADDLE_LOOPS[loops]]
    errors = []
    for _ in range(60):
        fibre = poincare_rotations.random_rotation(draw)
        angles = poincare_rotations.best_angles_rad(fibre, retardances, np.radians(150.0))
        turned = poincare_rotations.paddles(angles, retardances) @ fibre
        errors.append((1 - (turned[0, 0] + turned[1, 1]) / 2) / 2)
    low, high = reached
    assert low <= np.mean(np.array(errors) < 0.009) <= high


def test_clocks_are_off_and_noisy_as_stated():
    clock = Oscillator((1, 2), 5e-7, 1e-11, 0.01)
    ahead = clock.reading_s(3.0)
    assert clock.reading_s(1.0) < ahead
    assert clock.reading_s(3.0) == ahead
    steps = np.diff([clock.reading_s(t) for t in range(400)]) - 1
    assert steps.mean() == pytest.approx(5e-7, abs=1e-11)
    assert np.sqrt(np.mean(np.diff(steps) ** 2) / 2) == pytest.approx(1e-11, rel=0.2)


def test_a_nanowire_at_its_operating_point_and_beyond():
    wire = snspd.Nanowire(0.8, 100.0, 28.1, 25.1, 7.6)
    assert wire.efficiency_at(25.1) == pytest.approx(0.8)
    assert wire.dark_count_rate_at_hz(25.1) == pytest.approx(100.0)
    rates = [wire.dark_count_rate_at_hz(bias) for bias in (0.0, 10.0, 20.0, 25.0, 26.0, 27.0)]
    assert rates == sorted(rates)
    assert rates[0] == 0.0
    assert wire.efficiency_at(28.1) == wire.dark_count_rate_at_hz(28.1) == 0.0
    assert wire.voltage_v(28.0) < 0.05 < 1.0 < wire.voltage_v(28.2)
    assert wavelength_nm(194.4) == pytest.approx(1542.14, abs=0.01)
