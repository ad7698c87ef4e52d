"""Settings that a device needs of its transport, by scheme: ``ConnectionSpec(..., settings={"serial": ...})``."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SerialSettings:
    """Line settings; an address option of the same name overrides a field.

    ``dtr`` and ``rts`` are the levels set at opening (None: left to the operating system).
    """

    baudrate: int = 9600
    parity: str = "none"
    stopbits: int = 1
    rtscts: bool = False
    dtr: bool | None = None
    rts: bool | None = None


@dataclass(frozen=True, slots=True)
class ZmqSettings:
    """Socket type: ``streams`` is PAIR, for messages without requests; otherwise requests to a REP socket."""

    streams: bool = False
