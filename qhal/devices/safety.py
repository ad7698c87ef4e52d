"""Several devices made safe in the order of danger: bias first, then light, then open paths, then the rest."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

from qhal.devices.device import Device
from qhal.devices.kind import Hazard, Kind, SafeState
from qhal.signals import owned, shielded

_GRACE_S = 0.5
"""A step of the order that has not ended by then does not hold up the next one: bias that cannot be turned off is no
reason to leave the light on."""

Result = TypeVar("Result")
Action = Callable[[], Result]


def kinds_of(device: Device) -> list[Kind]:
    """Return the interfaces of a device, the most dangerous first."""
    return sorted((role for role in device.roles if isinstance(role, Kind)), key=lambda role: role.hazard)


def hazard_of(device: Device) -> Hazard:
    """Return the greatest danger of a device."""
    return min((kind.hazard for kind in kinds_of(device)), default=Hazard.OTHER)


def in_order_of_danger(actions: Sequence[tuple[Hazard, Action[Result]]]) -> list[Result | Exception]:
    """Carry out actions in the order of danger, those of one danger in parallel; return what each gave or raised.

    Every action is carried out, whatever the others raise.
    """
    if not actions:
        return []
    started: dict[int, Future[Result]] = {}
    with ThreadPoolExecutor(len(actions), thread_name_prefix="qhal-safe") as pool:
        for hazard in sorted({hazard for hazard, _ in actions}):
            step = {n: pool.submit(action) for n, (each, action) in enumerate(actions) if each is hazard}
            started |= step
            wait(step.values(), _GRACE_S)
        return [_outcome(started[n]) for n in range(len(actions))]


@shielded
def make_kinds_safe(kinds: Iterable[Kind]) -> list[tuple[Kind, SafeState | Exception]]:
    """Make each safe, in the order of danger; return how safe it is, or what failed. No signal cuts it short."""
    unique = list({id(kind): kind for kind in kinds}.values())
    with owned():
        outcomes = in_order_of_danger([(kind.hazard, kind.make_safe) for kind in unique])
        return list(zip(unique, outcomes, strict=True))


def worst(states: Iterable[SafeState]) -> SafeState:
    """Return the state of a device of which parts are in these states."""
    found = set(states)
    for state in (SafeState.COMMANDED, SafeState.VERIFIED):
        if state in found:
            return state
    return SafeState.UNTOUCHED


def report(states: Mapping[str, SafeState | Exception]) -> str:
    """Return in one line what became of each device; those without an unsafe state are left out."""
    words = {
        SafeState.VERIFIED: "safe",
        SafeState.COMMANDED: "closed as far as commanded, position unknown",
    }
    found = []
    for name, state in states.items():
        if isinstance(state, Exception):
            text = str(state).removeprefix(f"{name}: ")
            found.append(f"{name}: NOT SAFE: {type(state).__name__}: {text}")
        elif state in words:
            found.append(f"{name}: {words[state]}")
    return "; ".join(found) or "nothing to make safe"


def _outcome(future: "Future[Any]") -> Any:
    error = future.exception()
    return future.result() if error is None or not isinstance(error, Exception) else error
