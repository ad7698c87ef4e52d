"""Reading a file in a thread, one piece ahead."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

ROWS_WORTH_A_THREAD = 1 << 16
"""Rows of a piece below which a thread costs more time than it saves."""


class Ahead:
    """Read in a thread, one piece ahead of the one that is worked on where pieces are large.

    ``read`` returns a piece and its number of rows, None at the end.
    """

    def __init__(self, read: Callable[[], tuple[Any, int] | None]) -> None:
        self._read = read
        self._pool: ThreadPoolExecutor | None = None
        self._coming: Future[Any] | None = None

    def take(self) -> Any:
        """Return the next piece. Raises what ``read`` raises."""
        read = self._read() if self._coming is None else self._coming.result()
        self._coming = None
        if read is None:
            return None
        piece, rows = read
        if rows >= ROWS_WORTH_A_THREAD:
            self._pool = self._pool or ThreadPoolExecutor(1, "tags-ahead")
            self._coming = self._pool.submit(self._read)
        return piece

    def close(self) -> None:
        """Wait for the piece that is being read, and read no more."""
        if self._pool is not None:
            self._pool.shutdown()
