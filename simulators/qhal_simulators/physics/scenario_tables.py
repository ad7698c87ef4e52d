"""Scenario files: the parts of a link and the instruments on them (TOML, checked by pydantic)."""

import math
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from qhal.errors import ConfigurationError
from qhal.explain import explain
from qhal.node.schema import Name, PathTable
from qhal.toml_file import read_toml

Decibel = Annotated[float, Field(ge=0, le=200)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Leak = Annotated[float, Field(ge=0, lt=0.5)]
TiltDeg = Annotated[float, Field(ge=-45, le=45)]
Nanoseconds = Annotated[float, Field(ge=0, le=1e6)]
Rate = Annotated[float, Field(ge=0, le=1e7)]
JitterPs = Annotated[float, Field(ge=0, le=1e5)]
Afterpulsing = Annotated[float, Field(ge=0, le=0.5)]
LinkName = Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
LinkTable = Literal["transmitter", "channel", "classical", "receiver", "detectors", "tagger"]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class IntensityModulatorTable(_Table):
    """An intensity modulator on a channel of the pattern generator. ``v0_v`` is that at world time 0, and drifts."""

    channel: Annotated[int, Field(ge=1, le=4)]
    v0_v: float
    vpi_v: Positive
    extinction_db: Annotated[float, Field(gt=0, le=80)]
    amplifier_gain: Positive = 1.0
    v0_drift_v_per_hour: Annotated[float, Field(ge=-100, le=100)] = 0.0


class PhaseModulatorTable(_Table):
    """A phase or polarization modulator on a channel of the pattern generator."""

    channel: Annotated[int, Field(ge=1, le=4)]
    v0_v: float
    vpi_v: Positive
    amplifier_gain: Positive = 1.0


class TransmitterTable(_Table):
    """``[transmitter]``: modulators, their loss, and the pad that follows the attenuator.

    ``clock``: name of the oscillator it runs on; what has the same name runs on the same one, on other links, too.
    ``intensity_noise``: relative standard deviation from pulse to pulse; ``spectral_width_nm``: FWHM of a pulse, which
    the fibre's dispersion turns into time. ``pattern_effect``: relative change of the light right behind the brightest;
    it fades with ``pattern_memory_ns``. ``laser_drift_db_per_hour``: by how much the quantum laser's power changes from
    world time 0 (negative: it fades). ``bypass_db``: loss of a way around both attenuators, such as a leaking
    connector; all else than the attenuators is before and behind it.
    """

    samples_per_slot: Annotated[int, Field(ge=1, le=1000)]
    bandwidth_hz: Positive
    modulator_loss_db: Decibel
    pad_db: Decibel
    decoy: IntensityModulatorTable
    carver: IntensityModulatorTable
    polarization: PhaseModulatorTable
    randomiser: PhaseModulatorTable
    clock: str = "transmitter"
    clock_offset: Annotated[float, Field(ge=-1e-3, le=1e-3)] | None = None
    intensity_noise: Annotated[float, Field(ge=0, le=0.3)] = 0.0
    spectral_width_nm: Annotated[float, Field(ge=0, le=10)] = 0.0
    pattern_effect: Annotated[float, Field(ge=-0.3, le=0.3)] = 0.0
    pattern_memory_ns: Annotated[float, Field(gt=0, le=1e6)] = 10.0
    laser_drift_db_per_hour: Annotated[float, Field(ge=-10, le=10)] = 0.0
    bypass_db: Decibel | None = None


class ChannelTable(_Table):
    """``[channel]``: from the switch to the fibre's end.

    ``switch_crosstalk_db``: further loss of a path while the switch is open or moves, for light finds a way. Each path
    has a loss and a crosstalk of its own, spread evenly within ``switch_loss_spread_db`` and
    ``switch_crosstalk_spread_db`` around those given; the quantum path has ``switch_loss_db`` itself. Each time that an
    ingress is steered its loss comes out ``switch_repeatability_db`` (1 sigma) apart, and ``switch_creep_db`` more than
    the time before.
    A bad connector between switch and multiplexer has a further loss that swings from 0 to ``connector_flutter_db`` and
    back every ``connector_flutter_period_s``. ``ambient_hz``: photons of room light per second at the receiver's four
    outputs together, unpolarized.
    The fibre's temperature swings by ``temperature_swing_k`` about its mean every ``temperature_period_s``, and its
    delay with it, by ``delay_ps_per_km_k``.
    """

    switch_ingress: Annotated[int, Field(ge=1)]
    switch_egress: Annotated[int, Field(ge=1)]
    switch_loss_db: Decibel
    switch_crosstalk_db: Decibel = 60.0
    switch_loss_spread_db: Decibel = 0.0
    switch_crosstalk_spread_db: Decibel = 0.0
    switch_repeatability_db: Annotated[float, Field(ge=0, le=1)] = 0.0
    switch_creep_db: Annotated[float, Field(ge=0, le=1)] = 0.0
    mux_loss_db: Decibel
    connectors_before_db: Decibel
    length_km: Annotated[float, Field(ge=0, le=1000)]
    loss_db_per_km: Annotated[float, Field(ge=0, le=10)]
    group_index: Annotated[float, Field(ge=1, le=3)]
    dispersion_ps_per_nm_km: float
    temperature_k: Positive
    polarization_correlation_time_s: Positive
    pmd_ps_per_sqrt_km: Annotated[float, Field(ge=0, le=10)] = 0.0
    temperature_swing_k: Annotated[float, Field(ge=0, le=60)] = 0.0
    temperature_period_s: Positive = 86400.0
    delay_ps_per_km_k: Annotated[float, Field(ge=0, le=100)] = 38.0
    connectors_after_db: Decibel
    demux_loss_db: Decibel
    connector_flutter_db: Decibel = 0.0
    connector_flutter_period_s: Annotated[float, Field(ge=4, le=1e6)] = 60.0
    ambient_hz: Annotated[float, Field(ge=0, le=1e12)] = 0.0

    @model_validator(mode="after")
    def _spreads_fit(self) -> Self:
        for name in ("switch_loss", "switch_crosstalk"):
            spread_db, mean_db = getattr(self, f"{name}_spread_db"), getattr(self, f"{name}_db")
            if spread_db > mean_db:
                raise ValueError(
                    f"{name}_spread_db {spread_db} is more than {name}_db {mean_db}: a path would amplify"
                )
        return self


class OtherChannelTable(_Table):
    """``[[classical.others]]``: a channel of another system, always on; ``power_dbm`` is launched into the fibre."""

    frequency_thz: Annotated[float, Field(ge=150, le=260)]
    power_dbm: Annotated[float, Field(ge=-60, le=30)]


class ClassicalTable(_Table):
    """``[classical]``: the classical channel on the same fibre. ``raman_scale`` 0 switches Raman off.

    ``direction``: whether it travels with the quantum signal or against it, from the receiver's side; then only what
    the line returns (``return_loss_db``: Rayleigh scattering of a long fibre gives about 32 dB) and Raman light come
    back to the receiver. ``others``: further channels, for four-wave mixing and their own Raman light.
    """

    direction: Literal["co", "counter"] = "co"
    return_loss_db: Decibel = 32.0
    others: tuple[OtherChannelTable, ...] = ()
    kerr_gamma_per_w_km: Annotated[float, Field(ge=0, le=10)] = 1.3
    pad_db: Decibel
    raman_scale: Annotated[float, Field(ge=0, le=10)]
    isolation_db: Decibel
    noise_dbc: Annotated[float, Field(le=0)]
    noise_cleanup_db: Decibel


class ReceiverTable(_Table):
    """``[receiver]``: filter, controller and the passive four-detector receiver.

    ``filter_bandwidth_ghz``: FWHM of the signal bandpass filter. ``filter_order``: of its super-Gaussian shape, None
    for a rectangle; ``out_of_band_db`` less passes everywhere. ``filter_centre_offset_ghz``: true centre less
    ``quantum_frequency_thz``. Raman light and mixing count what is made within ``filter_bandwidth_ghz`` of
    ``quantum_frequency_thz``, whatever shape and offset are.

    ``basis_split``: fraction of the light that goes to basis 0. ``leaks``: fraction of the light of each state H, V, D,
    A that leaves by the other output of its own basis (None: ``optical_error`` for all). ``analyser_tilt_deg``: angle
    on the Poincare sphere by which the analyser of each basis is turned from s1 towards s2, and from s2 towards -s1.
    """

    quantum_frequency_thz: Positive
    filter_loss_db: Decibel
    filter_bandwidth_ghz: Positive
    out_of_band_db: Decibel
    filter_order: Annotated[int, Field(ge=1, le=20)] | None = None
    filter_centre_offset_ghz: Annotated[float, Field(ge=-1000, le=1000)] = 0.0
    controller_loss_db: Decibel
    controller_loops: Literal["1-2-1", "2-3-2", "1-1-1"]
    receiver_loss_db: Decibel
    optical_error: Leak
    basis_split: Annotated[float, Field(gt=0, lt=1)] = 0.5
    leaks: tuple[Leak, Leak, Leak, Leak] | None = None
    analyser_tilt_deg: tuple[TiltDeg, TiltDeg] = (0.0, 0.0)
    clock: str = "receiver"
    clock_offset: Annotated[float, Field(ge=-1e-3, le=1e-3)] | None = None


class DetectorsTable(_Table):
    """``[detectors]``: four of them, in the order H, V, D, A (state 2 * basis + bit).

    Beyond ``blinding_rate_hz`` photons per second a detector gives no clicks; one that ``latches`` stays so until its
    bias is taken off. ``gate_period_ps`` 0: free running; else gates of ``gate_width_ps`` FWHM whose edges rise within
    ``gate_rise_ps`` (10 to 90 %), centred at ``gate_delay_ps`` of each detector on the receiver's clock. Different
    delays are an efficiency mismatch. ``gate_leak``: fraction of the efficiency, and of the dark counts,
    outside of them.

    Dead time, jitter, recovery, afterpulsing and pulses are the same for all, or one value for each.
    ``pulse_v`` at the tagger has a standard deviation ``pulse_sigma_v``; there is noise of ``noise_v`` rms below
    ``noise_bandwidth_hz``, too. ``counter_pulse_mv``: the same pulse, with its spread and noise, at the electronics'
    own counter (None: that counts each click, whatever its trigger level).

    ``background_hz``: part of the dark rate that is stray photons; ``width_ua``: of the efficiency's sigmoid.
    ``efficiency_per_thz``: relative change of the efficiency for all light with the quantum laser's frequency; the
    table's is that at the receiver's ``quantum_frequency_thz``. ``dark_drift_per_hour``: relative growth of the dark
    rate in an hour, from world time 0. ``latch_at_s``: world time at which all that are biased latch by themselves,
    once.
    """

    efficiency: tuple[Fraction, Fraction, Fraction, Fraction]
    dark_count_rate_hz: tuple[float, float, float, float]
    switch_ua: tuple[float, float, float, float]
    operating_ua: tuple[float, float, float, float]
    slope_per_ua: tuple[float, float, float, float]
    width_ua: tuple[Positive, Positive, Positive, Positive] = (1.0, 1.0, 1.0, 1.0)
    background_hz: tuple[Rate, Rate, Rate, Rate] = (5.0, 5.0, 5.0, 5.0)
    cold_stage_k: Annotated[float, Field(gt=0, le=300)] = 2.5
    efficiency_per_thz: Annotated[float, Field(ge=-0.1, le=0.1)] = 0.0
    dark_drift_per_hour: Annotated[float, Field(gt=-1, le=10)] = 0.0
    latch_at_s: Positive | None = None
    dead_time_ns: Nanoseconds | tuple[Nanoseconds, Nanoseconds, Nanoseconds, Nanoseconds]
    jitter_fwhm_ps: JitterPs | tuple[JitterPs, JitterPs, JitterPs, JitterPs]
    skew_ps: tuple[int, int, int, int]
    pulse_v: Positive | tuple[Positive, Positive, Positive, Positive]
    pulse_sigma_v: Annotated[float, Field(ge=0, le=10)] = 0.0
    noise_v: Annotated[float, Field(ge=0, le=10)] = 0.0
    noise_bandwidth_hz: Annotated[float, Field(gt=0, le=1e11)] = 1e9
    counter_pulse_mv: Positive | tuple[Positive, Positive, Positive, Positive] | None = None
    common_hold_off: bool = False
    blinding_rate_hz: Positive = 2e8
    latches: bool = True
    gate_period_ps: Annotated[float, Field(ge=0, le=1e9)] = 0.0
    gate_width_ps: Annotated[float, Field(gt=0, le=1e9)] = 1000.0
    gate_rise_ps: Annotated[float, Field(gt=0, le=1e6)] = 50.0
    gate_delay_ps: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    gate_leak: Fraction = 0.0
    recovery_time_ns: Nanoseconds | tuple[Nanoseconds, Nanoseconds, Nanoseconds, Nanoseconds] = 0.0
    afterpulse_probability: Afterpulsing | tuple[Afterpulsing, Afterpulsing, Afterpulsing, Afterpulsing] = 0.0
    afterpulse_lifetimes_ns: Annotated[tuple[Positive, ...], Field(min_length=1, max_length=8)] = (1500.0,)
    afterpulse_shares: Annotated[tuple[Fraction, ...], Field(min_length=1, max_length=8)] = (1.0,)

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        shares = self.afterpulse_shares
        if len(shares) != len(self.afterpulse_lifetimes_ns) or abs(sum(shares) - 1) > 1e-9:
            raise ValueError(
                "afterpulse_shares: give one for each of afterpulse_lifetimes_ns, with the sum 1"
            )
        return self


class TaggerTable(_Table):
    """``[tagger]``: its bins repeat after ``interpolator_bins``, and their widths vary by ``dnl`` (1 sigma).

    ``overflow_at_s``: world time at which its buffer overflows once, if it records.
    """

    dnl: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    interpolator_bins: Annotated[int, Field(ge=2, le=4096)] = 64
    overflow_at_s: Positive | None = None


class WorldTable(_Table):
    """``[world]``: the grid of slow changes, the clocks' noise, the ranges of their unknown offsets and ageing.

    ``grid_s`` None: as coarse as no step can be seen, see :mod:`~qhal_simulators.physics.slow_grid`; the same for all
    links.
    """

    grid_s: Annotated[float, Field(gt=0, le=1)] | None = None
    clock_allan_1s: Annotated[float, Field(ge=0, le=1e-6)]
    clock_offset_range: Annotated[float, Field(ge=0, le=1e-4)]
    clock_drift_range_per_s: Annotated[float, Field(ge=0, le=1e-9)] = 0.0


class InstrumentTable(_Table):
    """``[instruments.NAME]``: a simulated instrument, the part of the world it holds, options of both sides."""

    model: str
    part: str
    options: dict[str, Any] = Field(default_factory=dict)
    driver_options: dict[str, Any] = Field(default_factory=dict)


class Scenario(_Table):
    """A whole scenario: one link, or several that differ from it by the changes in ``[links.NAME.TABLE]``."""

    name: str
    description: str
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    world: WorldTable
    transmitter: TransmitterTable
    channel: ChannelTable
    classical: ClassicalTable
    receiver: ReceiverTable
    detectors: DetectorsTable
    tagger: TaggerTable = Field(default_factory=TaggerTable)
    links: dict[LinkName, dict[LinkTable, dict[str, Any]]] = Field(default_factory=dict)
    instruments: dict[Name, InstrumentTable]
    paths: dict[str, PathTable] = Field(default_factory=dict)
    clock_tree: dict[str, str] = Field(default_factory=dict)

    def by_link(self) -> dict[str, Self]:
        """Return the scenario of each link; a scenario of one link is that of the link ``""``.

        Raises ConfigurationError naming link, table and key of a change that does not fit, or a clock with two offsets.
        """
        links = {link: self._of_link(link) for link in self.links} or {"": self}
        offsets: dict[str, float | None] = {}
        for scenario in links.values():
            for part in (scenario.transmitter, scenario.receiver):
                if offsets.setdefault(part.clock, part.clock_offset) != part.clock_offset:
                    raise ConfigurationError(f"clock {part.clock!r} has more than one clock_offset")
        return links

    def _of_link(self, link: str) -> Self:
        content = self.model_dump(mode="json", exclude={"links"})
        for table, changes in self.links[link].items():
            content[table] |= changes
        try:
            return self.model_validate(content)
        except ValidationError as error:
            raise ConfigurationError(f"links.{link}: {explain(error, Scenario)}") from error


Four = tuple[float, float, float, float]


def four(value: float | Four) -> Four:
    """Return a value of each detector from one that may be the same for all."""
    return value if isinstance(value, tuple) else (value,) * 4


def timing_fwhm_ps(scenario: Scenario) -> tuple[float, ...]:
    """Return the width by which a photon's time is smeared: by each detector, dispersion and polarization modes."""
    channel = scenario.channel
    dispersion = (
        abs(channel.dispersion_ps_per_nm_km) * scenario.transmitter.spectral_width_nm * channel.length_km
    )
    modes = channel.pmd_ps_per_sqrt_km * math.sqrt(channel.length_km)
    return tuple(math.hypot(each, dispersion, modes) for each in four(scenario.detectors.jitter_fwhm_ps))


def scenario_names() -> list[str]:
    """Return the scenarios that are shipped."""
    folder = files("qhal_simulators") / "scenarios"
    return sorted(
        entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")
    )


def load_scenario(name: str | Path) -> Scenario:
    """Return a shipped scenario by its name, or one from a file. Raises ConfigurationError."""
    if str(name) in scenario_names():
        text = (files("qhal_simulators") / "scenarios" / f"{name}.toml").read_text(encoding="utf-8")
        return parse_scenario(tomllib.loads(text), str(name))
    if Path(name).suffix != ".toml" and len(Path(name).parts) == 1:
        raise ConfigurationError(f"no scenario {str(name)!r}; there are {', '.join(scenario_names())}")
    return parse_scenario(read_toml(Path(name)), str(name))


def parse_scenario(content: dict[str, Any], source: str) -> Scenario:
    """Check the content of a scenario file. Raises ConfigurationError naming source, table and key."""
    try:
        scenario = Scenario.model_validate(content)
        scenario.by_link()
    except ValidationError as error:
        raise ConfigurationError(f"{source}: {explain(error, Scenario)}") from error
    except ConfigurationError as error:
        raise ConfigurationError(f"{source}: {error}") from error
    return scenario
