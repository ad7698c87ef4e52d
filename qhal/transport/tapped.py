"""Transports that note what crosses them: in a trace file (:mod:`qhal.transport.recording`) or in the log.

``logging.getLogger("qhal.wire").setLevel(logging.DEBUG)``, before the device is made, logs each message that is sent
(``>``) and received (``<``). A device that was made without it has no such transport, so that it costs nothing.
"""

import logging
from abc import ABC, abstractmethod

from qhal.transport.base import Transport

_wire = logging.getLogger("qhal.wire")
_SHOWN_BYTES = 200


def logged(transport: Transport) -> Transport:
    """Return a transport that logs its traffic when ``qhal.wire`` is enabled for DEBUG, else the transport itself."""
    return LoggedTransport(transport) if _wire.isEnabledFor(logging.DEBUG) else transport


class TappedTransport(ABC):
    """Any transport; ``_note`` is given what crosses it."""

    def __init__(self, transport: Transport) -> None:
        self.address, self.reopen_discards = transport.address, transport.reopen_discards
        self._transport = transport

    @abstractmethod
    def _note(self, direction: str, data: bytes) -> None:
        """Take bytes that were written (``>``) or read (``<``)."""

    @property
    def max_frame_bytes(self) -> int:
        """The longest reply of the transport."""
        return self._transport.max_frame_bytes

    @max_frame_bytes.setter
    def max_frame_bytes(self, count: int) -> None:
        self._transport.max_frame_bytes = count

    def open(self, deadline: float) -> None:
        """Open the transport."""
        self._transport.open(deadline)

    def close(self) -> None:
        """Close the transport."""
        self._transport.close()

    def write(self, data: bytes, deadline: float) -> None:
        """Note and write."""
        self._note(">", data)
        self._transport.write(data, deadline)

    def read_until(self, end: bytes, deadline: float) -> bytes:
        """Read and note, with the terminator."""
        frame = self._transport.read_until(end, deadline)
        self._note("<", frame + end)
        return frame

    def read_exactly(self, count: int, deadline: float) -> bytes:
        """Read and note."""
        return self._noted(self._transport.read_exactly(count, deadline))

    def read_message(self, deadline: float) -> bytes:
        """Read and note."""
        return self._noted(self._transport.read_message(deadline))

    def pending(self) -> bool:
        """Return whether something is there to be read."""
        return self._transport.pending()

    def discard(self, deadline: float) -> bytes:
        """Discard and note."""
        data = self._transport.discard(deadline)
        return self._noted(data) if data else data

    def _noted(self, data: bytes) -> bytes:
        self._note("<", data)
        return data


class LoggedTransport(TappedTransport):
    """Any transport, with the beginning of each message in the log."""

    def _note(self, direction: str, data: bytes) -> None:
        more = f" and {len(data) - _SHOWN_BYTES} bytes more" if len(data) > _SHOWN_BYTES else ""
        _wire.debug("%s %s %r%s", self.address, direction, data[:_SHOWN_BYTES], more)
