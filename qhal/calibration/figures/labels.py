"""Labels of pictures: values with uncertainty and unit, channels of a quantity."""

from collections.abc import Sequence

import numpy as np

from qhal.records.record import Quantity, Record
from qhal.records.uncertain import shown


def in_unit(quantity: Quantity, scale: float = 1.0, unit: str | None = None) -> str:
    """Return ``value ± combined standard uncertainty unit``; ``scale`` for another ``unit`` than the quantity's."""
    return f"{shown(scale * quantity.value, scale * quantity.uncertainty)} {quantity.unit if unit is None else unit}"


def with_uncertainty(quantity: Quantity) -> str:
    """Return ``value ± statistical (stat) ± systematic (syst) unit``, all with two digits of the whole uncertainty.

    A part that is 0 in these digits is left out.
    """
    total = quantity.uncertainty
    unit = "" if quantity.unit == "1" else f" {quantity.unit}"
    if total == 0:
        return f"{quantity.value:.6g}{unit}"
    digits = 1 - int(np.floor(np.log10(total)))
    sizes = (quantity.value, quantity.statistical, quantity.systematic)
    if digits < 10 and abs(quantity.value) < 1e7:
        value, *sigmas = (f"{round(size, digits):.{max(0, digits)}f}" for size in sizes)
    else:
        decades = int(np.floor(np.log10(max(abs(quantity.value), total))))
        value, *sigmas = (
            f"{size / 10.0**decades:.{max(0, decades + digits)}f}e{decades:+03d}" for size in sizes
        )
    # What is 0 in the digits of the whole does not matter.
    parts = [
        f"{sigma} ({kind})" for sigma, kind in zip(sigmas, ("stat", "syst"), strict=True) if float(sigma) > 0
    ]
    return f"{value} ± {' ± '.join(parts)}{unit}"


def channels_of(record: Record, name: str) -> Sequence[int]:
    """Return the channels for which a record has a quantity."""
    return sorted({int(q.at["channel"]) for q in record.quantities if q.name == name and "channel" in q.at})
