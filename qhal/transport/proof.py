"""Proof that the next reply answers the next request, on a line that cannot be made to forget.

A serial line keeps the order of bytes and nothing else: after a time-out the reply may come at any later
moment, and the reply to a question that was asked to find that out may be late as well. So the connection keeps the
requests that have no reply yet, in order. A reply that fits a question belongs to the first of them that it
can belong to, or to a later one; all up to that place are settled. Only when none is left is the line clear.
Then another question is asked, whose answer must come next, and after it the line must stay silent.
"""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from qhal.errors import ProtocolError, ReplyTimeout
from qhal.transport.connection import Connection, ConnectionState
from qhal.transport.frames import Frame, message

log = logging.getLogger("qhal")

_ROUNDS = 3
_REALIGN_S = 0.2
"""A reply to a query takes less on any line."""
_MOST_UNANSWERED = 10_000
_ANNOUNCED_S = 1.0
"""A wait that may be longer is logged when it begins."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A question without side effects; ``fits`` is true of its reply and of none to another request of the driver."""

    request: bytes
    frame: Frame
    fits: Callable[[bytes], bool]


def prove(
    connection: Connection, proofs: Sequence[Proof], *, listen_s: float = 0.0, timeout_s: float | None = None
) -> None:
    """Make sure that no reply to an earlier request is under way, by two questions with different answers.

    ``listen_s``: for how long the line must be silent afterwards, at least the last round trip. Raises
    ReplyTimeout, Disconnected, ProtocolError.
    """
    limit_s = timeout_s or connection.timeout_s
    with connection.lock:
        started = time.monotonic()
        try:
            for last_round in [False] * (_ROUNDS - 1) + [True]:
                try:
                    asked = _clear(connection, proofs, limit_s)
                    other = next(proof for proof in proofs if proof is not asked)
                    taken_s = _confirm(connection, other, limit_s)
                    refuse_more(connection, max(taken_s, listen_s), other.frame)
                    return
                except ProtocolError:
                    if last_round:
                        raise
                    connection.reader.discard(connection.budget_until)
        except BaseException as error:  # noqa: BLE001  # an interrupt taints the connection as well
            connection.fail(error, b"", started, 0.0)


def wait_out_late_reply(connection: Connection, *, proves: bool) -> None:
    """Discard whatever arrives until no reply to an earlier request is expected any more.

    With ``proves`` a proof follows, and the wait ends soon after something came. Raises ReplyTimeout when the
    call's time is over before that.
    """
    deadline, reader = connection.budget_until, connection.reader
    wait_s = min(connection.late_until, deadline) - time.monotonic()
    if wait_s > _ANNOUNCED_S:
        log.warning(
            "%s: waiting up to %.0f s for a late reply to %s", connection.name, wait_s, _last(connection)
        )
    came = reader.discard(deadline)
    while True:
        now = time.monotonic()
        if came and proves:
            connection.late_until = min(connection.late_until, now + connection.line_delay_s)
        left_s = connection.late_until - now
        if left_s <= 0:
            return
        if now >= deadline:
            last = _last(connection)
            raise ReplyTimeout(
                f"{connection.name} ({connection.address}): the reply to {last} may still come, for {left_s:.1f} s"
            )
        came = b""
        with suppress(ReplyTimeout):
            came = reader.read_message(min(connection.late_until, deadline)) + reader.discard(deadline)


def refuse_more(connection: Connection, listen_s: float, frame: Frame = message) -> None:
    """Raise ProtocolError when anything comes that no one asked for, on a line that should be silent."""
    until = min(time.monotonic() + listen_s, connection.budget_until)
    with suppress(ReplyTimeout):
        while True:
            connection.unsolicited(frame(connection.reader, until))
    if rest := connection.reader.discard(until):
        raise ProtocolError(f"{rest!r} came after the last reply")


def _clear(connection: Connection, proofs: Sequence[Proof], limit_s: float) -> Proof:
    """Ask until the requests without a reply are settled; return the question that was asked last."""
    while True:
        # The later a question stands first, or not at all, the more its reply settles.
        proof = max(proofs, key=lambda each: _place(connection.unanswered, each.request))
        deadline = _ask(connection, proof, limit_s)
        while True:
            try:
                reply = proof.frame(connection.reader, deadline)
            except ProtocolError:
                connection.reader.discard(deadline)
                continue
            answered = next((each.request for each in proofs if each.fits(reply)), None)
            if answered is None:
                continue  # a reply to something older
            if answered not in connection.unanswered:
                raise ProtocolError(f"{reply[:60]!r} came once too often")
            del connection.unanswered[: connection.unanswered.index(answered) + 1]
            if answered == proof.request:
                break
        if not connection.unanswered:
            return proof


def _confirm(connection: Connection, proof: Proof, limit_s: float) -> float:
    """Ask another question, whose reply must come next; return how long that took."""
    started = time.monotonic()
    deadline = _ask(connection, proof, limit_s)
    while not proof.fits(reply := proof.frame(connection.reader, deadline)):
        connection.unsolicited(reply)
    connection.unanswered.clear()
    return time.monotonic() - started


def _ask(connection: Connection, proof: Proof, limit_s: float) -> float:
    now = time.monotonic()
    deadline = min(now + limit_s, connection.budget_until)
    if deadline <= now:
        raise ReplyTimeout("no time is left for the proof that the line is clear")
    connection.unanswered.append(proof.request)
    del connection.unanswered[:-_MOST_UNANSWERED]
    connection.late_until = max(connection.late_until, deadline + connection.line_delay_s)
    connection.counters.exchanges += 1
    connection.transport.write(proof.request, deadline)
    return deadline


def _place(unanswered: Sequence[bytes], request: bytes) -> int:
    return unanswered.index(request) if request in unanswered else len(unanswered)


def _last(connection: Connection) -> str:
    return repr(connection.unanswered[-1][:60]) if connection.unanswered else "an earlier request"


def align(connection: Connection, proofs: Sequence[Proof], filler: bytes, most: int) -> None:
    """Prove, and when the unit does not answer end what it may hold of another program's message.

    For protocols of fixed lengths without a mark between messages. A unit forgets an unfinished message after a
    pause, or is sent what it lacks: ``filler`` is one byte of a message that does nothing, ``most`` how many of them
    a message may lack.
    """
    for attempt in range(most + 2):
        try:
            prove(connection, proofs, timeout_s=_REALIGN_S if attempt else None)
            return
        except (ProtocolError, ReplyTimeout):
            if attempt == most + 1:
                raise
            if attempt:
                connection.transport.write(filler, time.monotonic() + connection.timeout_s)
            connection.state = ConnectionState.VERIFYING
