"""Worlds whose truth is random and known to the test only, and calibrations run in them over real wires."""

import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from qhal.calibration import Calibration, Plan, Site, calibrate
from qhal.calibration.framework.points import Progress
from qhal.node.node import Node
from qhal.node.schema import parse_node
from qhal.records.record import Quantity, Record
from qhal.transport.control import SimulatorControl
from qhal_simulators.physics.scenario_tables import load_scenario, parse_scenario
from qhal_simulators.servers.background import Background

Changes = dict[str, dict[str, Any]]
Place = int | tuple[str, float] | tuple[tuple[str, float], ...] | None
Truth = dict[tuple[str, Place], float]
"""By name of the quantity and channel (or another place with its name, or several; None: it has none)."""


@dataclass
class Hidden:
    """A world that runs: its node is open; ``ask`` is the control connection, for the truth."""

    node: Node
    background: Background
    scenario: Any
    options: dict[str, dict[str, Any]]
    control: SimulatorControl
    records: list[Record] = field(default_factory=list)

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        return self.control.request(do, **arguments)


@dataclass(frozen=True)
class World:
    """What is changed in a scenario: tables, and simulator options by instrument."""

    changes: Changes = field(default_factory=dict)
    options: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __or__(self, other: "World") -> "World":
        changes = {
            t: {**self.changes.get(t, {}), **other.changes.get(t, {})}
            for t in {*self.changes, *other.changes}
        }
        options = {
            u: {**self.options.get(u, {}), **other.options.get(u, {})}
            for u in {*self.options, *other.options}
        }
        return World(changes, options)


@dataclass(frozen=True)
class Case:
    """How a calibration is tried.

    ``draw``: a world at random. ``prepare``: bring the devices to where the calibration begins. ``devices``: name in
    the node by role. ``truth``: what it should find, asked of the world when it has ended. ``misfits``: worlds outside
    the model, by name, in which it must report a poor fit. ``plan``: small, so that a run takes a second at most.
    ``before``: calibrations whose records are made first and used.
    """

    calibration: Calibration[Any, Any]
    scenario: str
    devices: Mapping[str, str]
    plan: Plan
    draw: Callable[[np.random.Generator], World]
    truth: Callable[[Hidden, Record], Truth]
    prepare: Callable[[Hidden], None] = lambda hidden: None
    misfits: Mapping[str, World] = field(default_factory=dict)
    records: Callable[[Hidden, Path], Sequence[Record]] = lambda hidden, folder: ()


OF_OTHERS = (2, 25)
"""A path of the switch that no calibration has any business with."""


@contextmanager
def hidden_world(case: Case, seed: int, more: World | None = None):
    """Start the world of a seed and open its node."""
    world = case.draw(np.random.default_rng((seed, 77))) | (more or World())
    content = load_scenario(case.scenario).model_dump(mode="json")
    for table, entries in world.changes.items():
        content[table] |= entries
    scenario = parse_scenario(content, "hidden")
    with Background.of_scenario(scenario, seed, world.options) as background:
        content = tomllib.loads(background.node_file())
        content["node"]["guard"] = False  # the instruments are in this process: nothing would outlive it
        node = Node(parse_node(content, "hidden"))
        control = SimulatorControl(background.control.address)
        try:
            node.open()
            if "switch" in node.devices:
                node.optical_switch("switch").connect(*OF_OTHERS)
            yield Hidden(node, background, scenario, world.options, control)
        finally:
            node.release()
            control.close()


def devices_of(case: Case, hidden: Hidden) -> dict[str, Any]:
    roles = case.calibration.roles
    return {role: hidden.node.get(name, roles[role][0]) for role, name in case.devices.items()}


def run_case(case: Case, hidden: Hidden, folder: Path, **more: Any) -> Record:
    site = Site(hidden.node.name, names=dict(case.devices))
    case.prepare(hidden)
    hidden.records = list(case.records(hidden, folder))
    return calibrate(
        case.calibration,
        devices_of(case, hidden),
        case.plan,
        folder=folder,
        operator="test",
        site=site,
        records=hidden.records,
        **more,
    )


class Counter:
    """Receives the progress of a calibration and counts its steps."""

    def __init__(self) -> None:
        self.steps = 0

    def __call__(self, progress: Progress) -> None:
        self.steps += 1


UNDISTURBED: dict[str, tuple[int, float]] = {}
"""By name of the case, of its run with seed 0: the number of its steps, and the time of the world at its end."""


def run_undisturbed(name: str, case: Case, hidden: Hidden, folder: Path) -> Record:
    """Run a case with seed 0, and keep how long it is for the tests that interrupt it."""
    counter = Counter()
    record = run_case(case, hidden, folder, on_progress=counter)
    UNDISTURBED[name] = counter.steps, hidden.node.clock.now_s()
    return record


def pulls_of(record: Record, truth: Truth) -> dict[str, list[float]]:
    """Return (found - true) / uncertainty by name of the quantity."""
    pulls: dict[str, list[float]] = {}
    for (name, place), value in truth.items():
        found = quantity_of(record, name, place)
        assert found.uncertainty > 0, f"{name} claims to be exact"
        pulls.setdefault(name, []).append((found.value - value) / found.uncertainty)
    return pulls


def quantity_of(record: Record, name: str, place: Place) -> Quantity:
    if isinstance(place, tuple):
        return record.quantity(name, **dict([place] if isinstance(place[0], str) else place))
    return record.quantity(name) if place is None else record.quantity(name, channel=place)


def shown(record: Record) -> str:
    """What to print when a case fails."""
    return json.dumps({f"{q.name} {q.at}": (q.value, q.uncertainty) for q in record.quantities}, indent=1)
