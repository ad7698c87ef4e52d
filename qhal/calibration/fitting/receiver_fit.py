"""One model of sender, fibre, paddles and receiver, fitted to clicks of four states at several settings."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from qhal.calibration.fitting.fit import Array, Fitted, fit_values, numbered
from qhal.calibration.framework.data import Data
from qhal.link.estimates import ClickMatrix
from qhal.link.fibre_fit import FibreFit, fit_fibre, measured_setting
from qhal.link.link_errors import NotEnoughCounts
from qhal.link.receiver import ReceiverModel, detected_fractions
from qhal.link.retarders import controller_rotation, rotation_from_vector, vector_of_rotation
from qhal.records.record import Record, Table

FORMULA = "clicks = live (1 - exp(-(light receiver(paddles fibre state) + dark t)))"
_LEAST_CLICKS = 1000
"""Signal clicks at a setting: the normal approximation of the sixteen counts needs some in each."""


@dataclass(frozen=True, eq=False, slots=True)
class Parameters:
    """The model's parameters by name, cut from one vector.

    ``fibre`` (3): vector of the fibre's rotation, radians. ``retardances`` over the nominal ones. ``vpi``: relative
    error of the sender's phases. ``angles`` (2, 2): azimuth and elevation of both analysers, radians. ``log_weights``
    (4), their sum 0. ``log_vacuum``: of the vacuum's light over the signal's. ``log_light`` (settings);
    ``dark_hz`` (4); ``off_deg`` (settings, paddles).
    """

    fibre: Array
    retardances: Array
    twist: float
    vpi: float
    angles: Array
    offsets: Array
    contrasts: Array
    log_weights: Array
    log_vacuum: float
    log_light: Array
    dark_hz: Array
    off_deg: Array

    @classmethod
    def cut(cls, p: Array, settings: int, paddles: int) -> "Parameters":
        """Cut a vector."""
        sizes = (3, paddles, 1, 1, 4, 2, 2, 3, 1, settings, 4)
        fibre, retardances, twist, vpi, angles, offsets, contrasts, weights, vacuum, light, dark, off = (
            np.split(p, np.cumsum(sizes))
        )
        log_weights = np.append(weights, -weights.sum())
        return cls(
            fibre,
            retardances,
            float(twist[0]),
            float(vpi[0]),
            angles.reshape(2, 2),
            offsets,
            contrasts,
            log_weights,
            float(vacuum[0]),
            light,
            dark,
            off.reshape(settings, paddles),
        )


@dataclass(frozen=True, eq=False, slots=True)
class ReceiverPriors:
    """Knowledge before the measurement: nominal values with standard uncertainties.

    ``retardances_rad``: of the paddles, known to ``retardance_uncertainty`` (relative). ``twist_uncertainty``: of the
    fibre behind the paddles, about 0. ``vpi_uncertainty`` (relative): of the sender's phases. ``play_deg``: of a
    paddle's position. ``window_ps``: detection window, for the dark counts in it.
    """

    retardances_rad: Array
    retardance_uncertainty: float
    twist_uncertainty: float
    vpi_uncertainty: float
    play_deg: float
    window_ps: float


class _Counts:
    """Clicks (settings, 4, 4), live symbols of a state and angles of the table ``settings``, and the dark counts.

    Clicks of vacuum symbols are few: all settings together (4, 4). They separate leaks of the receiver from
    clicks that come with the light but not with its polarization, such as afterpulses.
    """

    def __init__(self, data: Data) -> None:
        table: Table = data["settings"]
        self.clicks = table["clicks"].astype(np.float64)
        self.live = table["live"].astype(np.float64) / 4
        self.vacuum_clicks = table["vacuum_clicks"].sum(axis=0).astype(np.float64)
        self.vacuum_live = table["vacuum_live"].astype(np.float64) / 4
        self.angles_deg = table["reached_deg"].astype(np.float64)
        self.dark_counts = data["dark"]["counts"][0].astype(np.float64)
        self.dark_s = float(data["dark"]["live_s"][0])
        least = self.clicks.sum(axis=(1, 2)).min()
        if least < _LEAST_CLICKS:
            raise NotEnoughCounts(
                f"{least:.0f} clicks at a setting of the paddles, {_LEAST_CLICKS} are needed"
            )


def states(vpi: float) -> Array:
    """Return the Stokes vectors (4, 3) of the sender's states, its phases too large by a fraction."""
    phases = np.array([0.0, np.pi, np.pi / 2, -np.pi / 2]) * (1 + vpi)
    vectors: Array = np.stack((np.cos(phases), np.sin(phases), np.zeros(4)), axis=1)
    return vectors


def directions(angles: Array) -> Array:
    """Return the analysers' unit vectors (2, 3) from azimuth and elevation (2, 2), radians."""
    azimuth, elevation = angles.T
    level = np.cos(elevation)
    return np.stack((level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation)), axis=1)


