"""Light of a given level from a source and the attenuators downstream of it."""

from collections.abc import Sequence

from qhal.calibration.optics.sources import output_dbm
from qhal.devices.attenuator import Attenuator
from qhal.devices.source import Source
from qhal.errors import OutOfRange


def distribute_attenuation_db(total_db: float, attenuators: Sequence[Attenuator]) -> tuple[float, ...]:
    """Return set points that add up to a total: the last attenuator is filled first, the first takes the rest.

    Raises OutOfRange when they cannot; then nothing was sent.
    """
    lows = [each.capabilities.min_attenuation_db for each in attenuators]
    highs = [each.capabilities.max_attenuation_db for each in attenuators]
    if not sum(lows) <= total_db <= sum(highs):
        names = " and ".join(each.device.name for each in attenuators)
        raise OutOfRange(f"{total_db:g} dB by {names}: they do {sum(lows):g} to {sum(highs):g} dB together")
    points, left = list(lows), total_db - sum(lows)
    for n in reversed(range(len(attenuators))):
        more = min(left, highs[n] - lows[n])
        points[n] += more
        left -= more
    return tuple(round(point, 6) for point in points)


def split_evenly(total_db: float, attenuators: Sequence[Attenuator]) -> tuple[float, ...]:
    """Return set points that add up to a total, as equal as the limits allow. Raises OutOfRange when they cannot."""
    distribute_attenuation_db(total_db, attenuators)
    points, left = [], total_db
    for n, each in enumerate(attenuators):
        others = attenuators[n + 1 :]
        low = max(
            each.capabilities.min_attenuation_db,
            left - sum(o.capabilities.max_attenuation_db for o in others),
        )
        high = min(
            each.capabilities.max_attenuation_db,
            left - sum(o.capabilities.min_attenuation_db for o in others),
        )
        point = left if not others else round(min(max(left / (1 + len(others)), low), high), 2)
        points.append(point)
        left = round(left - point, 2)
    return tuple(points)


def set_total_attenuation(total_db: float, attenuators: Sequence[Attenuator]) -> tuple[float, ...]:
    """Set a total attenuation, rising before falling so that no more light passes on the way.

    Return what each then reports, dB.
    """
    return set_attenuators(attenuators, distribute_attenuation_db(total_db, attenuators))


def set_attenuators(attenuators: Sequence[Attenuator], wanted: Sequence[float]) -> tuple[float, ...]:
    """Set each attenuator to its set point, rising before falling; return what each then reports, dB."""
    achieved = [each.read_attenuation_db() for each in attenuators]
    for rising in (True, False):
        for n, (attenuator, point) in enumerate(zip(attenuators, wanted, strict=True)):
            if (point > achieved[n]) is rising and point != achieved[n]:
                achieved[n] = attenuator.set_attenuation_db(point)
    return tuple(achieved)


def close_attenuators(attenuators: Sequence[Attenuator]) -> None:
    """Set all attenuators to their maximum; one whose position is unknown is homed before, which may open it.

    The caller has turned the light off.
    """
    for attenuator in attenuators:
        if attenuator.status().attenuation_db is None:
            attenuator.home()
        attenuator.make_safe()


def home_unknown(source: Source, attenuators: Sequence[Attenuator]) -> None:
    """Home attenuators whose position is not known, with the source off: homing may open the path."""
    unknown = [each for each in attenuators if each.status().attenuation_db is None]
    if unknown:
        source.disable()
    for attenuator in unknown:
        attenuator.home()


def turn_on_source(source: Source, power_dbm: float | None, attenuators: Sequence[Attenuator]) -> float:
    """Turn a source on behind closed attenuators and return the power that it measures at its output, dBm.

    ``power_dbm`` None keeps its set point. Raises DeviceError when it gives no light.
    """
    home_unknown(source, attenuators)
    close_attenuators(attenuators)
    if power_dbm is not None:
        source.set_power_dbm(power_dbm)
    if not source.read_emitting():
        source.enable()
    return output_dbm(source)
