"""Links that show what crosses them: to a trace file (:mod:`qhal.transport.recording`) or to the log ``qhal.wire``.

``logging.getLogger("qhal.wire").setLevel(logging.DEBUG)``, before the device is made, logs each message that is sent
(``>``) and received (``<``). A device that was made without it has no such link, so that it costs nothing.
"""

import logging
from abc import ABC, abstractmethod

from qhal.transport.link import Link

_wire = logging.getLogger("qhal.wire")
_SHOWN_BYTES = 200


def logged(link: Link) -> Link:
    """Return a link that logs its traffic when ``qhal.wire`` is enabled for DEBUG, else the link itself."""
    return LoggedLink(link) if _wire.isEnabledFor(logging.DEBUG) else link


class TappedLink(ABC):
    """Any link; ``_note`` is given what crosses it."""

    def __init__(self, link: Link) -> None:
        self.address, self.reopen_discards = link.address, link.reopen_discards
        self._link = link

    @abstractmethod
    def _note(self, direction: str, data: bytes) -> None:
        """Take bytes that were written (``>``) or read (``<``)."""

    @property
    def max_frame_bytes(self) -> int:
        """The longest reply of the link."""
        return self._link.max_frame_bytes

    @max_frame_bytes.setter
    def max_frame_bytes(self, count: int) -> None:
        self._link.max_frame_bytes = count

    def open(self, deadline: float) -> None:
        """Open the link."""
        self._link.open(deadline)

    def close(self) -> None:
        """Close the link."""
        self._link.close()

    def write(self, data: bytes, deadline: float) -> None:
        """Note and write."""
        self._note(">", data)
        self._link.write(data, deadline)

    def read_until(self, end: bytes, deadline: float) -> bytes:
        """Read and note, with the terminator."""
        frame = self._link.read_until(end, deadline)
        self._note("<", frame + end)
        return frame

    def read_exactly(self, count: int, deadline: float) -> bytes:
        """Read and note."""
        return self._noted(self._link.read_exactly(count, deadline))

    def read_message(self, deadline: float) -> bytes:
        """Read and note."""
        return self._noted(self._link.read_message(deadline))

    def pending(self) -> bool:
        """Return whether something is there to be read."""
        return self._link.pending()

    def discard(self, deadline: float) -> bytes:
        """Discard and note."""
        data = self._link.discard(deadline)
        return self._noted(data) if data else data

    def _noted(self, data: bytes) -> bytes:
        self._note("<", data)
        return data


class LoggedLink(TappedLink):
    """Any link, with the beginning of each message in the log."""

    def _note(self, direction: str, data: bytes) -> None:
        more = f" and {len(data) - _SHOWN_BYTES} bytes more" if len(data) > _SHOWN_BYTES else ""
        _wire.debug("%s %s %r%s", self.address, direction, data[:_SHOWN_BYTES], more)
