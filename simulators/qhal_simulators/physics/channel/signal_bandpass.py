"""The signal bandpass filter's shape over optical frequency."""

import math

from qhal_simulators.physics.scenario_tables import ReceiverTable

_FAR = 10.0
"""From this number of half widths on even the first order has lost 300 dB, more than any table allows."""


def offset_ghz(receiver: ReceiverTable, frequency_thz: float) -> float:
    """Return how far a frequency is above the filter's true centre."""
    return (frequency_thz - receiver.quantum_frequency_thz) * 1e3 - receiver.filter_centre_offset_ghz


def shape_db(receiver: ReceiverTable, frequency_thz: float) -> float:
    """Return the filter's loss by its shape alone, beyond that at its centre; infinite where nothing passes.

    A super-Gaussian of order n and FWHM B: ``T = 2 ** -(|2 f / B| ** (2 n))`` at f from the centre, 3.01 dB at B / 2.
    Without an order a rectangle, which includes its edges.
    """
    half_widths = abs(offset_ghz(receiver, frequency_thz)) / (receiver.filter_bandwidth_ghz / 2)
    if receiver.filter_order is None:
        return 0.0 if half_widths <= 1 else math.inf
    if half_widths > _FAR:
        return math.inf
    return 10 * math.log10(2) * float(half_widths ** (2 * receiver.filter_order))


def loss_db(receiver: ReceiverTable, frequency_thz: float) -> float:
    """Return the filter's loss beyond that at its centre; ``out_of_band_db`` less passes whatever the shape is."""
    shape, floor = (
        10 ** (-each / 10) for each in (shape_db(receiver, frequency_thz), receiver.out_of_band_db)
    )
    return -10 * math.log10(floor + (1 - floor) * shape)
