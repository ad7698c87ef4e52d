"""Scripts of a wire: what an instrument expects, byte for byte, and what it replies, without a process or a socket."""

from collections import deque
from collections.abc import Iterable
from math import inf

from qhal.transport.memory import MemoryTransport, pair


class Script:
    """An instrument that follows a script exactly.

    Parameters
    ----------
    exchanges
        ``(request, reply, ...)``: a request and the chunks that answer it, none for a request without a reply. A
        request may come in pieces; one byte that differs, or one too many, raises AssertionError in the driver's call
        and again in :meth:`finish`.
    keeps_messages, reopen_discards
        As of a transport: ``keeps_messages`` for ZeroMQ, not ``reopen_discards`` for a serial line.
    """

    def __init__(
        self,
        exchanges: Iterable[tuple[bytes, ...]] = (),
        *,
        keeps_messages: bool = False,
        reopen_discards: bool = True,
    ) -> None:
        self.transport, self._far = pair(keeps_messages=keeps_messages, reopen_discards=reopen_discards)
        self._far.on_arrival = self._answer
        self._left = deque(exchanges)
        self._arrived = b""
        self._wrong = ""

    def expect(self, *exchanges: tuple[bytes, ...]) -> None:
        """Add exchanges to the end of the script."""
        self._left.extend(exchanges)

    def finish(self) -> None:
        """Raise AssertionError when anything else was sent, or something of the script was not."""
        assert not self._wrong, self._wrong
        assert not self._arrived, f"the request ends early: {self._arrived!r}"
        assert not self._left, f"never sent: {self._left[0][0]!r}"

    def _answer(self) -> None:
        self._arrived += self._far.read_chunk(inf, 1)
        request, *replies = self._left[0] if self._left else (b"",)
        if not request.startswith(self._arrived):
            where = f"expected {request!r}" if request else "after the end of the script"
            self._wrong = self._wrong or f"sent {self._arrived!r}, {where}"
            raise AssertionError(self._wrong)
        if self._arrived == request:
            self._left.popleft()
            self._arrived = b""
            for reply in replies:
                self._far.write(reply, inf)


__all__ = ["MemoryTransport", "Script", "pair"]
