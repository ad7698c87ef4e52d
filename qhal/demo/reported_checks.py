"""Checks that a real node can make: against reports of instruments, records and data sheets.

Nothing here reads the truth of the simulated world. Bounds are k = 2 of the budgets below.
"""

import math
from typing import Any

from uncertainties import umath

from qhal.calibration.channel.classical_noise import RamanPath
from qhal.demo.check import Check
from qhal.demo.metro_link import LASER_UNCERTAINTY_DB, MetroLink
from qhal.demo.results import State
from qhal.link.pattern import Intensity
from qhal.link.photonics import photon_energy_j
from qhal.records.uncertain import from_db, nominal, standard_uncertainty, statistical, systematic

RAMAN_PER_KM_NM = 3.1e-9
"""Fraction of the classical power that standard fibre scatters forward, per km and nm, 1 THz above it at 295 K.

Effective values of that size are in the literature of quantum key distribution beside classical channels.
"""
_RAMAN_TOLERANCE = 0.1
"""Standard uncertainty of it (k = 1, relative); so are those that follow, in their units."""
_FILTER_TOLERANCE_GHZ = 0.5
_BIAS_TOLERANCE_UA = 0.02
"""How well a bias current is the same on the bench and on the link; the dark rate grows steeply with it."""
_PULSE_TOLERANCE = 0.02
"""Of the fraction of a pulse within the window."""
_OPTICAL_ERROR_TOLERANCE = 1.5e-3
"""Of the receiver's declared optical error, and of what the alignment leaves."""
_LASER_DRIFT_DB = 0.02
"""How much the laser's power may move between two readings a second apart."""


def reported_checks(link: MetroLink, states: list[State]) -> list[Check]:
    """Compare the states, classical channel off first, with what a node knows without the truth of the world."""
    off, brightest = states[0], states[-1]
    dark = _dark_hz(link)
    noise = {state.name: dark for state in states}
    noise[brightest.name] = dark + _raman_hz(link, brightest)
    return [
        _check("signal gain from laser, losses and records", _gain(off), _expected_gain(link)),
        _check("dark counts /s from the bench's record", _noise(off), dark),
        _check(
            f"Raman noise (classical on minus off) /s from data sheets, {brightest.name}",
            _noise(brightest) - _noise(off),
            noise[brightest.name] - dark,
        ),
        *(
            _check(
                f"signal QBER from data sheets, {state.name}",
                _qber(state),
                _expected_qber(link, state, noise[state.name]),
            )
            for state in dict.fromkeys((off, brightest))
        ),
        counter_check(link),
    ]


def counter_check(link: MetroLink) -> Check:
    """Compare the detectors' own counter with the tagger's, one after the other."""
    counted = link.node.detector("detectors").read_counts(1.0)
    tagged = link.node.time_tagger("tagger").read_counts(1.0)
    drift = sum(tagged.rates_hz) * math.log(10) / 10 * _LASER_DRIFT_DB
    return Check(
        name="detectors' counter and tagger's counter agree /s",
        basis="reported",
        measured=sum(counted.rates_hz),
        uncertainty=math.hypot(
            math.sqrt(sum(counted.counts)) / counted.period_s,
            math.sqrt(sum(tagged.counts)) / tagged.period_s,
            drift,
        ),
        expected=sum(tagged.rates_hz),
    )


def _check(name: str, measured: Any, expected: Any) -> Check:
    """Return a check with the uncertainty of the difference."""
    return Check(
        name=name,
        basis="reported",
        measured=nominal(measured),
        uncertainty=standard_uncertainty(measured - expected),
        expected=nominal(expected),
    )


def _gain(state: State) -> Any:
    gain = state.measurement.pattern.counts.gain(Intensity.SIGNAL)
    return statistical("clicks of the signal", gain.value, gain.standard_uncertainty)


def _qber(state: State) -> Any:
    qber = state.measurement.pattern.counts.qber(Intensity.SIGNAL)
    return statistical(f"errors, {state.name}", qber.value, qber.standard_uncertainty)


