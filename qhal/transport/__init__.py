"""Transports: how bytes and messages reach an instrument, and the connection above them that drivers use.

An address such as ``tcp://192.0.2.7:5025`` selects a transport by its scheme (:func:`make_transport`). A
:class:`Connection` is one request/reply end above a transport: lock, deadlines, and resynchronisation after a failure.
A frame function (:func:`line`, :func:`exactly`, :func:`message`, :func:`block`) finds the end of a reply. Importing
this package loads none of its modules.
"""

from typing import TYPE_CHECKING

from qhal.late import late

if TYPE_CHECKING:
    from qhal.transport.address import Address
    from qhal.transport.base import Transport
    from qhal.transport.connection import Connection, ConnectionCounters, ConnectionState
    from qhal.transport.control import SimulatorControl, SteppedClock
    from qhal.transport.frames import block, exactly, line, message
    from qhal.transport.memory import MemoryTransport, pair
    from qhal.transport.open import make_transport
    from qhal.transport.proof import Proof
    from qhal.transport.reader import Reader
    from qhal.transport.settings import SerialSettings, ZmqSettings

__all__ = [
    "Address",
    "Connection",
    "ConnectionCounters",
    "ConnectionState",
    "MemoryTransport",
    "Proof",
    "Reader",
    "SerialSettings",
    "SimulatorControl",
    "SteppedClock",
    "Transport",
    "ZmqSettings",
    "block",
    "exactly",
    "line",
    "make_transport",
    "message",
    "pair",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = late(__name__, __file__)
