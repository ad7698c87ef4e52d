"""One value for each intensity of a decoy-state transmitter."""

from typing import Generic, NamedTuple, TypeVar

from uncertainties import UFloat

from qhal.records.record import Record

Value = TypeVar("Value")


class Intensities(NamedTuple, Generic[Value]):
    """Values of signal, decoy and vacuum: mean photon numbers, gains or error rates.

    The vacuum state is the weakest one; modulators of finite extinction leave light in it. The positions are those of
    :class:`~qhal.link.pattern.Intensity`.

    Examples
    --------
    >>> means = Intensities(signal=0.5, decoy=0.1, vacuum=5e-4)
    >>> means.decoy
    0.1
    """

    signal: Value
    decoy: Value
    vacuum: Value


def mean_photon_numbers(record: Record) -> Intensities[UFloat]:
    """Return the photons per pulse of each intensity, from a record of ``mean-photon-number``.

    The three share the errors of the record: the scale of the power meter, losses, the attenuator's curve.

    Parameters
    ----------
    record
        Of a measurement with three intensities (``ratios`` from a record of ``intensity-ratio``).

    Raises
    ------
    InvalidRecord
        If the record does not have three intensities.
    """
    return Intensities(*(record.value("intensity_photon_number", intensity=n) for n in range(3)))
