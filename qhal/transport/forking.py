"""Lines and sockets in a forked process: closed there, so that they end with the process that opened them.

A serial line is locked, and a unit with one connection is taken, as long as any process has the descriptor: a worker
that was forked off would keep the guard of a node, and a restarted owner, from the device.
"""

import os
import weakref
from typing import Protocol


class _Closes(Protocol):
    def close(self) -> None: ...


_links: "weakref.WeakSet[_Closes]" = weakref.WeakSet()


def close_in_forked(link: _Closes) -> None:
    """Close this process's link in each process that is forked from it; nothing is sent."""
    _links.add(link)


def _close_all() -> None:
    for link in list(_links):
        link.close()


os.register_at_fork(after_in_child=_close_all)
