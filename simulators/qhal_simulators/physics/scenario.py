"""Scenario files: the parts of a link and the instruments on them (TOML, checked by pydantic)."""

import math
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from qhal.errors import ConfigurationError
from qhal.node.schema import PathTable, explain

Decibel = Annotated[float, Field(ge=0, le=200)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
LinkName = Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
LinkTable = Literal["transmitter", "channel", "classical", "receiver", "detectors", "tagger"]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class IntensityModulatorTable(_Table):
    """An intensity modulator on a channel of the pattern generator."""

    channel: Annotated[int, Field(ge=1, le=4)]
    v0_v: float
    vpi_v: Positive
    extinction_db: Annotated[float, Field(gt=0, le=80)]
    amplifier_gain: Positive = 1.0


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
    it fades with ``pattern_memory_ns``.
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


class ChannelTable(_Table):
    """``[channel]``: from the switch to the fibre's end.

    ``switch_crosstalk_db``: further loss of the path while the switch is open or moves, for light finds a way.
    The fibre's temperature swings by ``temperature_swing_k`` about its mean every ``temperature_period_s``, and its
    delay with it, by ``delay_ps_per_km_k``.
    """

    switch_ingress: Annotated[int, Field(ge=1)]
    switch_egress: Annotated[int, Field(ge=1)]
    switch_loss_db: Decibel
    switch_crosstalk_db: Decibel = 60.0
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
    """``[receiver]``: filter, controller and the passive four-detector receiver."""

    quantum_frequency_thz: Positive
    filter_loss_db: Decibel
    filter_bandwidth_ghz: Positive
    out_of_band_db: Decibel
    controller_loss_db: Decibel
    controller_loops: Literal["1-2-1", "2-3-2", "1-1-1"]
    receiver_loss_db: Decibel
    optical_error: Annotated[float, Field(ge=0, lt=0.5)]
    clock: str = "receiver"
    clock_offset: Annotated[float, Field(ge=-1e-3, le=1e-3)] | None = None


class DetectorsTable(_Table):
    """``[detectors]``: four of them, in the order H, V, D, A (state 2 * basis + bit).

    Beyond ``blinding_rate_hz`` photons per second a detector gives no clicks; one that ``latches`` stays so until its
    bias is taken off. ``gate_period_ps`` 0: free running; else gates of ``gate_width_ps`` FWHM whose edges rise within
    ``gate_rise_ps`` (10 to 90 %), centred at ``gate_delay_ps`` of each detector on the receiver's clock. Different
    delays are an efficiency mismatch.
    """

    efficiency: tuple[Share, Share, Share, Share]
    dark_count_rate_hz: tuple[float, float, float, float]
    switch_ua: tuple[float, float, float, float]
    operating_ua: tuple[float, float, float, float]
    slope_per_ua: tuple[float, float, float, float]
    dead_time_ns: Annotated[float, Field(ge=0, le=1e6)]
    jitter_fwhm_ps: Annotated[float, Field(ge=0, le=1e5)]
    skew_ps: tuple[int, int, int, int]
    pulse_v: Positive
    common_hold_off: bool = False
    blinding_rate_hz: Positive = 2e8
    latches: bool = True
    gate_period_ps: Annotated[float, Field(ge=0, le=1e9)] = 0.0
    gate_width_ps: Annotated[float, Field(gt=0, le=1e9)] = 1000.0
    gate_rise_ps: Annotated[float, Field(gt=0, le=1e6)] = 50.0
    gate_delay_ps: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    recovery_time_ns: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    afterpulse_probability: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    afterpulse_lifetimes_ns: Annotated[tuple[Positive, ...], Field(min_length=1, max_length=8)] = (1500.0,)
    afterpulse_shares: Annotated[tuple[Share, ...], Field(min_length=1, max_length=8)] = (1.0,)

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        shares = self.afterpulse_shares
        if len(shares) != len(self.afterpulse_lifetimes_ns) or abs(sum(shares) - 1) > 1e-9:
            raise ValueError(
                "afterpulse_shares: give one for each of afterpulse_lifetimes_ns, with the sum 1"
            )
        return self


class TaggerTable(_Table):
    """``[tagger]``: its bins repeat after ``interpolator_bins``, and their widths vary by ``dnl`` (1 sigma)."""

    dnl: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    interpolator_bins: Annotated[int, Field(ge=2, le=4096)] = 64


class WorldTable(_Table):
    """``[world]``: the grid of slow changes, the clocks' noise, the range of their unknown offsets."""

    grid_s: Annotated[float, Field(gt=0, le=1)]
    clock_allan_1s: Annotated[float, Field(ge=0, le=1e-6)]
    clock_offset_range: Annotated[float, Field(ge=0, le=1e-4)]
    clock_drift_per_s: Annotated[float, Field(ge=-1e-9, le=1e-9)] = 0.0


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
    instruments: dict[str, InstrumentTable]
    paths: dict[str, PathTable] = Field(default_factory=dict)
    clock_tree: dict[str, str] = Field(default_factory=dict)

    def by_link(self) -> dict[str, Self]:
        """Return the scenario of each link by itself; a scenario of one link is that of the link ``""``.

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
            raise ConfigurationError(f"links.{link}: {explain(error)}") from error


def timing_fwhm_ps(scenario: Scenario) -> float:
    """Return the width by which a photon's time is smeared: by detector, dispersion and polarization modes."""
    channel = scenario.channel
    dispersion = (
        abs(channel.dispersion_ps_per_nm_km) * scenario.transmitter.spectral_width_nm * channel.length_km
    )
    modes = channel.pmd_ps_per_sqrt_km * math.sqrt(channel.length_km)
    return math.hypot(scenario.detectors.jitter_fwhm_ps, dispersion, modes)


def scenario_names() -> list[str]:
    """Return the scenarios that are shipped."""
    folder = files("qhal_simulators") / "scenarios"
    return sorted(
        entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")
    )


def load_scenario(name: str | Path) -> Scenario:
    """Return a shipped scenario by its name, or one from a file. Raises ConfigurationError."""
    path = Path(name)
    try:
        if str(name) in scenario_names():
            text = (files("qhal_simulators") / "scenarios" / f"{name}.toml").read_text(encoding="utf-8")
        elif path.suffix == ".toml":
            text = path.read_text(encoding="utf-8")
        else:
            raise ConfigurationError(f"no scenario {str(name)!r}; there are {', '.join(scenario_names())}")
        content = tomllib.loads(text)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: {error}") from error
    return parse_scenario(content, str(name))


def parse_scenario(content: dict[str, Any], source: str) -> Scenario:
    """Check the content of a scenario file. Raises ConfigurationError naming source, table and key."""
    try:
        scenario = Scenario.model_validate(content)
        scenario.by_link()
    except ValidationError as error:
        raise ConfigurationError(f"{source}: {explain(error)}") from error
    except ConfigurationError as error:
        raise ConfigurationError(f"{source}: {error}") from error
    return scenario