def fit_receiver(data: Data, priors: ReceiverPriors) -> Fitted:
    """Fit everything at once, by least squares with the counts' expected variances.

    Each prior counts as a measurement: retardances, twist, the sender's phases and the paddles' positions.
    Raises NotEnoughCounts.
    """
    counts = _Counts(data)
    settings, paddles = counts.angles_deg.shape
    clicks = _clicks(counts, priors)
    matrices = [ClickMatrix(clicks.astype(np.int64)) for clicks in counts.clicks]
    rough = fit_fibre(
        [measured_setting(tuple(a), m) for a, m in zip(counts.angles_deg, matrices, strict=True)],
        [float(each) for each in priors.retardances_rad],
    )

    def model(p: Array) -> Array:
        part = Parameters.cut(p, settings, paddles)
        known = (part.retardances, [part.twist, part.vpi], part.off_deg.ravel())
        signal, vacuum = clicks(p)
        return np.concatenate((signal.ravel(), vacuum.ravel(), part.dark_hz * counts.dark_s, *known))

    known_sigma = np.concatenate(
        (
            np.full(paddles, priors.retardance_uncertainty),
            [priors.twist_uncertainty, priors.vpi_uncertainty],
            np.full(settings * paddles, priors.play_deg),
        )
    )
    known = np.concatenate((np.ones(paddles), [0.0, 0.0], np.zeros(settings * paddles)))
    lit = np.concatenate((counts.clicks.ravel(), counts.vacuum_clicks.ravel()))
    measured = np.concatenate((lit, counts.dark_counts, known))
    start = _start(counts, rough, priors.retardances_rad)
    names = _names(settings, paddles)
    # The first round's variances are those of the counts, the second's those of what the first expects.
    variance = np.maximum(lit, 1.0)
    dark_sigma = np.sqrt(counts.dark_counts + 0.5)
    for _ in range(2):
        sigma = np.concatenate((np.sqrt(variance), dark_sigma, known_sigma))
        named = dict(zip(names, start.tolist(), strict=True))
        fitted = fit_values("counts and paddles", FORMULA, model, measured, sigma, named)
        start = np.array([value.nominal_value for value in fitted.values])
        signal, vacuum = clicks(start)
        variance = np.concatenate((signal.ravel(), vacuum.ravel()))
    return fitted


def expected_clicks(data: Data, priors: ReceiverPriors, parameters: Array) -> Array:
    """Return the clicks (settings, 4, 4) of signal symbols that parameters of :func:`fit_receiver` let expect."""
    return _clicks(_Counts(data), priors)(parameters)[0]


def _clicks(counts: _Counts, priors: ReceiverPriors) -> Callable[[Array], tuple[Array, Array]]:
    """Return the expected clicks as a function of the parameters: of signal (settings, 4, 4), of vacuum (4, 4)."""
    settings, paddles = counts.angles_deg.shape

    def expected(p: Array) -> tuple[Array, Array]:
        part = Parameters.cut(p, settings, paddles)
        controller = controller_rotation(
            counts.angles_deg + part.off_deg, part.retardances * priors.retardances_rad, np.array(part.twist)
        )
        fibre = rotation_from_vector(part.fibre)
        stokes = (controller @ fibre @ states(part.vpi).T).transpose(0, 2, 1)
        seen = detected_fractions(
            stokes, directions(part.angles), part.offsets, part.contrasts, np.exp(part.log_weights)
        )
        light = np.exp(part.log_light)[:, None, None] * seen
        dark = part.dark_hz * priors.window_ps * 1e-12
        signal = counts.live[:, None, None] * _click(light + dark)
        vacuum = counts.vacuum_live[:, None, None] * _click(np.exp(part.log_vacuum) * light + dark)
        return signal, vacuum.sum(axis=0)

    return expected


def _names(settings: int, paddles: int) -> list[str]:
    """Return the parameters' names, in the order in which :class:`Parameters` cuts them."""
    return [
        *numbered("fibre_rad", np.zeros(3)),
        *numbered("retardance", np.zeros(paddles)),
        "twist",
        "vpi",
        "azimuth_rad 0",
        "elevation_rad 0",
        "azimuth_rad 1",
        "elevation_rad 1",
        "offset 0",
        "offset 1",
        "contrast 0",
        "contrast 1",
        *numbered("log_weight", np.zeros(3)),
        "log_vacuum",
        *numbered("log_light", np.zeros(settings)),
        *numbered("dark_hz", np.zeros(4)),
        *numbered("off_deg", np.zeros(settings * paddles)),
    ]


def _click(mean: Array) -> Array:
    probability: Array = -np.expm1(-np.maximum(mean, 1e-12))
    return probability


def _start(counts: _Counts, rough: FibreFit, nominal_rad: Array) -> Array:
    by_detector = counts.clicks.sum(axis=(0, 1))
    log_weights = np.log(by_detector / by_detector.mean())
    light = np.log(counts.clicks.sum(axis=(1, 2)) / (4 * counts.live))
    analysers = [0.0, 0.0, np.pi / 2, 0.0, 0.0, 0.0, rough.visibility, rough.visibility]
    return np.concatenate(
        (
            vector_of_rotation(rough.rotation),
            np.array(rough.retardances_rad) / nominal_rad,
            [rough.twist, 0.0],
            analysers,
            (log_weights - log_weights.mean())[:3],
            [np.log((counts.vacuum_clicks.mean() + 0.5) / counts.clicks.mean() / len(counts.live))],
            light,
            (counts.dark_counts + 0.5) / counts.dark_s,
            np.zeros(counts.angles_deg.size),
        )
    )


def receiver_model(record: Record) -> ReceiverModel:
    """Return the receiver that a record of ``receiver-matrix`` found. Raises InvalidRecord for another record."""
    names = ("analyser_azimuth", "analyser_elevation")
    angles = np.radians([[record.quantity(name, basis=basis).value for name in names] for basis in (0, 1)])
    offsets = [record.quantity("analyser_offset", basis=basis).value for basis in (0, 1)]
    contrasts = [1 - 2 * record.quantity("optical_error", basis=basis).value for basis in (0, 1)]
    to_first = record.quantity("basis_split").value
    balance = [record.quantity("efficiency_balance", channel=n).value for n in (1, 2, 3, 4)]
    weights = 2 * np.array(balance) * np.repeat((to_first, 1 - to_first), 2)
    return ReceiverModel(directions(angles), np.array(offsets), np.array(contrasts), weights)
