"""SIGINT, SIGTERM and SIGHUP while something may have to be made safe.

Between :func:`own` and :func:`disown` each of these signals raises one exception in the main thread: KeyboardInterrupt
for SIGINT, :class:`Terminated` for SIGTERM and SIGHUP. While that exception is handled further signals raise nothing.
While a function runs that is :func:`shielded` signals are noted, and raised when it has ended. Where Python drops what
a signal raises (``__del__``, callbacks of weak references and of C code), the signal comes again.

Handlers that a program has installed itself are called as before, but not within a shielded function. Ignored signals
stay ignored.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from types import CodeType, FrameType
from typing import Any, TypeVar, cast

_NUMBERS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]

_AGAIN_S = 0.01
"""Longer than Python takes to leave the place where it drops exceptions."""

Function = TypeVar("Function", bound=Callable[..., Any])


class Terminated(SystemExit):
    """SIGTERM or SIGHUP: ends the process with exit code 128 + ``number`` unless it is caught."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number

    def __str__(self) -> str:
        return signal.Signals(self.number).name


class _State:
    owners = 0
    before: "dict[int, Any]" = {}  # noqa: RUF012  # one per process, as the handlers are
    noted: "list[int]" = []  # noqa: RUF012
    shields: "set[CodeType]" = set()  # noqa: RUF012
    dropping = False
    unraisable_before: "Callable[[Any], object]" = sys.unraisablehook


def shielded(function: Function) -> Function:
    """Let no owned signal raise anything within a function; what was noted is raised when it has ended."""

    @wraps(function)
    def shield(*args: Any, **named: Any) -> Any:
        try:
            return function(*args, **named)
        finally:
            error = sys.exception()
            if _State.noted and not _is_shielded(_caller()) and _interrupt_in(error) is None:
                deliver(take_noted(), error)

    wrapped = cast(Function, shield)
    _State.shields.add(wrapped.__code__)
    return wrapped


def own() -> bool:
    """Take the signals over until :func:`disown`; return whether this thread can (only the main thread can)."""
    if threading.current_thread() is not threading.main_thread():
        return False
    _State.owners += 1
    if _State.owners == 1:
        for number in _NUMBERS:
            handler = signal.getsignal(number)
            if handler is not None and handler is not signal.SIG_IGN and handler is not _handle:
                _State.before[number] = handler
                signal.signal(number, _handle)
        if sys.unraisablehook is not _take_back:
            _State.unraisable_before, sys.unraisablehook = sys.unraisablehook, _take_back
    return True


@shielded
def disown(error: BaseException | None = None) -> None:
    """Give the signals back when the last owner does, and raise what was noted.

    ``error`` is the exception with which the owner ends, if any. An interrupt is not followed by another one, but a
    Ctrl-C is by SIGTERM and SIGHUP, which nothing may catch and continue.
    """
    _State.owners -= 1
    if _State.owners or threading.current_thread() is not threading.main_thread():
        return
    for number, handler in _State.before.items():
        if signal.getsignal(number) is _handle:
            signal.signal(number, handler)
    if sys.unraisablehook is _take_back:
        sys.unraisablehook = _State.unraisable_before
    deliver(take_noted(), error)


@contextlib.contextmanager
def owned() -> Iterator[None]:
    """Own the signals for a block."""
    mine = own()
    error: BaseException | None = None
    try:
        yield
    except BaseException as raised:
        error = raised
        raise
    finally:
        if mine:
            disown(error)


def take_noted() -> list[int]:
    """Return the signals that were noted and not raised yet, and forget them."""
    noted, _State.noted = _State.noted, []
    return noted


def deliver(numbers: Iterable[int], error: BaseException | None = None, note: str = "") -> None:
    """Call the program's own handlers of these signals, or raise the first that has none, with a note.

    ``error`` is an exception that is being handled: what follows from the interrupt that it is, or comes from, is left.
    """
    handled = _interrupt_in(error)
    for number in dict.fromkeys(numbers):
        handler = _State.before.get(number, signal.SIG_DFL)
        if _is_of_the_program(handler):
            handler(number, None)
        elif handled is None or (isinstance(handled, KeyboardInterrupt) and number != signal.SIGINT):
            interrupt = KeyboardInterrupt() if number == signal.SIGINT else Terminated(number)
            for each in (*getattr(error, "__notes__", ()), *filter(None, [note])):
                interrupt.add_note(each)
            raise interrupt


def name_of(error: BaseException) -> str:
    """Return how a block ended: the signal's name, or the exception's type."""
    if isinstance(error, Terminated):
        return str(error)
    return "SIGINT" if isinstance(error, KeyboardInterrupt) else type(error).__name__


def exit_code(error: BaseException) -> int | None:
    """Return 128 + the number of the signal that raised this; None for another exception."""
    if isinstance(error, Terminated):
        return int(error.code)  # type: ignore[arg-type]
    return 128 + signal.SIGINT if isinstance(error, KeyboardInterrupt) else None


def _handle(number: int, frame: FrameType | None) -> None:
    handler = _State.before.get(number, signal.SIG_DFL)
    handled = _interrupt_in(sys.exception())
    if handled is not None and not _is_of_the_program(handler):
        # It is ending already; only SIGTERM and SIGHUP say more than a Ctrl-C does.
        if isinstance(handled, KeyboardInterrupt) and number != signal.SIGINT:
            _State.noted.append(number)
    elif _is_shielded(frame):
        _State.noted.append(number)
    else:
        _deliver(number, frame, handler)


def _take_back(dropped: Any) -> None:
    """Let an interrupt come again that Python drops; it must not be raised at its end, so a thread sends the signal."""
    error = dropped.exc_value
    if not isinstance(error, (KeyboardInterrupt, Terminated)):
        _State.unraisable_before(dropped)
        return
    _State.noted.append(error.number if isinstance(error, Terminated) else signal.SIGINT)
    _State.dropping = True
    threading.Thread(target=_send_noted, name="qhal-signal", daemon=True).start()
    _State.dropping = False  # last, so that the thread sends nothing while this function would only note it


_State.shields.add(_take_back.__code__)


def _send_noted() -> None:
    time.sleep(_AGAIN_S)
    while _State.dropping:
        time.sleep(_AGAIN_S)
    for number in dict.fromkeys(take_noted()):
        signal.raise_signal(number)


def _is_of_the_program(handler: Any) -> bool:
    return callable(handler) and handler is not signal.default_int_handler


def _deliver(number: int, frame: FrameType | None, handler: Any) -> None:
    """Do what the signal did before it was owned; by default raise."""
    if _is_of_the_program(handler):
        handler(number, frame)
    elif number == signal.SIGINT:
        raise KeyboardInterrupt
    elif _State.owners:
        raise Terminated(number)
    else:  # the last owner let go in another thread, which cannot reset handlers
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def _caller() -> FrameType | None:
    """Return the frame from which the calling function was called."""
    frame = sys._getframe(1)
    return frame.f_back


def _is_shielded(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code in _State.shields:
            return True
        frame = frame.f_back
    return False


def _interrupt_in(error: BaseException | None) -> BaseException | None:
    """Return the interrupt that an exception is, or during the handling of which it was raised; None for others."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            return error
        seen.add(id(error))
        error = error.__context__
    return None