def _noise(state: State) -> Any:
    noise = state.noise
    return statistical(f"noise counts, {state.name}", noise.rate_hz, noise.standard_uncertainty_hz)


def _expected_gain(link: MetroLink) -> Any:
    """Return the signal gain that records and the node's path map promise, with its budget."""
    parts = list(link.node.path("quantum"))
    downstream = parts[[part.name for part in parts].index("pad") + 1 :]
    loss_db = sum(
        systematic(f"loss of {p.name}", p.loss_db, p.uncertainty_db) for p in downstream if p.loss_db
    )
    window_fraction = systematic("pulse shape and window", 1 - _PULSE_TOLERANCE / 2, _PULSE_TOLERANCE)
    mean = (
        link.photon_number.mean_photon_number
        * from_db(-loss_db)
        * link.bench.mean_efficiency
        * window_fraction
    )
    return 1 - umath.exp(-mean)


def _dark_hz(link: MetroLink) -> Any:
    """Return the dark counts of all detectors at the same bias on the bench, per second."""
    table = link.bench.efficiency.tables["dark"]
    seconds = float(table["period_s"].sum())
    slopes = link.sheet["detectors"]["slope_per_ua"]
    total: Any = 0.0
    for n, slope in enumerate(slopes[: len(link.session.settings.inputs)]):
        counts = float(table["counts"][:, n].sum())
        rate = statistical(
            f"dark counts of {n + 1} on the bench", counts / seconds, math.sqrt(counts + 1) / seconds
        )
        total = total + rate * umath.exp(systematic(f"bias of {n + 1}", 0.0, slope * _BIAS_TOLERANCE_UA))
    return total


def _raman_hz(link: MetroLink, state: State) -> Any:
    """Return the clicks per second of Raman scattering that powers and data sheets promise."""
    sheet, parts = link.sheet, {part.name: part for part in link.node.path("classical")}
    after = {part.name: part for part in link.node.path("quantum")}
    channel, receiver = sheet["channel"], sheet["receiver"]

    def loss(path: dict[str, Any], name: str) -> Any:
        return systematic(f"loss of {name}", path[name].loss_db or 0.0, path[name].uncertainty_db)

    launch_db = loss(parts, "pad") + loss(parts, "mux") + channel["connectors_before_db"]
    after_db = channel["connectors_after_db"] + sum(
        (loss(after, name) for name in ("demux and filter", "polarization", "receiver")), 0.0
    )
    path = RamanPath(
        direction=sheet["classical"]["direction"],
        length_km=channel["length_km"],
        loss_db_per_km=channel["loss_db_per_km"],
        launch_db=nominal(launch_db),
        after_db=nominal(after_db),
        efficiency=nominal(link.bench.mean_efficiency),
        frequency_thz=receiver["quantum_frequency_thz"],
        bandwidth_ghz=receiver["filter_bandwidth_ghz"],
    )
    assert state.classical_laser_dbm is not None
    power_dbm = systematic("classical laser's report", state.classical_laser_dbm, LASER_UNCERTAINTY_DB)
    launched_w = from_db(power_dbm - launch_db) * 1e-3
    width_nm = (
        systematic("filter's width", path.bandwidth_ghz, _FILTER_TOLERANCE_GHZ) * path.bandwidth_nm_per_ghz()
    )
    coefficient = systematic("Raman coefficient", RAMAN_PER_KM_NM, _RAMAN_TOLERANCE * RAMAN_PER_KM_NM)
    photons_hz = launched_w * coefficient * path.effective_length_km() * width_nm * from_db(-after_db)
    return photons_hz / photon_energy_j(path.frequency_thz) * link.bench.mean_efficiency


def _expected_qber(link: MetroLink, state: State, noise_hz: Any) -> Any:
    """Return the error rate of the signal: light in the wrong detector, and noise, half of which is wrong."""
    noise = noise_hz * link.session.settings.window_ps * 1e-12 / _gain(state)
    optical = systematic("optical error", link.sheet["receiver"]["optical_error"], _OPTICAL_ERROR_TOLERANCE)
    return optical * (1 - noise) + noise / 2
