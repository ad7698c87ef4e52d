"""What a perfect analysis would find, computed from the world's log apart from the click sampler.

Within a symbol that began with all detectors live, the clicks of the detectors are independent: detector d
clicks in the window with probability ``1 - exp(-m_d)``, where m_d is its mean number of events in the window
(signal by the pulse's fraction in it, background by its length). The window opens the slot, so nothing that came
earlier in the slot can hide a click in it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import erf, sqrt

import numpy as np
from numpy.typing import NDArray

from qhal_simulators.physics.channel import raman
from qhal_simulators.physics.light_units import photon_energy_j, watts, wavelength_nm
from qhal_simulators.physics.scenario_tables import ReceiverTable, Scenario
from qhal_simulators.physics.sender.light_pattern import LightPattern
from qhal_simulators.physics.truth_log import Truth

_POINTS_PER_CELL = 16

Weighted = Sequence[tuple[float, Truth]]


@dataclass(frozen=True, slots=True)
class LinkExpectation:
    """Expected gain and error rate of signal, decoy and vacuum, their mean photon numbers, and Y0."""

    gains: tuple[float, float, float]
    error_rates: tuple[float, float, float]
    mean_photon_numbers: tuple[float, float, float]
    background_yield: float
    single_photon_yield: float
    single_photon_error: float


def background_rates_hz(
    truths: Weighted, receiver: ReceiverTable, raman_hz: Sequence[float] | None = None
) -> NDArray[np.float64]:
    """Return the mean rate of background events of each detector (dark counts, Raman, leakage), dead time apart."""
    total, rates = 0.0, np.zeros(4)
    for number, (duration_s, truth) in enumerate(truths):
        scattered = truth.raman_hz if raman_hz is None else raman_hz[number]
        stray = _at_outputs(scattered + truth.leak_hz, np.zeros((4, 3)), receiver) * truth.efficiency
        rates += duration_s * (truth.dark_count_rate_hz + stray)
        total += duration_s
    return rates / total


def integrated_raman_hz(scenario: Scenario, truth: Truth, frequency_thz: float, steps: int = 4000) -> float:
    """Return the Raman photons per second at the detectors by integrating dP/dz along the fibre."""
    channel, receiver, table = scenario.channel, scenario.receiver, scenario.classical
    pumps = [(other.frequency_thz, watts(other.power_dbm)) for other in table.others]
    pumps += [(frequency_thz, truth.classical_w)] if truth.classical_w else []
    scattered = sum(_scattered_w(scenario, frequency, power, steps) for frequency, power in pumps)
    after_db = (
        channel.connectors_after_db
        + channel.demux_loss_db
        + receiver.filter_loss_db
        + receiver.controller_loss_db
        + receiver.receiver_loss_db
    )
    return float(scattered * 10 ** (-after_db / 10) / photon_energy_j(receiver.quantum_frequency_thz))


def _scattered_w(scenario: Scenario, frequency_thz: float, launched_w: float, steps: int) -> float:
    """Return what leaves the fibre at the receiver's end, by Heun's method.

    The pump decays from the end where it is launched; what it feeds travels to the receiver.
    """
    channel, receiver, table = scenario.channel, scenario.receiver, scenario.classical
    decay = channel.loss_db_per_km * np.log(10) / 10
    dz = channel.length_km / steps
    rho = raman.cross_section_per_km_nm(
        frequency_thz, receiver.quantum_frequency_thz, channel.temperature_k, table.raman_scale
    )
    quantum_nm = wavelength_nm(receiver.quantum_frequency_thz)
    width_nm = quantum_nm * receiver.filter_bandwidth_ghz * 1e-3 / receiver.quantum_frequency_thz
    counter = table.direction == "counter"

    def pump_at(z_km: float) -> float:
        way_km = channel.length_km - z_km if counter else z_km
        return launched_w * float(np.exp(-decay * way_km))

    scattered = 0.0
    for step in range(steps if table.raman_scale else 0):
        pump, pump_next = pump_at(step * dz), pump_at((step + 1) * dz)
        slope = pump * rho * width_nm - decay * scattered
        guess = scattered + slope * dz
        slope_next = pump_next * rho * width_nm - decay * guess
        scattered += (slope + slope_next) / 2 * dz
    return scattered


def expect_link(
    truths: Weighted,
    intensity: NDArray[np.uint8],
    states: NDArray[np.uint8],
    window_s: float,
    receiver: ReceiverTable,
    smear_s: NDArray[np.float64],
    raman_hz: Sequence[float] | None = None,
) -> LinkExpectation:
    """Return what an analysis of this pattern finds on average over the truths.

    ``intensity`` (0, 1, 2) and ``states`` (2 * basis + bit) of each symbol; ``window_s`` is centred on the pulse;
    ``smear_s`` (4): standard deviation of jitter and rounding of each detector's tags. Raises ValueError when the
    pattern that was played does not consist of that number of symbols.
    """
    sums = _Sums()
    total_s = sum(duration_s for duration_s, _ in truths)
    pattern: LightPattern | None = None
    classes: tuple[_SymbolClass, ...] = ()
    for number, (duration_s, truth) in enumerate(truths):
        if truth.pattern is not pattern:
            pattern = truth.pattern
            classes = tuple(_symbol_classes(truth, intensity, states, window_s, smear_s, receiver))
        scattered = truth.raman_hz if raman_hz is None else raman_hz[number]
        stray = _at_outputs(scattered + truth.leak_hz, np.zeros((4, 3)), receiver) * truth.efficiency
        clicks = (truth.dark_count_rate_hz + stray) * truth.tagged_fraction
        sums.add(duration_s / total_s, truth, classes, (clicks + truth.noise_hz) * window_s, receiver)
    return sums.result()


@dataclass(frozen=True, eq=False, slots=True)
class _SymbolClass:
    """Symbols of one intensity and state: mean light of all of them, and that in each detector's window.

    Symbols of a class differ by what their neighbours left in the modulators; click probabilities are nearly
    linear in that, so the mean stands for all. ``window_light_s`` (4) has the mean ``window_stokes`` (4, 3).
    """

    level: int
    state: int
    light_s: float
    window_light_s: NDArray[np.float64]
    window_stokes: NDArray[np.float64]


def _symbol_classes(
    truth: Truth,
    intensity: NDArray[np.uint8],
    states: NDArray[np.uint8],
    window_s: float,
    smear_s: NDArray[np.float64],
    receiver: ReceiverTable,
) -> Iterator[_SymbolClass]:
    pattern = truth.pattern
    per_symbol, rest = divmod(len(pattern), len(intensity))
    if rest:
        raise ValueError(f"{len(pattern)} slots were played, not a multiple of {len(intensity)} symbols")
    energy = pattern.energy_s.reshape(-1, per_symbol)
    crowding = _crowding(truth, energy.sum(axis=1), receiver)
    smears, smear_of = np.unique(smear_s, return_inverse=True)
    shares = [
        _window_shares(pattern, per_symbol, window_s, float(smear), crowding).reshape(-1, per_symbol)
        for smear in smears
    ]
    stokes = pattern.stokes.reshape(-1, per_symbol, 3)
    for level in range(3):
        for state in range(4):
            chosen = (intensity == level) & (states == state)
            inside = [energy[chosen] * share[chosen] for share in shares]
            mean_stokes = [
                (stokes[chosen] * each[..., None]).sum(axis=(0, 1)) / each.sum() for each in inside
            ]
            yield _SymbolClass(
                level=level,
                state=state,
                light_s=float(energy[chosen].sum(axis=1).mean()),
                window_light_s=np.array([each.sum(axis=1).mean() for each in inside])[smear_of],
                window_stokes=np.array(mean_stokes)[smear_of],
            )


class _Sums:
    def __init__(self) -> None:
        self.clicked, self.sifted, self.errors, self.photons = (np.zeros(3) for _ in range(4))
        self.background_yield = self.single_yield = self.single_errors = self.single_sifted = 0.0

    def add(
        self,
        weight: float,
        truth: Truth,
        classes: Sequence[_SymbolClass],
        background: NDArray[np.float64],
        receiver: ReceiverTable,
    ) -> None:
        for each in classes:
            arriving = truth.detected_per_light_s * each.window_light_s
            light = _at_outputs(arriving, each.window_stokes @ truth.rotation.T, receiver)
            light *= truth.efficiency * truth.tagged_fraction
            clicked, sifted, errors = _probabilities(light + background, each.state)
            self.clicked[each.level] += weight / 4 * clicked
            self.sifted[each.level] += weight / 4 * sifted
            self.errors[each.level] += weight / 4 * errors
            photons = truth.photons_per_light_s * each.light_s
            self.photons[each.level] += weight / 4 * photons
            if each.level == 0 and photons > 0:
                self._single(weight / 4, light / photons, background, each.state)
        self.background_yield += weight * (1 - float(np.exp(-background.sum())))

    def _single(
        self, weight: float, transmitted: NDArray[np.float64], background: NDArray[np.float64], state: int
    ) -> None:
        """Add the yield and error of one photon: transmission to each detector's click, plus background."""
        quiet = float(np.exp(-background.sum()))
        lost = 1 - float(transmitted.sum())
        _, dark_sifted, dark_errors = _probabilities(background, state)
        pair = [state // 2 * 2, state // 2 * 2 + 1]
        self.single_yield += weight * (1 - quiet * lost)
        self.single_sifted += weight * (lost * dark_sifted + quiet * float(transmitted[pair].sum()))
        self.single_errors += weight * (lost * dark_errors + quiet * float(transmitted[state ^ 1]))

    def result(self) -> LinkExpectation:
        gains, rates, photons = self.clicked, self.errors / self.sifted, self.photons
        return LinkExpectation(
            gains=(float(gains[0]), float(gains[1]), float(gains[2])),
            error_rates=(float(rates[0]), float(rates[1]), float(rates[2])),
            mean_photon_numbers=(float(photons[0]), float(photons[1]), float(photons[2])),
            background_yield=self.background_yield,
            single_photon_yield=self.single_yield,
            single_photon_error=self.single_errors / self.single_sifted,
        )


def _probabilities(means: NDArray[np.float64], state: int) -> tuple[float, float, float]:
    """Return the probabilities of a click, of a sifted bit and of a wrong one, for independent detectors."""
    quiet = np.exp(-means)
    clicked = 1 - float(quiet.prod())
    right, wrong = state, state ^ 1
    other = [detector for detector in range(4) if detector // 2 != state // 2]
    only_this_basis = float(quiet[other].prod())
    p_right, p_wrong = 1 - quiet[right], 1 - quiet[wrong]
    sifted = only_this_basis * (1 - float(quiet[right] * quiet[wrong]))
    errors = only_this_basis * float(p_wrong * quiet[right] + p_wrong * p_right / 2)
    return clicked, sifted, errors


def _at_outputs(
    light: float | NDArray[np.float64], stokes: NDArray[np.float64], receiver: ReceiverTable
) -> NDArray[np.float64]:
    """Return what of some light leaves by each output; ``stokes`` (4, 3): its Stokes vector, for each output.

    An ideal splitter and polarizing splitter, whose outputs are then mixed by the leaks.
    """
    leaks = receiver.leaks or (receiver.optical_error,) * 4
    to_basis = (receiver.basis_split, 1 - receiver.basis_split)
    shares = np.empty(4)
    for output in range(4):
        basis, own, other = output // 2, leaks[output], leaks[output ^ 1]
        angle = np.radians(90.0 * basis + receiver.analyser_tilt_deg[basis])
        along = stokes[output] @ (np.cos(angle), np.sin(angle), 0.0)
        ideal = (1 + along) / 2 if output == 2 * basis else (1 - along) / 2
        shares[output] = to_basis[basis] * (ideal * (1 - own) + (1 - ideal) * other)
    return light * shares


def _crowding(truth: Truth, energy_s: NDArray[np.float64], receiver: ReceiverTable) -> float:
    """Return how many events one detector has, on average over events, in the pulse of an event."""
    to_basis = np.repeat((receiver.basis_split, 1 - receiver.basis_split), 2)
    light = truth.detected_per_light_s * energy_s[:, None] * truth.efficiency * to_basis / 2
    # Half of the light meets its own basis, where one detector sees twice the mean and one nothing.
    return 1.5 * float((light**2).sum() / max(light.sum(), 1e-300))


def _window_shares(
    pattern: LightPattern, per_symbol: int, window_s: float, smear_s: float, crowding: float
) -> NDArray[np.float64]:
    """Return the fraction of each slot's light that is tagged within a window centred on the mean click.

    The first event of a pulse hides those that follow, so clicks come a little before the light: its fraction at
    cumulated light c is lower by ``crowding * c``.
    """
    symbol_s = per_symbol * pattern.slot_s
    # Light is spread evenly between the quantiles of a shape, and a cell in the tail is wider than the smear.
    within = ((np.arange(_POINTS_PER_CELL) + 0.5) / _POINTS_PER_CELL)[None, None, :]
    low, high = pattern.shapes[:, :-1, None], pattern.shapes[:, 1:, None]
    middle = ((low + (high - low) * within) * pattern.slot_s).reshape(len(pattern.shapes), -1)
    place = np.arange(len(pattern)) % per_symbol
    pairs, back = np.unique(np.stack((place, pattern.shape_class)), axis=1, return_inverse=True)
    weight = np.bincount(back.ravel(), pattern.energy_s)
    positions = pairs[0][:, None] * pattern.slot_s + middle[pairs[1]]
    seen = 1 - crowding * (np.arange(positions.shape[1]) + 0.5) / positions.shape[1]
    turns = (seen * np.exp(2j * np.pi * positions / symbol_s)).mean(axis=1)
    centre = float(np.angle((weight * turns).sum())) / (2 * np.pi) * symbol_s
    offsets = np.mod(positions - centre + symbol_s / 2, symbol_s) - symbol_s / 2
    upper, lower = (window_s / 2 - offsets) / smear_s, (-window_s / 2 - offsets) / smear_s
    shares: NDArray[np.float64] = (_normal(upper) - _normal(lower)).mean(axis=1)[back.ravel()]
    return shares


def _normal(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the standard normal distribution function."""
    values: NDArray[np.float64] = np.vectorize(lambda each: (1 + erf(each / sqrt(2))) / 2)(np.clip(x, -9, 9))
    return values
