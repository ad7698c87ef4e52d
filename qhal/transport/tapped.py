"""Transports that note what crosses them: in a trace file (:mod:`qhal.transport.recording`) or in the log.

``logging.getLogger("qhal.wire").setLevel(logging.DEBUG)``, before the device is made, logs each chunk that is sent
(``>``) and received (``<``). A device that was made without it has no such transport, so that it costs nothing.
"""

import logging
from abc import abstractmethod

from qhal.transport.base import Transport

_wire = logging.getLogger("qhal.wire")
_SHOWN_BYTES = 200


def logged(transport: Transport) -> Transport:
    """Return a transport that logs its traffic when ``qhal.wire`` is enabled for DEBUG, else the transport itself."""
    return LoggedTransport(transport) if _wire.isEnabledFor(logging.DEBUG) else transport


class TappedTransport(Transport):
    """A transport above another one; ``_note`` receives what crosses it."""

    def __init__(self, inner: Transport) -> None:
        super().__init__(inner.address)
        self.keeps_messages, self.reopen_discards = inner.keeps_messages, inner.reopen_discards
        self.loads_when_opened = inner.loads_when_opened
        self.inner = inner

    @abstractmethod
    def _note(self, direction: str, data: bytes) -> None:
        """Note bytes that were written (``>``) or read (``<``)."""

    def open(self, deadline: float) -> None:
        """Open the inner transport."""
        self.inner.max_frame_bytes = self.max_frame_bytes
        self.inner.open(deadline)

    def close(self) -> None:
        """Close the inner transport."""
        self.inner.close()

    def write(self, data: bytes, deadline: float) -> None:
        """Note and write."""
        self._note(">", data)
        self.inner.write(data, deadline)

    def read_chunk(self, deadline: float, until: bytes | int) -> bytes:
        """Read and note."""
        data = self.inner.read_chunk(deadline, until)
        self._note("<", data)
        return data

    def readable(self) -> bool:
        """Return whether the inner transport is readable."""
        return self.inner.readable()


class LoggedTransport(TappedTransport):
    """A transport with the beginning of each chunk in the log."""

    def _note(self, direction: str, data: bytes) -> None:
        more = f" and {len(data) - _SHOWN_BYTES} bytes more" if len(data) > _SHOWN_BYTES else ""
        _wire.debug("%s %s %r%s", self.address, direction, data[:_SHOWN_BYTES], more)
