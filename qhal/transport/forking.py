"""Transports in a forked process: forgotten there, so that they end with the process that opened them.

A serial line is locked, and a unit with one connection is taken, as long as any process has the descriptor: a worker
that was forked off would keep the guard of a node, and a restarted owner, from the device. An ordinary close does
not help: it may release the lock of the line, or say farewell over a connection that the parent uses.
"""

import os
import weakref
from typing import Protocol


class _Forgets(Protocol):
    def forget(self) -> None: ...


_transports: "weakref.WeakSet[_Forgets]" = weakref.WeakSet()


def forget_in_forked(transport: _Forgets) -> None:
    """Call ``transport.forget()`` in each process that is forked from this one.

    It closes the descriptors of that process alone and leaves the transport closed; it sends nothing and releases
    nothing.
    """
    _transports.add(transport)


def _forget_all() -> None:
    for transport in list(_transports):
        transport.forget()


os.register_at_fork(after_in_child=_forget_all)
