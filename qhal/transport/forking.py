"""Links in a forked process: forgotten there, so that they end with the process that opened them.

A serial line is locked, and a unit with one connection is taken, as long as any process has the descriptor: a worker
that was forked off would keep the guard of a node, and a restarted owner, from the device. Closing in the usual way is
no remedy: it may release the lock of the line, or say farewell over a connection that the parent uses.
"""

import os
import weakref
from typing import Protocol


class _Forgets(Protocol):
    def forget(self) -> None: ...


_links: "weakref.WeakSet[_Forgets]" = weakref.WeakSet()


def forget_in_forked(link: _Forgets) -> None:
    """Call ``link.forget()`` in each process that is forked from this one.

    It closes the descriptors of that process alone and leaves the link closed; it sends nothing and releases nothing.
    """
    _links.add(link)


def _forget_all() -> None:
    for link in list(_links):
        link.forget()


os.register_at_fork(after_in_child=_forget_all)
