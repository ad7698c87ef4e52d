"""The demonstration's link with something hidden in it, in this process, measured as briefly as will do."""

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qhal.demo.demo_records import BenchRecords
from qhal.demo.demonstration import measure_state
from qhal.demo.metro_link import MetroLink
from qhal.demo.results import SCENARIO
from qhal.node.node import open_node
from qhal.transport.control import SimulatorControl
from qhal_simulators.physics.scenario_tables import load_scenario, parse_scenario
from qhal_simulators.servers.background import Background

BRIGHT_DBM = 12.0


@dataclass
class Control:
    """A control connection that tells the published data sheet, whatever the world is."""

    control: SimulatorControl
    published: dict[str, Any]

    def request(self, do: str, **arguments: Any) -> dict[str, Any]:
        return self.published if do == "datasheet" else self.control.request(do, **arguments)


@contextmanager
def hidden_link(hidden: dict[str, dict[str, Any]], seed: int, bench: BenchRecords, folder: Path):
    """Yield the link, which believes the data sheet, and its control."""
    published = load_scenario(SCENARIO).model_dump(mode="json")
    content = {table: dict(value) if isinstance(value, dict) else value for table, value in published.items()}
    for table, entries in hidden.items():
        content[table] |= entries
    with Background.of_scenario(parse_scenario(content, "hidden"), seed, {}) as background:
        node_file = folder / "node.toml"
        node_file.write_text(background.node_file())
        link = SimulatorControl(background.control.address)
        control = Control(link, published)
        try:
            with open_node(node_file) as node:
                yield MetroLink(node, control.request("datasheet"), bench, folder, lambda text: None), control
        finally:
            link.close()


def measure(link: MetroLink, control: Control, seconds: float, seed: int) -> list[Any]:
    """Bring the link up and return its states: classical channel off, and bright."""
    link.bring_up()
    link.session.measure_skews()
    link.session.align(seed=seed)
    return [measure_state(link, control, dbm, seconds, lambda text: None) for dbm in (None, BRIGHT_DBM)]
