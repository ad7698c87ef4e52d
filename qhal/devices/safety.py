"""Several devices made safe in the order of danger: bias first, then light, then open paths, then the rest."""

import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, wait
from functools import partial
from typing import Any, TypeVar

from qhal.devices.device import Device
from qhal.devices.interface import Hazard, Interface, SafeState
from qhal.errors import ReplyTimeout
from qhal.signals import owned, shielded

_GRACE_S = 0.5
"""A step of the order that has not ended by then does not hold up the next one: bias that cannot be turned off does
not keep the light on."""
_LIMIT_S = 120.0
"""An attenuator may be homing, which takes half a minute; what has not ended after four times that does not end."""

Result = TypeVar("Result")
Action = Callable[[], Result]
Outcome = SafeState | Exception


def interfaces_of(device: Device) -> list[Interface]:
    """Return the interfaces of a device, the most dangerous first."""
    return sorted(
        (part for part in device.parts if isinstance(part, Interface)), key=lambda part: part.hazard
    )


def hazard_of(device: Device) -> Hazard:
    """Return the greatest danger of a device."""
    return min((each.hazard for each in interfaces_of(device)), default=Hazard.OTHER)


def in_thread(action: Action[Result]) -> "Future[Result]":
    """Carry an action out in a thread; in this one where none can start: at the end of the interpreter, for example."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(action())
        except BaseException as error:  # noqa: BLE001  # an outcome of the action, of any type
            future.set_exception(error)

    try:
        if sys.is_finalizing():  # a thread that starts now never runs
            raise RuntimeError("the interpreter ends")
        threading.Thread(target=run, name="qhal-safe", daemon=True).start()
    except (RuntimeError, MemoryError):
        run()
    return future


def in_order_of_danger(
    actions: Sequence[tuple[Hazard, Action[Result]]],
    limit_s: float | None = None,
    start: Callable[[Action[Result]], "Future[Result]"] = in_thread,
) -> list[Result | Exception]:
    """Run actions in the order of danger, those of one danger in parallel; return what each gave or raised.

    Every action runs, even when others raise. One that has not ended after ``limit_s`` is a ReplyTimeout.
    """
    until = None if limit_s is None else time.monotonic() + limit_s
    started: dict[int, Future[Result]] = {}
    for hazard in sorted({hazard for hazard, _ in actions}):
        step = {n: start(action) for n, (each, action) in enumerate(actions) if each is hazard}
        started |= step
        wait(step.values(), _GRACE_S)
    wait(started.values(), None if until is None else max(0.0, until - time.monotonic()))
    return [_outcome(started[n], limit_s) for n in range(len(actions))]


@shielded
def make_interfaces_safe(interfaces: Iterable[Interface]) -> list[tuple[Interface, Outcome]]:
    """Make each safe, in the order of danger; return how safe it is, or what failed. No signal cuts it short."""
    unique = list({id(each): each for each in interfaces}.values())
    with owned():
        outcomes = in_order_of_danger([(each.hazard, each.make_safe) for each in unique], _LIMIT_S)
        return list(zip(unique, outcomes, strict=True))


@shielded
def make_devices_safe(devices: Mapping[str, Device]) -> dict[str, Outcome]:
    """Make each safe, as :func:`make_interfaces_safe` does; one that is closed is opened for it, and closed again."""
    actions: list[tuple[str, Hazard, Action[SafeState]]] = []
    for name, device in devices.items():
        if device.is_open:
            actions += [(name, each.hazard, each.make_safe) for each in interfaces_of(device)]
        else:
            actions.append((name, hazard_of(device), partial(open_and_make_safe, device)))
    with owned():
        outcomes = in_order_of_danger([(hazard, action) for _, hazard, action in actions], _LIMIT_S)
        return by_device(zip((name for name, _, _ in actions), outcomes, strict=True))


def open_and_make_safe(device: Device) -> SafeState:
    """Make a closed device safe, the safe command before anything is asked, and close it again."""

    def command() -> None:
        for each in interfaces_of(device):
            each.command_safe()

    device.open(first=command)
    state = worst(each.make_safe() for each in interfaces_of(device))
    device.close()
    return state


def worst(states: Iterable[SafeState]) -> SafeState:
    """Return the state of a device of which parts are in these states."""
    present = set(states)
    for state in (SafeState.COMMANDED, SafeState.VERIFIED):
        if state in present:
            return state
    return SafeState.UNTOUCHED


def by_device(parts: Iterable[tuple[str, Outcome]]) -> dict[str, Outcome]:
    """Return what became of each device, of which several parts may have been made safe: the worst of its parts."""
    outcomes: dict[str, Outcome] = {}
    for name, state in parts:
        before = outcomes.get(name, SafeState.UNTOUCHED)
        if not isinstance(before, Exception):
            outcomes[name] = state if isinstance(state, Exception) else worst([before, state])
    return outcomes


def report(states: Mapping[str, Outcome]) -> str:
    """Return in one line what became of each device; those without an unsafe state are left out."""
    words = {
        SafeState.VERIFIED: "safe",
        SafeState.COMMANDED: "closed as far as commanded, position unknown",
    }
    texts = []
    for name, state in states.items():
        if isinstance(state, Exception):
            text = str(state).removeprefix(f"{name}: ")
            texts.append(f"{name}: NOT SAFE: {type(state).__name__}: {text}")
        elif state in words:
            texts.append(f"{name}: {words[state]}")
    return "; ".join(texts) or "nothing to make safe"


def _outcome(future: "Future[Any]", limit_s: float | None) -> Any:
    if not future.done():
        return ReplyTimeout(f"not made safe within {limit_s:g} s")
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, Exception):
        return error
    wrapped = RuntimeError(f"{type(error).__name__}: {error}")  # a driver's sys.exit ends nothing here
    wrapped.__cause__ = error
    return wrapped
