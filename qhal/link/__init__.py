"""A decoy-state BB84 link: from pattern and time tags to gains, error rates and bounds, and its operation.

:class:`LinkSession` runs a link: it plays a known repeating pattern, sets the photon number, aligns the receiver and
measures. The steps are usable alone: tags are placed on the sender's clock (:class:`SymbolClock`), counted by
intensity (:class:`Sifter`) and evaluated (:func:`decoy_bounds`, :func:`key_bounds`). A known pattern is for test and
calibration only: no key is made from it. Needs the extra ``link``.
"""

from typing import TYPE_CHECKING

from qhal.late import late

if TYPE_CHECKING:
    from qhal.link.acquisition import Acquisition, PatternFinder, phase_sigma
    from qhal.link.channel_model import ThresholdLink, repeaterless_bound
    from qhal.link.clock_filter import ClockFilter, ClockNoise
    from qhal.link.decoy import (
        DecoyBounds,
        asymptotic_key_rate,
        background_yield_lower_bound,
        binary_entropy,
        decoy_bounds,
        gllp_rate_per_signal,
        single_photon_error_upper_bound,
        single_photon_yield_lower_bound,
    )
    from qhal.link.estimates import ClickMatrix, GainEstimate, QberEstimate, SiftedCounts
    from qhal.link.fibre_fit import FibreFit, Setting, best_angles, correlations, fit_fibre, measured_setting
    from qhal.link.finite_key import BlockCounts, IntensityDistribution, KeyBounds, Security, key_bounds
    from qhal.link.intensities import Intensities, mean_photon_numbers
    from qhal.link.link_errors import AlignmentNotReachable, NotEnoughCounts, SynchronisationFailed
    from qhal.link.link_session import (
        LinkDevices,
        LinkMeasurement,
        LinkSession,
        LinkSettings,
        SetPhotonNumber,
    )
    from qhal.link.measurement import NoiseRate, PatternCounter, PatternCounts, corrected_rate_hz
    from qhal.link.modulation import (
        GeneratorLimits,
        IntensityModulator,
        PhaseModulator,
        TransmitterCalibration,
        achieved_mean_photon_numbers,
        intensity_levels_v,
        waveforms,
    )
    from qhal.link.pattern import Intensity, SymbolPattern, bb84_pattern
    from qhal.link.photonics import (
        error_of_drift,
        fraction_in_window,
        loss_for_db,
        mean_photon_number,
        optical_error_of_extinction,
        optical_error_of_visibility,
        photon_energy_j,
    )
    from qhal.link.planning import KeyPlan, best_plan, best_signal, expected_plan
    from qhal.link.polarization import AlignmentResult, PolarizationAlignment
    from qhal.link.receiver import ReceiverModel, detected_fractions
    from qhal.link.retarders import (
        controller_rotation,
        retarder_rotations,
        rotation_from_vector,
        twist_rotations,
        vector_of_rotation,
    )
    from qhal.link.sifting import Sifter, StraightClock
    from qhal.link.skew import Deskewer, Piece, Receiver, estimate_skews_ps
    from qhal.link.statistics import (
        Interval,
        binomial_interval,
        binomial_standard_uncertainty,
        poisson_interval,
        poisson_standard_uncertainty,
    )
    from qhal.link.symbol_tags import ClockEvent, ClockEventKind, SymbolTags
    from qhal.link.sync import SymbolClock

__all__ = [
    "Acquisition",
    "AlignmentNotReachable",
    "AlignmentResult",
    "BlockCounts",
    "ClickMatrix",
    "ClockEvent",
    "ClockEventKind",
    "ClockFilter",
    "ClockNoise",
    "DecoyBounds",
    "Deskewer",
    "FibreFit",
    "GainEstimate",
    "GeneratorLimits",
    "Intensities",
    "Intensity",
    "IntensityDistribution",
    "IntensityModulator",
    "Interval",
    "KeyBounds",
    "KeyPlan",
    "LinkDevices",
    "LinkMeasurement",
    "LinkSession",
    "LinkSettings",
    "NoiseRate",
    "NotEnoughCounts",
    "PatternCounter",
    "PatternCounts",
    "PatternFinder",
    "PhaseModulator",
    "Piece",
    "PolarizationAlignment",
    "QberEstimate",
    "Receiver",
    "ReceiverModel",
    "Security",
    "SetPhotonNumber",
    "Setting",
    "SiftedCounts",
    "Sifter",
    "StraightClock",
    "SymbolClock",
    "SymbolPattern",
    "SymbolTags",
    "SynchronisationFailed",
    "ThresholdLink",
    "TransmitterCalibration",
    "achieved_mean_photon_numbers",
    "asymptotic_key_rate",
    "background_yield_lower_bound",
    "bb84_pattern",
    "best_angles",
    "best_plan",
    "best_signal",
    "binary_entropy",
    "binomial_interval",
    "binomial_standard_uncertainty",
    "controller_rotation",
    "corrected_rate_hz",
    "correlations",
    "decoy_bounds",
    "detected_fractions",
    "error_of_drift",
    "estimate_skews_ps",
    "expected_plan",
    "fit_fibre",
    "fraction_in_window",
    "gllp_rate_per_signal",
    "intensity_levels_v",
    "key_bounds",
    "loss_for_db",
    "mean_photon_number",
    "mean_photon_numbers",
    "measured_setting",
    "optical_error_of_extinction",
    "optical_error_of_visibility",
    "phase_sigma",
    "photon_energy_j",
    "poisson_interval",
    "poisson_standard_uncertainty",
    "repeaterless_bound",
    "retarder_rotations",
    "rotation_from_vector",
    "single_photon_error_upper_bound",
    "single_photon_yield_lower_bound",
    "twist_rotations",
    "vector_of_rotation",
    "waveforms",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = late(__name__, __file__)
