"""One value for each intensity of a decoy-state transmitter."""

from typing import Generic, NamedTuple, TypeVar

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
